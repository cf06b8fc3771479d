"""Types that every room shares: a tensor, a path, a network's preprocessing, the detections."""

import math
import os
from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Tuple, Union

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.errors import InputError

import numpy as np

if TYPE_CHECKING:
    import mxnet as mx

# What ``hybrid_forward`` gets: an array when it runs imperatively, a symbol when it is traced. The
# names are strings because rooms that need no MXNet import this module as well.
Tensor = Union["mx.nd.NDArray", "mx.sym.Symbol"]

# What a function that opens a file takes. The quotes are for Python 3.8, whose os.PathLike has no
# type argument.
PathLike = Union[str, "os.PathLike[str]"]

Shape = Tuple[int, ...]  # the lengths of an array's axes

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, in 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)  # RGB, in 0..255

CHANNEL_ORDERS = ("RGB", "BGR")
RESIZE_METHODS = ("pixel", "float", "antialias")
ROUNDINGS = ("nearest", "even", "floor")
# The allowed values of those fields of Preprocess that are words.
PREPROCESS_CHOICES: Dict[str, Tuple[str, ...]] = {
    "order": CHANNEL_ORDERS,
    "resize": RESIZE_METHODS,
    "rounding": ROUNDINGS,
}
RESCALE_DIRECTIONS = ("denormalize", "normalize")


class AnchorGrid(NamedTuple):
    """The anchors of one feature map, as numbers alone.

    Attributes
    ----------
    stride : int
        Pixels of the network's input from a cell to the next one.
    anchors : numpy.ndarray
        (A, 4) float, ``x1 y1 x2 y2`` of the anchors of the first cell, in pixels of the input. The
        far corner is exclusive.
    spans_input : bool
        Whether the step from cell to cell is the side of the input, divided by the number of cells
        and rounded down, in place of ``stride`` (``BoxConvention.anchor_stride``).
    """

    stride: int
    anchors: np.ndarray
    spans_input: bool = False

    @property
    def lengths(self) -> np.ndarray:
        """(A,) float64, square roots of the anchors' areas in pixels."""
        sides = np.asarray(self.anchors, np.float64)[:, 2:] - self.anchors[:, :2]
        return np.sqrt(sides.prod(axis=1))


