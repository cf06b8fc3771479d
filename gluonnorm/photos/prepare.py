"""The way in, from a photo to the input of a network: read, check, resize, normalize."""

import math
import os
from typing import Any, List, NamedTuple, Tuple, Union

from gluonnorm.photos.files import ImageError, read_image
from gluonnorm.photos.resize import resize as resize_image
from gluonnorm.photos.resize import resize_size
from gluonnorm.types import PathLike, Preprocess

import numpy as np

Photo = Union[PathLike, np.ndarray]
# Lists of any content: mypy takes neither a list of paths nor a list of arrays for a List[Photo].
Photos = Union[List[Any], Tuple[Photo, ...]]
OVERSHOOT = 64  # gray levels by which sharpening or cubic resizing may leave 0..255


class PreparedPhoto(NamedTuple):
    """The input of a network for one photo, and what leads its boxes back to the photo.

    Attributes
    ----------
    pixels : numpy.ndarray
        (3, h, w) float32: resized, channels first in the network's order, normalized.
    scale : numpy.ndarray
        (2,) float32: resized length divided by the photo's length, along x and along y.
    size : tuple of int
        Height and width of the photo itself, in pixels.
    """

    pixels: np.ndarray
    scale: np.ndarray
    size: Tuple[int, int]


def prepare(photo: Photo, preprocess: Preprocess, resize: bool = True) -> PreparedPhoto:
    """Prepare one photo for inference: read it, check it, resize it and normalize it.

    Parameters
    ----------
    photo : path or numpy.ndarray
        A file, or an array (H, W, 3) in RGB, uint8 or float32 in 0..255.
    preprocess : Preprocess
        The rules of the network. Of the lengths in ``short`` the last one is used.
    resize : bool
        False leaves the photo at its own size.

    Returns
    -------
    PreparedPhoto
        The network's input, the scale and the photo's size.

    Raises
    ------
    ImageError
        The file cannot be read, or the array is not a photo.
    """
    image = load_photo(photo)
    height, width = image.shape[:2]
    input_size = resized_size(height, width, preprocess) if resize else (height, width)
    pixels = network_input(image, input_size, preprocess)
    resized_height, resized_width = input_size
    scale = np.array([resized_width / width, resized_height / height], np.float32)
    return PreparedPhoto(pixels, scale, (height, width))


def resized_size(height: int, width: int, preprocess: Preprocess) -> Tuple[int, int]:
    """Compute the size that a photo has for the network, at inference.

    Parameters
    ----------
    height, width : int
        Size of the photo in pixels.
    preprocess : Preprocess
        The rules of the network. Of the lengths in ``short`` the last one is used.

    Returns
    -------
    tuple of int
        Height and width after resizing.

    Examples
    --------
    >>> resized_size(60, 80, Preprocess(short=(30, 45), max_size=100))
    (45, 60)
    """
    return resize_size(
        height, width, preprocess.short[-1], preprocess.max_size, preprocess.rounding
    )


def load_photo(photo: Photo) -> np.ndarray:
    """Read a photo if it is a file, and check its pixels.

    Parameters
    ----------
    photo : path or numpy.ndarray
        A file, or an array (H, W, 3) in RGB, uint8 or floating point in 0..255.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) in RGB, uint8 or float32 in 0..255.

    Raises
    ------
    ImageError
        The file cannot be read, or the array is not a photo.
    """
    if isinstance(photo, (str, os.PathLike)):
        photo = read_image(photo)
    return check_image(photo)


def check_image(image: Any) -> np.ndarray:
    """Check that an array is a photo in RGB with values in 0..255.

    Values in 0..1 cannot be told from a very dark photo in 0..255, so they pass as one. A caller
    with such values multiplies them by 255 first.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3), uint8 or of any floating-point type; H and W at least 1.

    Returns
    -------
    numpy.ndarray
        ``image`` itself if it is uint8 or float32, else a float32 copy.

    Raises
    ------
    ImageError
        Another type, shape or dtype; NaN or infinity; values far outside 0..255.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"image is a {type(image).__name__}; "
            "want a path or an (H, W, 3) NumPy array, RGB in 0..255"
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            f"image has the shape {image.shape}; want (H, W, 3), RGB, at least one pixel"
        )
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise ImageError(f"image is of {image.dtype}; want uint8, or float32 in 0..255")
    low = float(image.min())
    high = float(image.max())
    # A NaN anywhere makes the minimum and the maximum NaN, so looking at both finds it without
    # another pass.
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError("image holds NaN or infinity; want float32 in 0..255")
    if low < -OVERSHOOT or high > 255 + OVERSHOOT:
        raise ImageError(
            f"image holds values from {low:.6g} to {high:.6g}; "
            "want float32 in 0..255, not normalized"
        )
    return image.astype(np.float32, copy=False)


def network_input(image: np.ndarray, size: Tuple[int, int], preprocess: Preprocess) -> np.ndarray:
    """Resize and normalize a checked photo.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) in RGB, uint8 or float32 in 0..255, as ``load_photo`` returns it.
    size : tuple of int
        Height h and width w of the result, in pixels.
    preprocess : Preprocess
        The rules of the network: how to resize, the order of the channels, mean and standard
        deviation.

    Returns
    -------
    numpy.ndarray
        (3, h, w) float32, a new array: normalized, or in 0..255 if ``preprocess.normalize`` is
        False.
    """
    resized = resize_image(image, *size, preprocess.resize)
    return _normalize(resized, preprocess)


def _normalize(image: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Turn (h, w, 3) RGB into (3, h, w) float32: order of channels, mean, standard deviation."""
    mean = np.array(preprocess.mean, np.float32)
    std = np.array(preprocess.std, np.float32)
    if preprocess.order == "BGR":
        image = image[:, :, ::-1]
        mean = mean[::-1]
        std = std[::-1]
    pixels = np.array(image.transpose(2, 0, 1), np.float32, order="C")
    if preprocess.normalize:
        pixels -= mean.reshape(3, 1, 1)
        pixels /= std.reshape(3, 1, 1)
    return pixels
