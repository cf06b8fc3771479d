"""Open RecordIO and LST files with GluonCV's readers.

``gluonnorm.data`` does not import this module, because it imports GluonCV.
"""

import os
from typing import Sequence

from gluonnorm.data.gluoncv import GluonCVDataset
from gluonnorm.data.labeled_image import DataError
from gluonnorm.types import PathLike

from gluoncv.data import LstDetection, RecordFileDetection


def open_record(path: PathLike, classes: Sequence[str], normalized: bool = True) -> GluonCVDataset:
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
    return GluonCVDataset(RecordFileDetection(path, coord_normalized=normalized), classes)


def open_lst(
    path: PathLike, root: PathLike, classes: Sequence[str], normalized: bool = True
) -> GluonCVDataset:
    """Open the detection data set in an LST file of im2rec.

    Parameters
    ----------
    path : str or path-like
        The file, which ends in .lst.
    root : str or path-like
        The folder that the file's image names are relative to.
    classes : sequence of str
        Names of the classes.
    normalized : bool
        True if the file's coordinates are fractions of the image's sides, False if they are
        pixels.

    Returns
    -------
    GluonCVDataset
        The data set.

    Raises
    ------
    DataError
        The file is missing, or is not an LST file.

    Examples
    --------
    >>> dataset = open_lst("train.lst", "images", ["cat", "dog"])  # doctest: +SKIP
    """
    path = os.fspath(path)
    _require_file(path)
    try:
        dataset = LstDetection(path, root=os.fspath(root), coord_normalized=normalized)
    except ValueError as error:
        raise DataError(f"{path}: is not an LST file: {error}") from error
    return GluonCVDataset(dataset, classes)


def _require_file(path: str) -> None:
    """Raise a DataError if there is no such file."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; is the path right?")
