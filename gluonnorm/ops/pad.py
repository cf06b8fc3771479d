"""Padding an image inside a graph that does not know its size."""
from typing import Any, Sequence

from gluonnorm.types import Tensor


def pad_to_multiple(F: Any, images: Tensor, multiple: int, colour: Sequence[float]) -> Tensor:
    """Fill right and bottom with ``colour`` (one value a channel) until both sides are multiples of ``multiple``.

    (B, C, H, W) to (B, C, H', W'), H <= H' < H + multiple and W likewise.
    """
    if multiple == 1:
        return images
    # One cell every `multiple` pixels, enlarged again, is a map of the size that is wanted.
    coarse = F.Pooling(F.slice_axis(images, axis=1, begin=0, end=1), kernel=(1, 1), stride=(multiple, multiple),
                       pool_type="max")
    wanted = F.UpSampling(coarse, scale=multiple, sample_type="nearest")
    for axis in (2, 3):
        line = F.zeros_like(F.slice_axis(images, axis=axis, begin=0, end=1))
        if any(colour):
            channels = [F.slice_axis(line, axis=1, begin=i, end=i + 1) + float(value) for i, value in enumerate(colour)]
            line = F.concat(*channels, dim=1)
        images = F.concat(images, F.repeat(line, repeats=multiple, axis=axis), dim=axis)
    return F.slice_like(images, wanted, axes=(2, 3))
