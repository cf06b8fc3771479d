"""The constant layer in front of a backbone whose weights want another range of pixel values."""
from typing import Sequence

from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD, Tensor

from mxnet.gluon import HybridBlock

DIRECTIONS = ("denormalize", "normalize")


class Rescale(HybridBlock):
    """Change RGB images (N, 3, H, W) between raw pixels and normalized values, by constants.

    "denormalize" undoes the usual input normalization, ``y = x * std + mean``: for weights trained on raw
    pixels behind a loader that normalizes. "normalize" does it, ``y = (x - mean) / std``: for weights trained on
    normalized input behind a loader that passes raw pixels.

    The constants are scalars in the graph: there is no parameter to train, save, initialize or move between devices.

    Parameters
    ----------
    direction
        "denormalize" or "normalize".
    mean, std
        RGB in 0..255; of ImageNet by default.
    """

    def __init__(self, direction: str, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if direction not in DIRECTIONS:
            raise ValueError(f"Rescale got direction {direction!r}; give one of {DIRECTIONS}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"Rescale got mean {tuple(mean)} and std {tuple(std)}; "
                             "give three numbers each, those of std positive")
        self._direction = direction
        self._mean = tuple(float(value) for value in mean)
        self._std = tuple(float(value) for value in std)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        channels = []
        for index, (mean, std) in enumerate(zip(self._mean, self._std)):
            channel = F.slice_axis(x, axis=1, begin=index, end=index + 1)
            channels.append(channel * std + mean if self._direction == "denormalize" else (channel - mean) / std)
        return F.concat(*channels, dim=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._direction}, mean={self._mean}, std={self._std})"
