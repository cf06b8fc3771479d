"""Open RecordIO and LST files with GluonCV's readers.

``gluonnorm.data`` does not import this module, because it imports GluonCV.
"""

import os
from typing import Optional, Sequence

from gluonnorm.data.gluoncv import GluonCVDataset
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.lst import LSTDataset
from gluonnorm.types import PathLike

from gluoncv.data import RecordFileDetection


def open_record(
    path: PathLike,
    classes: Sequence[str],
    normalized: bool = True,
    difficult: Optional[bool] = None,
    skip_bad: bool = False,
) -> GluonCVDataset:
    """Open the detection data set in a RecordIO file.

    Parameters
    ----------
    path : str or path-like
        The file, which ends in .rec. Its index, which ends in .idx, is in the same folder.
    classes : sequence of str
        Names of the classes.
    normalized : bool
        True if the file's coordinates are fractions of the image's sides, as im2rec usually
        writes them; False if they are pixels.
    difficult : bool, optional
        What the sixth number of a row is: True, VOC's ``difficult``; False, something to be left
        out. None is right for rows of five numbers.
    skip_bad : bool
        True reads every record once and leaves out those that have a fault.

    Returns
    -------
    GluonCVDataset
        The data set.

    Raises
    ------
    DataError
        The file or its index is missing.

    Examples
    --------
    >>> dataset = open_record("train.rec", ["cat", "dog"])  # doctest: +SKIP
    """
    path = os.fspath(path)
    stem, _ = os.path.splitext(path)
    _require_file(path)
    _require_file(stem + ".idx")
    records = RecordFileDetection(path, coord_normalized=normalized)
    return GluonCVDataset(records, classes, difficult, skip_bad)


def open_lst(
    path: PathLike,
    root: PathLike,
    classes: Sequence[str],
    normalized: bool = True,
    difficult: Optional[bool] = None,
    skip_bad: bool = False,
) -> LSTDataset:
    """Open the detection data set in an LST file of im2rec.

    Parameters
    ----------
    path, root, classes, normalized, difficult, skip_bad
        As for ``LSTDataset``.

    Returns
    -------
    LSTDataset
        The data set.

    Raises
    ------
    DataError
        As for ``LSTDataset``.

    Examples
    --------
    >>> dataset = open_lst("train.lst", "images", ["cat", "dog"])  # doctest: +SKIP
    """
    return LSTDataset(path, root, classes, normalized, difficult, skip_bad)


def _require_file(path: str) -> None:
    """Raise a DataError if there is no such file."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; is the path right?")
