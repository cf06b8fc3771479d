"""Read the image files of a data set, with a DataError for a file that cannot be read."""

from contextlib import contextmanager
from typing import Iterator, Sequence, Tuple

from gluonnorm.data.labeled_image import DataError
from gluonnorm.photos import files
from gluonnorm.types import PathLike

import numpy as np


def read_image(path: PathLike) -> np.ndarray:
    """Read an image file of a data set, as ``gluonnorm.photos.files.read_image`` does.

    Parameters
    ----------
    path : str or path-like
        An image file of any format that Pillow reads.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, RGB, rotated as the file's EXIF orientation demands.

    Raises
    ------
    DataError
        The file is missing, truncated, corrupt or not an image.
    """
    with data_errors():
        return files.read_image(path)


def read_image_of_size(path: PathLike, size: Sequence[int], source: str) -> np.ndarray:
    """Read an image file, and check that it has the size its annotations were made for.

    Parameters
    ----------
    path : str or path-like
        An image file of any format that Pillow reads.
    size : sequence of int
        Height and width in pixels, as the annotations state them.
    source : str
        The name of the file that states the size, for messages.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, RGB.

    Raises
    ------
    DataError
        The file cannot be read, or has another size.
    """
    image = read_image(path)
    height, width = image.shape[:2]
    stated_height, stated_width = size
    if (height, width) != (stated_height, stated_width):
        reason = "its boxes may belong to another image"
        if (height, width) == (stated_width, stated_height):
            reason = "its boxes may be those of the photo before its EXIF orientation was applied"
        raise DataError(
            f"{path}: is {width} x {height} pixels, but {source} states {stated_width} x "
            f"{stated_height}; {reason}, so correct one or the other"
        )
    return image


def image_size(path: PathLike) -> Tuple[int, int]:
    """Read the size of an image from the header of its file, without decoding it.

    Parameters
    ----------
    path : str or path-like
        An image file of any format that Pillow reads.

    Returns
    -------
    tuple of int
        Height and width in pixels of the array that ``read_image`` returns.

    Raises
    ------
    DataError
        The file is missing or not an image.
    """
    with data_errors():
        return files.image_size(path)


@contextmanager
def data_errors(image_name: str = "") -> Iterator[None]:
    """Turn an ImageError of ``gluonnorm.photos`` into a DataError.

    Parameters
    ----------
    image_name : str
        The name of an image that is an array. The message begins with it. It is not needed for a
        file, because that message begins with the file's path.

    Raises
    ------
    DataError
        The statements under this context manager raised an ImageError.
    """
    try:
        yield
    except files.ImageError as error:
        message = f"{image_name}: {error}" if image_name else str(error)
        raise DataError(message) from error
