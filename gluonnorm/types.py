"""The few names that every room shares."""
from dataclasses import dataclass, fields
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

import mxnet as mx
import numpy as np

Tensor = Union[mx.nd.NDArray, mx.sym.Symbol]  # what ``hybrid_forward`` sees: imperative or traced

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)


ORDERS = ("RGB", "BGR")
RESIZES = ("pixel", "float", "antialias")
ROUNDINGS = ("nearest", "even", "floor")


@dataclass(frozen=True)
class Preprocess:
    """What happens to a photo before the network sees it.

    Values
        With ``normalize`` the network's input is ``(pixel - mean) / std``, else the raw pixel; pixels and constants in
        0..255, ``mean`` and ``std`` given in RGB whatever ``order`` is. ``order``: in which the network sees the
        channels, "RGB" or "BGR" (Detectron, Detectron2: their weights were trained on OpenCV's order).
    Size
        ``short`` holds the length(s) in pixels of the shorter side after resizing: training draws one of them per
        image, inference takes the last. The longer side is at most ``max_size``. ``rounding`` of sides that are no
        whole pixels: "nearest", halves up (Detectron2); "even", halves to the even neighbour (GluonCV, Detectron: a
        pixel less, and only where a side ends in exactly a half); "floor", down (torchvision: often a pixel less, even
        of the shorter side, since ``h * (800 / h)`` may be 799.99..).
    Resizing
        ``resize``, always bilinear with pixel centres at half coordinates: "pixel", on bytes, rounded to bytes (OpenCV,
        GluonCV); "float", not rounded (torchvision, Detectron: up to half a grey level away from "pixel"); "antialias",
        on bytes, averaged over the area a pixel comes from where the photo shrinks (Pillow, Detectron2).
    Padding
        ``multiple``: the network itself pads its input right and below, with the mean colour, until both sides are
        multiples of so many pixels. Whoever prepares images need not; boxes end at the image, not at this padding.
    """
    short: Tuple[int, ...] = (800,)
    max_size: int = 1333
    normalize: bool = True
    mean: Tuple[float, float, float] = IMAGENET_MEAN
    std: Tuple[float, float, float] = IMAGENET_STD
    order: str = "RGB"
    resize: str = "pixel"
    rounding: str = "nearest"
    multiple: int = 32

    def __post_init__(self) -> None:
        if not self.short or min(self.short) < 1:
            raise ValueError(f"Preprocess.short is {self.short!r}; give one or more lengths of at least 1 pixel")
        if self.max_size < max(self.short):
            raise ValueError(f"Preprocess.max_size is {self.max_size}, less than short {max(self.short)}; raise it")
        if min(self.std) <= 0:
            raise ValueError(f"Preprocess.std is {self.std!r}; every entry must be positive")
        for name, choices in (("order", ORDERS), ("resize", RESIZES), ("rounding", ROUNDINGS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"Preprocess.{name} is {getattr(self, name)!r}; give one of {', '.join(choices)}")
        if self.multiple < 1 or self.multiple != int(self.multiple):
            raise ValueError(f"Preprocess.multiple is {self.multiple!r}; want whole pixels, 1 for no padding")

    @property
    def padding(self) -> Tuple[float, float, float]:
        """The mean colour as the network sees it: 0 if its input is normalised, else the mean itself, in its order."""
        if self.normalize:
            return 0.0, 0.0, 0.0
        red, green, blue = self.mean
        return (red, green, blue) if self.order == "RGB" else (blue, green, red)

    @classmethod
    def from_record(cls, values: Dict[str, Any]) -> "Preprocess":
        """The record that an export wrote, lists for tuples; fields that an older one lacks take their defaults.

        Raises ValueError for a field of no meaning here: such an input cannot be prepared as it should be.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"preprocess has {', '.join(unknown)}, which this version does not know; use a later one")
        known: Dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**known)


class Detections(NamedTuple):
    """What was found on one image, best first: N rows, nothing padded."""
    boxes: np.ndarray  # (N, 4) float32, x1 y1 x2 y2 in the image's own pixels
    scores: np.ndarray  # (N,) float32 in 0..1
    ids: np.ndarray  # (N,) int32, 0-based foreground class
    masks: Optional[np.ndarray] = None  # (N, H, W) bool in the image's own pixels, where the network gives masks
