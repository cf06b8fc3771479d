"""Padding of images inside a graph that is traced before their size is known."""

from typing import Any, Sequence

from gluonnorm.types import Tensor


def pad_to_multiple(F: Any, images: Tensor, multiple: int, color: Sequence[float]) -> Tensor:
    """Pad images at the right and at the bottom until both sides are multiples of a number.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    images : Tensor
        (B, C, H, W).
    multiple : int
        The number of pixels; 1 returns the images as they are.
    color : sequence of float
        The value of the padding in each of the C channels.

    Returns
    -------
    Tensor
        (B, C, H', W') where H' is the smallest multiple that is at least H, and W' likewise.
    """
    if multiple == 1:
        return images
    # A symbol has no shape. A map with one cell for every `multiple` pixels, enlarged by
    # `multiple`, has the padded size, and slice_like can cut to it.
    one_channel = F.slice_axis(images, axis=1, begin=0, end=1)
    coarse = F.Pooling(one_channel, kernel=(1, 1), stride=(multiple, multiple), pool_type="max")
    padded_size = F.UpSampling(coarse, scale=multiple, sample_type="nearest")
    for axis in (2, 3):
        line = F.zeros_like(F.slice_axis(images, axis=axis, begin=0, end=1))
        if any(color):
            line = _painted(F, line, color)
        images = F.concat(images, F.repeat(line, repeats=multiple, axis=axis), dim=axis)
    return F.slice_like(images, padded_size, axes=(2, 3))


def _painted(F: Any, line: Tensor, color: Sequence[float]) -> Tensor:
    """Add to each channel of (B, C, h, w) the value that the color has there."""
    channels = []
    for index, value in enumerate(color):
        channel = F.slice_axis(line, axis=1, begin=index, end=index + 1)
        channels.append(channel + float(value))
    return F.concat(*channels, dim=1)
