"""Image files to RGB arrays."""
from typing import Tuple

from gluonnorm.data.labeled_image import DataError, PathLike
from gluonnorm.photos import files

import numpy as np


def read_image(path: PathLike) -> np.ndarray:
    """``photos.files.read_image``: an (H, W, 3) uint8 RGB array. Raises DataError for what is no whole image."""
    try:
        return files.read_image(path)
    except files.ImageError as error:
        raise DataError(str(error)) from error


def image_size(path: PathLike) -> Tuple[int, int]:
    """Height and width of what ``read_image`` returns, from the file's header alone. Raises DataError likewise."""
    try:
        return files.image_size(path)
    except files.ImageError as error:
        raise DataError(str(error)) from error
