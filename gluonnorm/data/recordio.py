"""RecordIO and LST files, read by GluonCV. Apart from the rest of ``data``, because it imports GluonCV."""
import os
from typing import Sequence

from gluonnorm.data.gluoncv import GluonCVDataset
from gluonnorm.data.labeled_image import DataError, PathLike

from gluoncv.data import LstDetection, RecordFileDetection


def open_record(path: PathLike, classes: Sequence[str], normalized: bool = True) -> GluonCVDataset:
    """The data set in a RecordIO file, ``path`` ending in .rec with its .idx beside it.

    ``normalized`` says that the file's coordinates are fractions of the image's sides, as im2rec's LST files usually
    have them. Raises DataError if either file is missing.
    """
    path = os.fspath(path)
    for file in (path, os.path.splitext(path)[0] + ".idx"):
        _require(file)
    return GluonCVDataset(RecordFileDetection(path, coord_normalized=normalized), classes)


def open_lst(path: PathLike, root: PathLike, classes: Sequence[str], normalized: bool = True) -> GluonCVDataset:
    """The data set in an LST file whose image names are relative to the folder ``root``.

    ``normalized`` as in ``open_record``. Raises DataError if the file is missing or not in LST's format.
    """
    path = os.fspath(path)
    _require(path)
    try:
        dataset = LstDetection(path, root=os.fspath(root), coord_normalized=normalized)
    except ValueError as error:
        raise DataError(f"{path}: is not an LST file: {error}") from error
    return GluonCVDataset(dataset, classes)


def _require(path: str) -> None:
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
