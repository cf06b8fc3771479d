"""The few names that every room shares."""
from dataclasses import dataclass
from typing import NamedTuple, Tuple, Union

import mxnet as mx
import numpy as np

Tensor = Union[mx.nd.NDArray, mx.sym.Symbol]  # what ``hybrid_forward`` sees: imperative or traced

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocess:
    """What happens to a photo before the network sees it.

    ``short`` holds the length(s) in pixels of the shorter side after resizing: training draws one of them per
    image, inference takes the last. The longer side is at most ``max_size``. With ``normalize`` the network's
    input is ``(pixel - mean) / std``, else the raw pixel; both in RGB order, pixels and constants in 0..255.
    """
    short: Tuple[int, ...] = (800,)
    max_size: int = 1333
    normalize: bool = True
    mean: Tuple[float, float, float] = IMAGENET_MEAN
    std: Tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not self.short or min(self.short) < 1:
            raise ValueError(f"Preprocess.short is {self.short!r}; give one or more lengths of at least 1 pixel")
        if self.max_size < max(self.short):
            raise ValueError(f"Preprocess.max_size is {self.max_size}, less than short {max(self.short)}; raise it")
        if min(self.std) <= 0:
            raise ValueError(f"Preprocess.std is {self.std!r}; every entry must be positive")


class Detections(NamedTuple):
    """What was found on one image, best first: N rows, nothing padded."""
    boxes: np.ndarray  # (N, 4) float32, x1 y1 x2 y2 in the image's own pixels
    scores: np.ndarray  # (N,) float32 in 0..1
    ids: np.ndarray  # (N,) int32, 0-based foreground class
