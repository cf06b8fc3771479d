"""The way in: a photo to the network's input."""
import math
import os
from typing import Any, Tuple, Union

from gluonnorm.photos.files import ImageError, PathLike, read_image
from gluonnorm.photos.resize import resize, resize_size
from gluonnorm.types import Preprocess

import numpy as np

OVERSHOOT = 64  # grey levels beyond 0..255 that sharpening or cubic resizing may well leave


def check_image(image: Any) -> np.ndarray:
    """``image`` as it is if it is (H, W, 3) uint8, as float32 if its numbers are floating; H, W at least 1.

    Raises ImageError for any other shape or type, for NaN and infinity, and for values far outside 0..255. Numbers in
    0..1 cannot be told from a very dark picture in 0..255: they pass, as that. Whoever has such multiplies by 255.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"image is a {type(image).__name__}; want a path or an (H, W, 3) NumPy array, RGB in 0..255")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"image has the shape {image.shape}; want (H, W, 3), RGB, at least one pixel")
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise ImageError(f"image is of {image.dtype}; want uint8, or float32 in 0..255")
    low, high = float(image.min()), float(image.max())
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN spreads to both
        raise ImageError("image holds NaN or infinity; want float32 in 0..255")
    if low < -OVERSHOOT or high > 255 + OVERSHOOT:
        raise ImageError(f"image holds values from {low:.6g} to {high:.6g}; want float32 in 0..255, not normalised")
    return image.astype(np.float32, copy=False)


def open_image(image: Union[PathLike, np.ndarray]) -> np.ndarray:
    """(H, W, 3) RGB, uint8 or float32 in 0..255, from a path or as it is. Raises ImageError for what is no picture."""
    return check_image(read_image(image) if isinstance(image, (str, os.PathLike)) else image)


def prepare(image: Union[PathLike, np.ndarray], preprocess: Preprocess, resizing: bool = True) -> np.ndarray:
    """The input of a network for inference: a path, or (H, W, 3) RGB, uint8 or float32 in 0..255 -> (3, h, w) float32.

    Without ``resizing`` h, w are H, W. Raises ImageError for what is no picture.
    """
    image = open_image(image)
    size = (image.shape[0], image.shape[1])
    if resizing:
        size = resize_size(*size, preprocess.short[-1], preprocess.max_size, preprocess.rounding)
    return to_input(image, size, preprocess)


def to_input(image: np.ndarray, size: Tuple[int, int], preprocess: Preprocess) -> np.ndarray:
    """What the network sees of a picture: (H, W, 3) uint8 or float32 in 0..255, RGB -> (3, h, w) float32.

    Resized to ``size`` (h, w), normalised, channels in ``preprocess.order``; a new array.
    """
    resized = resize(image, *size, preprocess.resize)
    mean, std = preprocess.mean, preprocess.std
    if preprocess.order == "BGR":
        resized, mean, std = resized[:, :, ::-1], mean[::-1], std[::-1]
    pixels = np.array(resized.transpose(2, 0, 1), np.float32, order="C")
    if preprocess.normalize:
        pixels -= np.array(mean, np.float32).reshape(3, 1, 1)
        pixels /= np.array(std, np.float32).reshape(3, 1, 1)
    return pixels
