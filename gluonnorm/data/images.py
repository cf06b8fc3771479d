"""Image files to RGB arrays."""
from typing import Tuple

from gluonnorm.data.record import DataError, PathLike
from gluonnorm.ops import images

import numpy as np


def read_image(path: PathLike) -> np.ndarray:
    """``ops.images.read_image``: an (H, W, 3) uint8 RGB array. Raises DataError for what is no whole image."""
    try:
        return images.read_image(path)
    except images.ImageError as error:
        raise DataError(str(error)) from error


def image_size(path: PathLike) -> Tuple[int, int]:
    """Height and width of what ``read_image`` returns, from the file's header alone. Raises DataError likewise."""
    try:
        return images.image_size(path)
    except images.ImageError as error:
        raise DataError(str(error)) from error