@dataclass(frozen=True)
class Preprocess:
    """How a photo becomes the input of a network: size, interpolation, channels, normalization.

    Lists become tuples. A wrong value raises InputError when the object is made.

    Attributes
    ----------
    short : tuple of int
        Lengths of the shorter side after resizing, in pixels, each at least 1. Training picks one
        of them at random for each image; inference takes the last one.
    max_size : int
        Largest length of the longer side after resizing, in pixels. It is at least the largest of
        ``short``.
    normalize : bool
        True feeds ``(pixel - mean) / std`` to the network, False the pixel in 0..255.
    mean : tuple of float
        Mean of each channel in 0..255, in the order red, green, blue, whatever ``order`` is.
    std : tuple of float
        Standard deviation of each channel in 0..255, positive, in the order red, green, blue.
    order : str
        Order in which the network expects the channels: ``"RGB"``, or ``"BGR"`` for the weights of
        Detectron and Detectron2, which were trained on images in OpenCV's order.
    resize : str
        How pixels are interpolated. Every method is bilinear, with pixel centers at half
        coordinates.

        - ``"pixel"``: on bytes, rounded to bytes (OpenCV, GluonCV).
        - ``"float"``: not rounded (torchvision, Detectron). Differs from ``"pixel"`` by up to half
          a gray level.
        - ``"antialias"``: on bytes; where the photo shrinks, each pixel averages the area that it
          covers (Pillow, Detectron2).
    rounding : str
        How the sides after resizing are rounded to whole pixels.

        - ``"nearest"``: halves go up (Detectron2).
        - ``"even"``: halves go to the even neighbor (GluonCV, Detectron). The result differs from
          ``"nearest"``, by one pixel, only where the exact side ends in one half.
        - ``"floor"``: always down (torchvision). Sides are often one pixel shorter than with
          ``"nearest"``, sometimes even the shorter side, because ``h * (800 / h)`` may be 799.99 in
          double precision.
    multiple : int
        The network itself pads its input on the right and at the bottom with the mean color until
        both sides are multiples of this number of pixels; 1 means no padding. The caller does not
        pad. Boxes end at the border of the image, not at the border of this padding.
    inclusive : bool
        Whether the far corner of a box is the last pixel of the photo that belongs to it, so that
        the box is ``x2 - x1 + 1`` wide (Detectron). Ground truth then becomes ``x + width - 1``
        before the resizing, and detections keep such corners. ``BoxConvention.inclusive`` decides.
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
    inclusive: bool = False

    def __post_init__(self) -> None:
        for name in ("short", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        self._check_lengths()
        self._check_channels()
        for name, choices in PREPROCESS_CHOICES.items():
            self._check_choice(name, choices)

    @property
    def padding(self) -> Tuple[float, float, float]:
        """The mean color as the network sees it, channel by channel in the network's order.

        It is 0 if the input is normalized, else the mean itself.
        """
        if self.normalize:
            return 0.0, 0.0, 0.0
        red, green, blue = self.mean
        return (red, green, blue) if self.order == "RGB" else (blue, green, red)

    @classmethod
    def from_manifest(cls, values: Dict[str, Any]) -> "Preprocess":
        """Rebuild the preprocessing from the ``preprocess`` entry of an export's manifest.

        Parameters
        ----------
        values : dict
            Field names and values. Fields that a manifest of an earlier version lacks take their
            defaults.

        Returns
        -------
        Preprocess
            The preprocessing of the exported network.

        Raises
        ------
        InputError
            ``values`` is not a dict, a value is wrong, or there is a field that this version does
            not know. Without that field the input cannot be prepared correctly.
        """
        if not isinstance(values, dict):
            raise InputError(f"preprocess is {values!r}; want a dict of the fields of Preprocess")
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(
                f"preprocess has {', '.join(unknown)}, which this version of gluonnorm does not "
                "know; use the version that wrote the file, or a later one"
            )
        return cls(**values)

    def _check_lengths(self) -> None:
        """Raise InputError if a length in pixels is not a positive integer."""
        short_is_valid = isinstance(self.short, tuple) and all(map(is_positive_integer, self.short))
        if not short_is_valid or not self.short:
            raise InputError(
                f"Preprocess.short is {self.short!r}; "
                "give a tuple of one or more lengths of at least 1 pixel"
            )
        if not is_positive_integer(self.max_size):
            raise InputError(
                f"Preprocess.max_size is {self.max_size!r}; want whole pixels, at least 1"
            )
        if self.max_size < max(self.short):
            raise InputError(
                f"Preprocess.max_size is {self.max_size}, "
                f"less than short {max(self.short)}; want at least {max(self.short)}"
            )
        if not is_positive_integer(self.multiple):
            raise InputError(
                f"Preprocess.multiple is {self.multiple!r}; want whole pixels, 1 for no padding"
            )

    def _check_channels(self) -> None:
        """Raise InputError if a switch, ``mean`` or ``std`` is wrong."""
        for name in ("normalize", "inclusive"):
            value = getattr(self, name)
            if not isinstance(value, (bool, np.bool_)):
                raise InputError(f"Preprocess.{name} is {value!r}; want True or False")
        for name in ("mean", "std"):
            value = getattr(self, name)
            is_triple = isinstance(value, tuple) and len(value) == 3
            if not is_triple or not all(map(_is_finite_number, value)):
                raise InputError(
                    f"Preprocess.{name} is {value!r}; want three numbers, for red, green and blue"
                )
        if min(self.std) <= 0:
            raise InputError(f"Preprocess.std is {self.std!r}; every entry must be positive")

    def _check_choice(self, name: str, choices: Tuple[str, ...]) -> None:
        """Raise InputError if a field is none of its choices."""
        value = getattr(self, name)
        if value not in choices:
            raise InputError(f"Preprocess.{name} is {value!r}; give one of {', '.join(choices)}")


class Detections(NamedTuple):
    """The N objects that a network detects on one image, best first, without padding.

    Attributes
    ----------
    boxes : numpy.ndarray
        (N, 4) float32, rows ``x1 y1 x2 y2`` in the image's own pixels, with the corners of the
        network's codebase: see ``inclusive``.
    scores : numpy.ndarray
        (N,) float32 in 0..1.
    ids : numpy.ndarray
        (N,) int32, foreground class counted from 0.
    masks : numpy.ndarray, CroppedMasks or None
        (N, H, W) bool in the image's own pixels; None if the network has no masks. They are
        ``CroppedMasks``, which can be used like an array, if the predictor takes tiles.
    inclusive : bool
        False: a box is ``x2 - x1`` wide. True: its far corner is its last pixel, so that it is
        ``x2 - x1 + 1`` wide and may have ``x2 = x1`` (Detectron, SwitchNorm_Detection).
        ``evaluation.coco_results`` counts accordingly.
    """

    boxes: np.ndarray
    scores: np.ndarray
    ids: np.ndarray
    masks: Union[None, np.ndarray, CroppedMasks] = None
    inclusive: bool = False


def _is_finite_number(value: Any) -> bool:
    """True for an integer or floating-point number, but not for a bool, NaN or infinity."""
    return is_number(value) and math.isfinite(value)


def is_number(value: Any) -> bool:
    """Tell whether a value is a real number of Python or NumPy.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    bool
        True also for NaN and infinity; False for a bool.

    Examples
    --------
    >>> [is_number(value) for value in (3, 2.5, float("nan"), True, "3")]
    [True, True, True, False, False]
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def is_positive_integer(value: Any) -> bool:
    """Tell whether a value is an integer of at least 1.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    bool
        True also for a float without a fraction; False for a bool and for anything that is not a
        number.

    Examples
    --------
    >>> [is_positive_integer(value) for value in (3, 3.0, 2.5, 0, True, "3")]
    [True, True, False, False, False, False]
    """
    return _is_finite_number(value) and value >= 1 and value == int(value)
