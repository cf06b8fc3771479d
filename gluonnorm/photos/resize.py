"""Resizing of photos with the arithmetic of the codebase that a network comes from.

``gluonnorm.types.Preprocess`` documents what the names of methods and roundings mean.
"""

import math
from typing import Callable, Dict, Tuple

from gluonnorm.errors import InputError
from gluonnorm.photos.bilinear import resize_bytes, resize_floats
from gluonnorm.types import RESIZE_METHODS, ROUNDINGS

import numpy as np
from PIL import Image


def resize_size(
    height: int, width: int, short: int, max_size: int, rounding: str = "nearest"
) -> Tuple[int, int]:
    """Compute the size of a photo after resizing.

    The shorter side becomes ``short``, unless the longer side would exceed ``max_size``. The
    arithmetic is that of Detectron2 ("nearest"), GluonCV and Detectron ("even") and torchvision
    ("floor"), operation by operation in double precision: its last bit decides whether 800 * 334 /
    334 is 800 or 799.

    Parameters
    ----------
    height, width : int
        Size of the photo in pixels.
    short : int
        Length of the shorter side after resizing.
    max_size : int
        Largest length of the longer side after resizing.
    rounding : str
        One of ``types.ROUNDINGS``.

    Returns
    -------
    tuple of int
        Height and width after resizing, each at least 1.

    Raises
    ------
    InputError
        An unknown ``rounding``.

    Examples
    --------
    >>> [resize_size(500, 400, 602, 1000, rounding) for rounding in ("nearest", "even", "floor")]
    [(753, 602), (752, 602), (752, 602)]
    >>> [resize_size(334, 501, 800, 1333, rounding) for rounding in ("nearest", "even", "floor")]
    [(800, 1200), (800, 1200), (799, 1200)]
    """
    if rounding not in _SIZE_RULES:
        raise InputError(f"rounding is {rounding!r}; give one of {', '.join(ROUNDINGS)}")
    resized_height, resized_width = _SIZE_RULES[rounding](height, width, short, max_size)
    return max(1, resized_height), max(1, resized_width)


def resize(image: np.ndarray, height: int, width: int, method: str) -> np.ndarray:
    """Resize a photo.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8 or float32.
    height, width : int
        Size of the result in pixels.
    method : str
        One of ``types.RESIZE_METHODS``.

    Returns
    -------
    numpy.ndarray
        (height, width, 3). For uint8 photos ``"pixel"`` and ``"antialias"`` return uint8 and
        ``"float"`` returns float32. Float32 photos are resized by the same geometry and not rounded
        (Detectron2 does not antialias float photos). If the size stays the same, every method
        returns ``image`` itself.

    Raises
    ------
    InputError
        An unknown ``method``.
    """
    if method not in RESIZE_METHODS:
        raise InputError(f"method is {method!r}; give one of {', '.join(RESIZE_METHODS)}")
    if image.shape[:2] == (height, width):
        return image
    if method == "antialias":
        return _resize_antialiased(image, height, width)
    if method == "pixel" and image.dtype == np.uint8:
        return resize_bytes(image, height, width)
    return resize_floats(image.astype(np.float32, copy=False), height, width)


def _size_nearest(height: int, width: int, short: int, max_size: int) -> Tuple[int, int]:
    """Detectron2's ``ResizeShortestEdge.get_output_shape``: halves are rounded up."""
    scale = short / min(height, width)
    new_height = short if height <= width else scale * height
    new_width = short if width <= height else scale * width
    longer = max(new_height, new_width)
    if longer > max_size:
        reduction = max_size / longer
        new_height *= reduction
        new_width *= reduction
    return int(new_height + 0.5), int(new_width + 0.5)


def _size_even(height: int, width: int, short: int, max_size: int) -> Tuple[int, int]:
    """GluonCV's ``resize_short_within``: halves are rounded to the even neighbor."""
    longer = max(height, width)
    scale = short / min(height, width)
    if round(scale * longer) > max_size:
        scale = max_size / longer
    return round(height * scale), round(width * scale)


def _size_floor(height: int, width: int, short: int, max_size: int) -> Tuple[int, int]:
    """torchvision's ``_resize_image_and_masks``: sides are rounded down."""
    scale = min(short / min(height, width), max_size / max(height, width))
    return math.floor(height * scale), math.floor(width * scale)


_SizeRule = Callable[[int, int, int, int], Tuple[int, int]]
_SIZE_RULES: Dict[str, _SizeRule] = {
    "nearest": _size_nearest,
    "even": _size_even,
    "floor": _size_floor,
}


def _resize_antialiased(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize with Pillow, which averages where the photo shrinks; the dtype stays."""
    if image.dtype == np.uint8:
        picture = Image.fromarray(image)
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    resized_channels = []
    # Pillow has no mode with three float channels, so each channel is a picture of its own.
    for channel in image.transpose(2, 0, 1):
        picture = Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR)
        resized_channels.append(np.asarray(picture))
    return np.stack(resized_channels, axis=2)
