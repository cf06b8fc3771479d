"""The way in, from a photo to the input of a network: read, check, resize, normalize."""

import os
from typing import Any, List, NamedTuple, Protocol, Tuple, Union

from gluonnorm.photos.files import ImageSource, read_image
from gluonnorm.photos.levels import ImageError, check_floats
from gluonnorm.photos.resize import resize as resize_image
from gluonnorm.photos.resize import resize_size
from gluonnorm.types import Preprocess

import numpy as np
from PIL import Image


class DeviceArray(Protocol):
    """An array that copies itself to NumPy, such as an MXNet NDArray. This room needs no MXNet."""

    def asnumpy(self) -> np.ndarray:
        """Return the same numbers as a NumPy array."""


Photo = Union[ImageSource, np.ndarray, DeviceArray]
# Lists of any content: mypy takes neither a list of paths nor a list of arrays for a List[Photo].
Photos = Union[List[Any], Tuple[Photo, ...]]


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
    photo : path, bytes, binary file object, PIL.Image.Image, numpy.ndarray or mx.nd.NDArray
        A photo as for ``load_photo``.
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
    return prepare_checked(load_photo(photo), preprocess, resize)


def prepare_checked(
    image: np.ndarray, preprocess: Preprocess, resize: bool = True
) -> PreparedPhoto:
    """Prepare a photo that is read and checked already: resize it and normalize it.

    A part of a photo is prepared like this, because the check of a dark part alone would fail.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) in RGB, uint8 or float32 in 0..255, as ``load_photo`` returns it, or a part of it.
    preprocess, resize
        As for ``prepare``.

    Returns
    -------
    PreparedPhoto
        The network's input, the scale and the size of ``image``.
    """
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
    """Read a photo if it is a file or an image of Pillow, and check its pixels.

    Parameters
    ----------
    photo : path, bytes, binary file object, PIL.Image.Image, numpy.ndarray or mx.nd.NDArray
        What ``files.read_image`` reads, or an array as for ``check_image``.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) in RGB, uint8 or float32 in 0..255.

    Raises
    ------
    ImageError
        The file cannot be read, or the array is not a photo.
    """
    image: Any = photo
    if is_image_source(photo):
        image = read_image(image)
    return check_image(image)


def is_image_source(photo: Any) -> bool:
    """Tell whether ``files.read_image`` reads an object: a file, its content or a Pillow image.

    Parameters
    ----------
    photo : object
        Any object.

    Returns
    -------
    bool
        False for arrays and for everything that is no photo at all.
    """
    if isinstance(photo, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)):
        return True
    return callable(getattr(photo, "read", None))


def refuse_single_photo(photos: Any) -> None:
    """Check that photos are several and not one, whose rows would be taken for gray photos.

    Parameters
    ----------
    photos : object
        A folder, or anything that iterates over photos.

    Raises
    ------
    ImageError
        It is an array of one photo, the content of an image file, or an image of Pillow.
    """
    is_array = hasattr(photos, "ndim") and photos.ndim <= 3
    is_path = isinstance(photos, (str, os.PathLike))
    if is_array or (is_image_source(photos) and not is_path):
        raise ImageError(
            f"want several photos, not a single one ({type(photos).__name__}); give it in a list"
        )


def check_image(image: Any) -> np.ndarray:
    """Check that an array is a photo with values in 0..255, and make it RGB.

    Parameters
    ----------
    image : numpy.ndarray or mx.nd.NDArray
        (H, W, 3), or of gray levels (H, W) or (H, W, 1), uint8 or of any floating-point type; H
        and W at least 1.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) in RGB. The array itself if it is RGB and uint8 or float32, else a copy.

    Raises
    ------
    ImageError
        Another type, shape or dtype; NaN or infinity; values far outside 0..255; floats of which
        none is farther from 0 than 4, such as those in 0..1 or normalized ones.
    """
    if hasattr(image, "asnumpy"):
        image = image.asnumpy()
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"image is a {type(image).__name__}; want a path or an array (H, W, 3) of NumPy or "
            "MXNet, RGB in 0..255, or an image of Pillow, or an image file as bytes or opened; "
            "of several photos a list"
        )
    if np.ma.is_masked(image):
        raise ImageError("image has masked pixels; give image.filled(0), or another gray level")
    # An np.matrix has two axes whatever is done with it.
    image = _three_channels(np.asarray(image))
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise ImageError(
            f"image is of {image.dtype}; want uint8, or float32 in 0..255; scale the values first"
        )
    check_floats(image)
    return image.astype(np.float32, copy=False)


def _three_channels(image: np.ndarray) -> np.ndarray:
    """Repeat gray levels as red, green and blue, and check the shape: (H, W, 3)."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim == 3 and image.shape[2] == 1 and image.size:
        return np.repeat(image, 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            f"image has the shape {image.shape}; want (H, W, 3), RGB, or (H, W), gray, "
            f"at least one pixel{_advice(image.shape)}"
        )
    return image


def _advice(shape: Tuple[int, ...]) -> str:
    """The end of the message about a shape: what to do about the frequent ones."""
    if len(shape) == 4:
        return "; give several photos as a list"
    if len(shape) == 3 and shape[2] == 4:
        return "; leave out the fourth channel: image[:, :, :3]"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "; move the channels to the end: image.transpose(1, 2, 0)"
    return ""


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
