"""Images beside each other in one picture."""

import math
from typing import Optional, Sequence

from gluonnorm.errors import InputError

import numpy as np


def grid(images: Sequence[np.ndarray], columns: Optional[int] = None, gap: int = 4) -> np.ndarray:
    """Arrange images in a grid, row by row.

    Every cell is as large as the largest height and width of the images. Smaller images are
    centered in their cells.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        At least one image, each (H, W, 3) uint8, of any size.
    columns : int or None
        Number of images in a row. None chooses it so that there are about as many rows as columns.
    gap : int
        Number of white pixels between cells.

    Returns
    -------
    numpy.ndarray
        (H', W', 3) uint8, one picture.

    Raises
    ------
    InputError
        There are no images, an image has another shape or dtype, or ``columns`` or ``gap`` is too
        small.

    Examples
    --------
    >>> grid([np.zeros((20, 30, 3), np.uint8)] * 3).shape
    (44, 64, 3)
    """
    if not len(images):
        raise InputError("grid got no images; give at least one (H, W, 3) uint8 array")
    for image in images:
        check_image(image)
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    columns = min(columns, len(images))
    if columns < 1 or gap < 0:
        raise InputError(
            f"grid got columns={columns} and gap={gap}; want at least 1 and at least 0"
        )
    rows = math.ceil(len(images) / columns)
    cell_height = max(image.shape[0] for image in images)
    cell_width = max(image.shape[1] for image in images)
    page_height = rows * (cell_height + gap) - gap
    page_width = columns * (cell_width + gap) - gap
    page = np.full((page_height, page_width, 3), 255, dtype=np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        height, width = image.shape[:2]
        top = row * (cell_height + gap) + (cell_height - height) // 2
        left = column * (cell_width + gap) + (cell_width - width) // 2
        page[top : top + height, left : left + width] = image
    return page


def check_image(image: np.ndarray) -> None:
    """Check that an array is an image.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8, RGB.

    Raises
    ------
    InputError
        It has another shape or dtype, or no pixels.
    """
    shape = getattr(image, "shape", None)
    dtype = getattr(image, "dtype", type(image).__name__)
    is_rgb = shape is not None and len(shape) == 3 and shape[2] == 3 and 0 not in shape
    if not is_rgb or dtype != np.uint8:
        raise InputError(
            f"image is {shape} of {dtype}; want (H, W, 3) of uint8, RGB, at least 1 pixel each way"
        )
