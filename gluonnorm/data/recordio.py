"""Data sets in RecordIO files."""

import os
import threading
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import AnnotatedFile, FileDataset
from gluonnorm.data.images import data_errors
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.lst import LSTDataset
from gluonnorm.data.packed_labels import PackedRows, read_packed_label
from gluonnorm.data.text_files import read_lines
from gluonnorm.errors import first_line
from gluonnorm.photos import files
from gluonnorm.types import PathLike

import mxnet as mx
import numpy as np


class _Entry(NamedTuple):
    """One record: its key, its place in messages, the size of its image, and its label's rows."""

    key: int
    where: str
    size: Tuple[int, int]
    table: np.ndarray


class RecordDataset(FileDataset):
    """Images and boxes in a RecordIO file, as ``im2rec`` packs them.

    An image may have no boxes, and rows of -1 are left out. The constructor reads every record, but
    decodes no image, so that faults show before training starts.

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
        False raises an error for all faults. True leaves out the records that have one, and lists
        the faults in ``skipped``.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.
    skipped : tuple of str
        The faults for which a record was left out.

    Raises
    ------
    DataError
        The file or its index is missing, or an option contradicts its numbers; or, for single
        records, the record is damaged or holds no image, its label is no label of boxes, a class
        is out of range, or a box is outside its image.

    Examples
    --------
    >>> dataset = RecordDataset("train.rec", ["cat", "dog"])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: PathLike,
        classes: Sequence[str],
        normalized: bool = True,
        difficult: Optional[bool] = None,
        skip_bad: bool = False,
    ) -> None:
        path = os.fspath(path)
        classes = check_class_names(classes, path, DataError)
        # The file has a single read position. Without the lock, the loader's threads would move it
        # between another thread's seek and read.
        self._lock = threading.Lock()
        self._records = _open_records(path)
        faults = Faults(path, skip_bad)
        entries: List[_Entry] = []
        for key in self._records.keys:
            with faults.catch():
                where = f"{path}: record {key}"
                header, content = self._unpack(key, where)
                table = read_packed_label(np.asarray(header.label), where)
                with data_errors(where):
                    entries.append(_Entry(key, where, files.image_size(content), table))
        meaning = PackedRows(classes, normalized, difficult)
        meaning.check_columns([entry.table for entry in entries], path)

        annotated: List[AnnotatedFile] = []
        for key, where, size, table in entries:
            annotations = meaning.annotations(table, size, where, faults)
            if annotations is not None:
                annotated.append(AnnotatedFile(where, str(key), size, annotations, where, where))
        super().__init__(path, classes, annotated, faults)

    def _read_image(self, file: AnnotatedFile) -> np.ndarray:
        """Read the image of a record."""
        _, content = self._unpack(int(file.name), file.path)
        with data_errors(file.path):
            return files.read_image(content)

    def _unpack(self, key: int, where: str) -> Tuple[Any, bytes]:
        """Read a record, and separate its header and its image."""
        try:
            with self._lock:
                record = self._records.read_idx(key)
            if record is None:
                raise ValueError("the file ends before it")
            return mx.recordio.unpack(record)
        except Exception as error:
            # MXNet raises errors of many classes for a damaged record.
            raise DataError(
                f"{where}: cannot be read: {first_line(error)}; is the .idx file that of this "
                ".rec file?"
            ) from error


# The names by which version 0.1.0 opened these files.
open_record = RecordDataset
open_lst = LSTDataset


def _open_records(path: str) -> mx.recordio.MXIndexedRecordIO:
    """Open a RecordIO file with its index."""
    index_path = os.path.splitext(path)[0] + ".idx"
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; is the path right?")
    if not os.path.isfile(index_path):
        raise DataError(
            f"{index_path}: no such file; the index belongs beside the .rec file, and MXNet's "
            "tools/rec2idx.py makes it"
        )
    keys = set()
    for line in read_lines(index_path):
        columns = line.text.split("\t")
        if len(columns) != 2 or not all(column.isdecimal() for column in columns):
            raise DataError(
                f"{index_path}: line {line.number} is {line.text[:40]!r}; want a key and a position"
            )
        keys.add(columns[0])
    if not keys:
        raise DataError(f"{index_path}: is an empty data set: it lists no records")
    return mx.recordio.MXIndexedRecordIO(index_path, path, "r")
