"""Data sets in LST files of MXNet's ``im2rec``: a line of numbers for each image."""

import os
from typing import List, NamedTuple, Optional, Sequence

from gluonnorm.class_names import check_class_names
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import AnnotatedFile, FileDataset
from gluonnorm.data.image_files import ImageFolder
from gluonnorm.data.images import image_size
from gluonnorm.data.labeled_image import DataError, MissingImagesError
from gluonnorm.data.packed_labels import PackedRows, read_packed_label
from gluonnorm.data.text_files import Line, read_lines
from gluonnorm.errors import first_few
from gluonnorm.types import PathLike

import numpy as np


class _Entry(NamedTuple):
    """One line of the file."""

    where: str
    name: str
    path: str
    table: np.ndarray


class LSTDataset(FileDataset):
    """Images and boxes of an LST file of ``im2rec``.

    A line has the columns index, label and image name, which are separated by tabs. An image may
    have no boxes, and rows of -1 are left out. The constructor reads all labels and looks for every
    image, so that all faults show before training starts.

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
    difficult : bool, optional
        What the sixth number of a row is: True, VOC's ``difficult``; False, something to be left
        out. None is right for rows of five numbers.
    skip_bad : bool
        False raises an error for all faults. True leaves out the images that have one, and lists
        the faults in ``skipped``.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.
    skipped : tuple of str
        The faults for which an image was left out.

    Raises
    ------
    DataError
        The file is missing or empty, an option contradicts its numbers; or, for single lines, the
        columns are not separated by tabs, the label is no label of boxes, the image is missing or
        listed twice, a class is out of range, or a box is outside its image.

    Examples
    --------
    >>> dataset = LSTDataset("train.lst", "images", ["cat", "dog"])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: PathLike,
        root: PathLike,
        classes: Sequence[str],
        normalized: bool = True,
        difficult: Optional[bool] = None,
        skip_bad: bool = False,
    ) -> None:
        path = os.fspath(path)
        classes = check_class_names(classes, path, DataError)
        faults = Faults(path, skip_bad)
        images = ImageFolder(os.path.expanduser(root))
        entries: List[_Entry] = []
        lines = read_lines(path)
        for line in lines:
            with faults.catch():
                entries.append(_read_line(line, path, images, os.fspath(root)))
        if lines and not entries:
            _require_any_image(lines, path, images, os.fspath(root))
        meaning = PackedRows(classes, normalized, difficult)
        meaning.check_columns([entry.table for entry in entries], path)

        files: List[AnnotatedFile] = []
        for where, name, image_path, table in entries:
            with faults.catch():
                size = image_size(image_path)
                annotations = meaning.annotations(table, size, where, faults)
                if annotations is not None:
                    files.append(
                        AnnotatedFile(image_path, name, size, annotations, where, image_path)
                    )
        super().__init__(path, classes, files, faults)


def _read_line(line: Line, path: str, images: ImageFolder, root: str) -> _Entry:
    """Read one line, and find its image."""
    where = f"{path}: line {line.number}"
    columns = line.text.split("\t")
    if len(columns) == 1:
        raise DataError(
            f"{where} has no tabs; the columns of an LST file, index, label and image name, are "
            "separated by tabs and not by spaces"
        )
    _, *numbers, name = columns
    try:
        label = np.array(numbers, np.float64)
    except ValueError as error:
        raise DataError(f"{where}: is not a line of an LST file: {error}") from error
    table = read_packed_label(label, where)
    image_path = images.find(name.strip())
    if image_path is None:
        raise DataError(f"{where}: no such image file {name.strip()!r} in {root or '.'}")
    return _Entry(where, name.strip(), image_path, table)


def _require_any_image(lines: Sequence[Line], path: str, images: ImageFolder, root: str) -> None:
    """Raise a MissingImagesError if no line names an image that exists."""
    columns = [line.text.split("\t") for line in lines]
    names = [line_columns[-1].strip() for line_columns in columns if len(line_columns) > 1]
    if len(names) == len(lines) and not any(map(images.find, names)):
        raise MissingImagesError(
            f"{path}: none of its {len(names)} images is in {root or '.'}; no such image file: "
            f"{first_few(names)}; name the folder that holds the images"
        )
