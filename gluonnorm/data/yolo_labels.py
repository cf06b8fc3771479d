"""Read the label files of YOLO's format: a row of numbers for each object."""

from typing import Dict, List, NamedTuple, Optional, Tuple

from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.data.text_files import Line, read_lines

import numpy as np

BOX_NUMBERS = 5  # class, center, width and height
SHORTEST_POLYGON = 7  # class and three corners
# Programs round coordinates, so that they may be a little below 0 or beyond 1.
TOLERANCE = 0.01


class _Object(NamedTuple):
    """One row of a label file."""

    class_id: int
    box: List[float]  # x1, y1, x2, y2 as fractions of the image's sides
    polygon: Optional[List[float]]


def read_labels(
    path: str, rows: ObjectRows, size: Tuple[int, int], label_of: Dict[int, Optional[int]]
) -> None:
    """Read the rows of a label file.

    Parameters
    ----------
    path : str
        The file.
    rows : ObjectRows
        Gets the objects, and what is wrong with single rows.
    size : tuple of int
        Height and width of the image in pixels.
    label_of : dict of int to int
        The label of each class number; None for a class that is left out.

    Raises
    ------
    DataError
        The file is no text.
    """
    height, width = size
    for line in read_lines(path):
        with rows.catch():
            item = _read_row(line, path)
            if item.class_id not in label_of:
                raise DataError(
                    f"{path}: line {line.number} is of class {item.class_id}; want 0.."
                    f"{len(label_of) - 1} for the {len(label_of)} classes"
                )
            label = label_of[item.class_id]
            if label is None:
                continue
            x1, y1, x2, y2 = item.box
            box = [x1 * width, y1 * height, x2 * width, y2 * height]
            polygons = None
            if item.polygon is not None:
                corners = np.reshape(item.polygon, (-1, 2)) * (width, height)
                polygons = [corners.ravel().tolist()]
            rows.add(line.number, box, label, segmentation=polygons)


def is_label_file(path: str) -> bool:
    """Tell whether a text file is a label file, and not a list or a note.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    bool
        Whether its first row is that of an object. An empty file is none.
    """
    try:
        lines = read_lines(path)
        _read_row(lines[0], path)
    except (DataError, IndexError):
        return False
    return True


def _read_row(line: Line, path: str) -> _Object:
    """Read and check the numbers of one row."""
    where = f"{path}: line {line.number}"
    try:
        class_number, *coordinates = [float(word) for word in line.text.split()]
    except ValueError as error:
        raise DataError(f"{where} is {line.text[:40]!r}; want numbers") from error
    count = len(coordinates) + 1
    if count != BOX_NUMBERS and (count < SHORTEST_POLYGON or count % 2 == 0):
        raise DataError(
            f"{where} has {count} numbers; want 5 (class, center, width and height) or an odd "
            "number from 7 on (class and the corners of a polygon)"
        )
    if not class_number.is_integer():
        raise DataError(f"{where} is of class {class_number:g}; want an integer")
    for coordinate in coordinates:
        if not -TOLERANCE <= coordinate <= 1 + TOLERANCE:
            raise DataError(
                f"{where} has coordinate {coordinate:g}; want fractions of the image's sides, 0 to "
                "1, and not pixels"
            )
    if count == BOX_NUMBERS:
        x, y, width, height = coordinates
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        return _Object(int(class_number), box, None)
    horizontal = coordinates[0::2]
    vertical = coordinates[1::2]
    box = [min(horizontal), min(vertical), max(horizontal), max(vertical)]
    return _Object(int(class_number), box, coordinates)
