"""Read the packed labels of LST and RecordIO files, as MXNet's ``im2rec`` writes them.

A label is a list of numbers: the length of the header, the length of a row, the rest of the header,
then the rows ``class x1 y1 x2 y2`` and more columns. ``mxnet.image.ImageDetIter`` reads the same.
"""

from typing import Iterable, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.data.annotations import ImageAnnotations
from gluonnorm.data.faults import Faults
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.errors import first_few

import numpy as np

SHORTEST_HEADER = 2
BOX_COLUMNS = 5  # class and corners
# Boxes may reach a little over the border. Pixels in place of fractions are far beyond.
FRACTION_RANGE = (-0.5, 1.5)


def read_packed_label(label: np.ndarray, where: str) -> np.ndarray:
    """Read the rows of a packed label.

    Parameters
    ----------
    label : numpy.ndarray
        (L,) float, the numbers of the label.
    where : str
        The file and the place of the label. A message begins with it.

    Returns
    -------
    numpy.ndarray
        (G, 5 or more), rows of class, corners and further columns. Rows of -1, which pad labels to
        the same length, are left out.

    Raises
    ------
    DataError
        The label has no valid header, or its length does not fit the header.

    Examples
    --------
    >>> read_packed_label(np.array([2, 5, 0, 0.1, 0.2, 0.5, 0.6]), "a.lst: line 1").tolist()
    [[0.0, 0.1, 0.2, 0.5, 0.6]]
    """
    label = np.asarray(label, np.float64).ravel()
    if len(label) < SHORTEST_HEADER:
        raise DataError(
            f"{where}: label has {len(label)} number(s), as for classification; a label of boxes "
            "begins with the lengths of its header and of a row, such as 2 5 (with im2rec: "
            "--pack-label)"
        )
    header, width = label[:SHORTEST_HEADER]
    is_header = float(header).is_integer() and SHORTEST_HEADER <= header <= len(label)
    if not is_header or not float(width).is_integer() or width < BOX_COLUMNS:
        raise DataError(
            f"{where}: label begins with {header:g} {width:g}; want the length of its header, 2 or "
            "more, and that of a row, 5 or more"
        )
    numbers = label[int(header) :]
    if len(numbers) % int(width):
        raise DataError(
            f"{where}: label has {len(numbers)} numbers after its header; want rows of {width:g}"
        )
    rows = numbers.reshape(-1, int(width))
    is_padding = (rows[:, :BOX_COLUMNS] == -1).all(axis=1)
    return rows[~is_padding]


class PackedRows(NamedTuple):
    """What the rows of all labels of a file mean, which the file itself does not say.

    Attributes
    ----------
    classes : sequence of str
        Names of the C classes.
    normalized : bool
        Whether coordinates are fractions of the image's sides, and not pixels.
    difficult : bool or None
        Whether the sixth column is VOC's ``difficult``; None if nothing is said.
    """

    classes: Sequence[str]
    normalized: bool
    difficult: Optional[bool]

    def check_columns(self, tables: Iterable[np.ndarray], source: str) -> None:
        """Check what the labels of a file have in common.

        Parameters
        ----------
        tables : iterable of numpy.ndarray
            What ``read_packed_label`` returned for each image.
        source : str
            The file. A message begins with it.

        Raises
        ------
        DataError
            There are more than five columns, and it is not said what the sixth is; or it is said to
            be ``difficult`` and there is none; or all coordinates of a file of pixels are at most
            1.
        """
        filled = [table for table in tables if len(table)]
        widths = {table.shape[1] for table in filled}
        if self.difficult is None and any(width > BOX_COLUMNS for width in widths):
            raise DataError(
                f"{source}: rows have {max(widths)} numbers; if the sixth is VOC's difficult, give "
                "difficult=True, and difficult=False to leave out what follows the box"
            )
        if self.difficult and BOX_COLUMNS in widths:
            raise DataError(f"{source}: a row has 5 numbers; difficult=True wants a sixth in each")
        if not self.normalized and filled:
            largest = max(np.abs(table[:, 1:BOX_COLUMNS]).max() for table in filled)
            if largest <= 1:
                raise DataError(
                    f"{source}: no coordinate is beyond 1; they are fractions of the image's sides "
                    "and not pixels, so give normalized=True (without --pixel-boxes)"
                )

    def annotations(
        self, table: np.ndarray, size: Tuple[int, int], where: str, faults: Faults
    ) -> Optional[ImageAnnotations]:
        """Check the rows of one image.

        Parameters
        ----------
        table : numpy.ndarray
            (G, 5 or more), what ``read_packed_label`` returned.
        size : tuple of int
            Height and width of the image in pixels.
        where : str
            The file and the place of the label. A message begins with it.
        faults : Faults
            Gets a fault for each row that cannot be right.

        Returns
        -------
        ImageAnnotations or None
            The annotations; None if a row has a fault.
        """
        height, width = size
        scale = np.array([width, height, width, height]) if self.normalized else np.ones(4)
        rows = ObjectRows(f"{where}: row")
        for number, row in enumerate(table):
            with rows.catch():
                place = f"{where}: row {number}"
                label = _checked_class(row[0], self.classes, place)
                corners = row[1:BOX_COLUMNS]
                if self.normalized:
                    _check_fractions(corners, place)
                crowd = False
                if self.difficult:
                    crowd = row[BOX_COLUMNS] == 1
                    if row[BOX_COLUMNS] not in (0, 1):
                        raise DataError(f"{place} has difficult {row[BOX_COLUMNS]:g}; want 0 or 1")
                rows.add(number, (corners * scale).tolist(), label, crowd)
        return rows.check(size, faults)


def _checked_class(number: float, classes: Sequence[str], place: str) -> int:
    """Check the class of a row."""
    if float(number).is_integer() and 0 <= number < len(classes):
        return int(number)
    raise DataError(
        f"{place}: label {number:g} is out of range; want 0..{len(classes) - 1} for the "
        f"{len(classes)} classes {first_few(classes)}"
    )


def _check_fractions(corners: np.ndarray, place: str) -> None:
    """Raise a DataError if a coordinate is no fraction of the image's side."""
    lowest, highest = FRACTION_RANGE
    beyond = corners[~((corners >= lowest) & (corners <= highest))]
    if beyond.size:
        raise DataError(
            f"{place} has coordinate {beyond[0]:g}; want fractions of the image's sides, 0 to 1; "
            "for pixels give normalized=False (--pixel-boxes)"
        )
