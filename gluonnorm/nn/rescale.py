"""A constant layer that converts between raw and normalized pixel values."""

from typing import Sequence

from gluonnorm.errors import InputError
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD, RESCALE_DIRECTIONS, Tensor

from mxnet.gluon import HybridBlock


class Rescale(HybridBlock):
    """Convert RGB images between raw pixels in 0..255 and normalized values, by constants.

    It is put in front of a backbone whose weights need another range of values than the loader
    provides. The constants are scalars in the graph, so there is no parameter to train, save,
    initialize or move between devices.

    Parameters
    ----------
    direction : str
        "denormalize" computes ``y = x * std + mean``, for weights that were trained on raw pixels
        and a loader that normalizes. "normalize" computes ``y = (x - mean) / std``, for weights
        that were trained on normalized values and a loader that passes raw pixels.
    mean : sequence of float
        Mean of red, green and blue in 0..255. The default is that of ImageNet.
    std : sequence of float
        Standard deviation of red, green and blue in 0..255; positive. The default is that of
        ImageNet.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        ``direction`` is unknown, or the constants are not three numbers each with positive std.

    Examples
    --------
    >>> import mxnet as mx
    >>> rescale = Rescale("normalize", mean=(100, 100, 100), std=(50, 50, 50))
    >>> rescale(mx.nd.full((1, 3, 1, 1), 200)).asnumpy().ravel()
    array([2., 2., 2.], dtype=float32)
    """

    def __init__(
        self,
        direction: str,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        **kwargs,
    ) -> None:
        if direction not in RESCALE_DIRECTIONS:
            raise InputError(
                f"Rescale got direction {direction!r}; give one of {RESCALE_DIRECTIONS}"
            )
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise InputError(
                f"Rescale got mean {tuple(mean)} and std {tuple(std)}; "
                "give three numbers each, those of std positive"
            )
        super().__init__(**kwargs)
        self._direction = direction
        self._mean = tuple(float(value) for value in mean)
        self._std = tuple(float(value) for value in std)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        channels = []
        for index, (mean, std) in enumerate(zip(self._mean, self._std)):
            channel = F.slice_axis(x, axis=1, begin=index, end=index + 1)
            if self._direction == "denormalize":
                channels.append(channel * std + mean)
            else:
                channels.append((channel - mean) / std)
        return F.concat(*channels, dim=1)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self._direction}, mean={self._mean}, std={self._std})"
