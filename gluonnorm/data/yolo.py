"""Data sets in YOLO's format: a text file of boxes or polygons for each image."""

import os
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.data_yaml import Value, read_data_yaml
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import ALL_FILES, AnnotatedFile, FileDataset
from gluonnorm.data.file_index import FileIndex
from gluonnorm.data.images import image_size
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.data.text_files import Line, read_lines
from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.types import PathLike

import numpy as np

YAML_ENDINGS = (".yaml", ".yml")
LABEL_ENDINGS = (".txt",)
CLASS_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
# The names of one split in different tools.
OTHER_NAMES = {
    "val": ("valid", "validation"),
    "valid": ("val", "validation"),
    "validation": ("val", "valid"),
}
BOX_NUMBERS = 5  # class, center, width and height
SHORTEST_POLYGON = 7  # class and three corners
# Programs round coordinates, so that they may be a little below 0 or beyond 1.
TOLERANCE = 0.01


class _Image(NamedTuple):
    """One image of a split, and what lists it."""

    path: str
    listed_in: str


class _Object(NamedTuple):
    """One row of a label file."""

    class_id: int
    box: List[float]  # x1, y1, x2, y2 as fractions of the image's sides
    polygon: Optional[List[float]]


class YOLODataset(FileDataset):
    """Images and boxes of a YOLO data set, with masks if its rows are polygons.

    A label file has a row for each object, ``class x y width height`` with the box's center, or
    ``class x1 y1 x2 y2 x3 y3 ...`` with the corners of a polygon; all coordinates are fractions of
    the image's sides. An image without a label file, or with an empty one, has no objects. The
    label file of ``images/a.jpg`` is ``labels/a.txt``, or beside the image. The constructor reads
    all labels, so that all faults show before training starts.

    The classes are named in ``data.yaml``, ``classes.txt`` or ``obj.names``.

    Parameters
    ----------
    root : str or path-like
        The folder of the data set, or the path of its ``data.yaml``.
    split : str, optional
        Which images are used: a split of ``data.yaml``; without it, those of the folders
        ``images/<split>``, ``<split>/images`` or ``<split>``, or of the list ``<split>.txt``.
        "val" and "valid" are the same where only one of them exists. None or "." takes all images.
    classes : sequence of str, optional
        Names of the classes to use, in the order of the labels. Objects of other classes are left
        out. None uses all classes in the order of the file that names them. If no file does, these
        are the names of the classes 0, 1, 2, ...
    skip_bad : bool
        False raises an error for all faults. True leaves out the images that have one, and lists
        the faults in ``skipped``.
    masks : bool
        Whether masks are read. Every row must then be a polygon.

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
        The split or the class names are missing, no image has a label file; or, for single images,
        the image is missing or broken, or a row has other numbers than it should have.

    Examples
    --------
    >>> dataset = YOLODataset("coco128", "train")  # doctest: +SKIP
    >>> image, boxes, labels, *_ = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        root: PathLike,
        split: Optional[str] = None,
        classes: Optional[Sequence[str]] = None,
        skip_bad: bool = False,
        masks: bool = False,
    ) -> None:
        self._root = os.fspath(root)
        self._split = split
        folder, description = _open_root(self._root)
        names = _class_names(folder, split or ALL_FILES, description, classes)
        chosen = check_class_names(names if classes is None else classes, self._root, DataError)
        label_of = _label_of(names, chosen, self._root)

        faults = Faults(self._root, skip_bad)
        images, image_folders = _split_images(folder, description, split or ALL_FILES, faults)
        label_paths = [_label_path(image.path) for image in images]
        if not any(os.path.isfile(path) for path in label_paths):
            raise DataError(
                f"{self._root}: none of the {len(images)} images has a label file; looked for "
                f"{first_few(label_paths, 1)}"
            )
        _find_labels_without_image(image_folders, label_paths, faults)
        files: List[AnnotatedFile] = []
        for image, label_path in zip(images, label_paths):
            with faults.catch():
                size = image_size(image.path)
                rows = ObjectRows(f"{label_path}: line")
                if os.path.isfile(label_path):
                    _read_labels(label_path, rows, size, label_of)
                annotations = rows.check(size, faults, masks)
                if annotations is not None:
                    name = os.path.relpath(image.path, folder)
                    files.append(
                        AnnotatedFile(
                            image.path, name, size, annotations, image.listed_in, image.path
                        )
                    )
        super().__init__(self._root, chosen, files, faults)

    def with_masks(self) -> "YOLODataset":
        """Open the same data set with ``masks=True``. The files are read again.

        Returns
        -------
        YOLODataset
            The data set with masks.

        Raises
        ------
        DataError
            A row is no polygon.
        """
        return YOLODataset(self._root, self._split, self.classes, self._skip_bad, masks=True)


class _Description(NamedTuple):
    """What ``data.yaml`` says; no values if there is none."""

    path: str
    values: Dict[str, Value]


def _open_root(root: str) -> Tuple[str, _Description]:
    """Return the folder of the data set, and what its ``data.yaml`` says."""
    if os.path.isfile(root):
        description = _Description(root, read_data_yaml(root))
        folder = os.path.dirname(root) or "."
    else:
        description = _find_description(root)
        folder = root
    if "kpt_shape" in description.values:
        raise DataError(
            f"{description.path}: the rows of this data set are key points (kpt_shape); boxes and "
            "polygons are read"
        )
    return folder, description


def _find_description(folder: str) -> _Description:
    """Read the YAML file in a folder that describes a data set."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
    candidates = [name for name in names if name.lower().endswith(YAML_ENDINGS)]
    preferred = [name for name in candidates if os.path.splitext(name)[0] == "data"]
    described = []
    for name in preferred or candidates:
        path = os.path.join(folder, name)
        values = read_data_yaml(path)
        if "names" in values or "train" in values:
            described.append(_Description(path, values))
    if len(described) > 1:
        paths = [description.path for description in described]
        raise DataError(
            f"{folder}: several files describe the data set, {first_few(paths)}; give the path of "
            "one in place of the folder"
        )
    return described[0] if described else _Description("", {})


def _class_names(
    folder: str, split: str, description: _Description, classes: Optional[Sequence[str]]
) -> Sequence[str]:
    """Return the names of the classes 0, 1, 2, ..., and check that all files agree on them."""
    named: Dict[str, Sequence[str]] = {}
    if "names" in description.values:
        named[description.path] = _names_of(description)
    # labelImg writes classes.txt beside the label files.
    for subfolder in ("", "labels", split, f"labels/{split}", f"{split}/labels"):
        for name in CLASS_LISTS:
            path = os.path.normpath(os.path.join(folder, subfolder, name))
            if os.path.isfile(path):
                named[path] = [line.text for line in read_lines(path)]
    if not named:
        if classes is None:
            raise DataError(
                f"{folder}: no class names: there is no data.yaml with names, "
                f"{', '.join(CLASS_LISTS)}; give them as classes="
            )
        return list(classes)
    if len({tuple(names) for names in named.values()}) > 1:
        contents = [f"{path} has {first_few(names)}" for path, names in named.items()]
        raise DataError(
            f"{folder}: files disagree on the classes: {'; '.join(contents)}; correct one of them"
        )
    path, names = next(iter(named.items()))
    return check_class_names(names, path, DataError)


def _names_of(description: _Description) -> List[str]:
    """Return the class names in ``data.yaml``, a list or a mapping from numbers."""
    path, values = description
    names = values["names"]
    if isinstance(names, str):
        raise DataError(f"{path}: names is {names[:40]!r}; want a list such as [cat, dog]")
    if isinstance(names, dict):
        numbers = [str(number) for number in range(len(names))]
        if sorted(names) != sorted(numbers):
            raise DataError(
                f"{path}: names has the numbers {first_few(list(names))}; want 0 to "
                f"{len(names) - 1}"
            )
        names = [names[number] for number in numbers]
    count = values.get("nc", str(len(names)))
    if count != str(len(names)):
        raise DataError(f"{path}: nc is {count}, but there are {len(names)} names; correct one")
    return names


def _label_of(names: Sequence[str], chosen: Sequence[str], root: str) -> Dict[int, Optional[int]]:
    """Map each class number of the label files to a label; None for a class that is left out."""
    for name in chosen:
        if name not in names:
            raise DataError(
                f"{root}: has no class {name!r}; it has {first_few(names)}"
                f"{did_you_mean(name, names)}"
            )
    label_of_name = {name: label for label, name in enumerate(chosen)}
    return {number: label_of_name.get(name) for number, name in enumerate(names)}


def _split_images(
    folder: str, description: _Description, split: str, faults: Faults
) -> Tuple[List[_Image], List[str]]:
    """List the images of a split, and the folders all of whose images belong to it."""
    sources = _split_sources(folder, description, split)
    images: List[_Image] = []
    folders: List[str] = []
    for source in sources:
        if os.path.isdir(source):
            index = FileIndex(source)
            images += [_Image(index.path(name), source) for name in index.names]
            folders.append(source)
        else:
            images += _listed_images(source, folder, faults)
    if not images:
        faults.raise_if_any()
        raise DataError(f"{first_few(sources)}: is an empty data set: there are no images")
    return images, folders


def _split_sources(folder: str, description: _Description, split: str) -> List[str]:
    """Return the folders and lists that make up a split."""
    names = (split, *OTHER_NAMES.get(split, ()))
    if split == ALL_FILES:
        images = os.path.join(folder, "images")
        return [images if os.path.isdir(images) else folder]
    for name in names:
        value = description.values.get(name)
        if value is not None:
            if isinstance(value, dict):
                raise DataError(f"{description.path}: {name} is no folder, list or several of them")
            values = [value] if isinstance(value, str) else value
            return [_resolve(single, folder, description) for single in values]
    for name in names:
        for pattern in ("images/{}", "{}/images", "{}", "{}.txt", "obj_{}_data"):
            path = os.path.join(folder, pattern.format(name))
            if os.path.exists(path):
                return [path]
    known = [key for key in ("train", "val", "valid", "test") if key in description.values]
    raise DataError(
        f"{folder}: no split {split!r}: no such key in data.yaml, which has {first_few(known)}, "
        f"and no images/{split}, {split}/images, {split} or {split}.txt; the split {ALL_FILES!r} "
        f"takes all images{did_you_mean(split, known)}"
    )


def _resolve(value: str, folder: str, description: _Description) -> str:
    """Find the folder or list that ``data.yaml`` names.

    Roboflow writes ``../train/images`` where ``train/images`` is meant, and other exporters write
    paths of their own machine. Leading folders are therefore left out until the rest exists, but
    never the name of the split in front of "images".
    """
    base = description.values.get("path", "")
    tried = [os.path.join(folder, str(base), value), os.path.join(folder, value)]
    parts = [part for part in value.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for first in range(len(parts)):
        if parts[first:] != ["images"] or len(parts) == 1:
            tried.append(os.path.join(folder, *parts[first:]))
    for path in tried:
        if os.path.exists(path):
            return os.path.normpath(path)
    raise DataError(f"{description.path}: names {value!r}, but there is no {tried[0]}")


def _listed_images(list_path: str, folder: str, faults: Faults) -> List[_Image]:
    """Find the images that a list names."""
    index = FileIndex(folder)
    images = []
    for line in read_lines(list_path):
        listed_in = f"{list_path}: line {line.number}"
        with faults.catch():
            name = index.find(line.text)
            if name is None:
                raise DataError(
                    f"{listed_in}: no such image file {line.text!r} in {folder}, which holds "
                    f"{len(index.names)} images; add it or remove the line"
                )
            images.append(_Image(index.path(name), listed_in))
    return images


def _label_folder(image_folder: str) -> str:
    """Replace the last folder "images" of a path with "labels"."""
    path = os.path.join(".", image_folder, "")
    before, separator, after = path.rpartition("/images/")
    return f"{before}/labels/{after}".rstrip("/") if separator else image_folder


def _label_path(image_path: str) -> str:
    """Return the path of an image's label file, which need not exist."""
    image_folder, name = os.path.split(image_path)
    label_name = os.path.splitext(name)[0] + LABEL_ENDINGS[0]
    beside = os.path.join(image_folder, label_name)
    path = os.path.join(_label_folder(image_folder), label_name)
    return beside if os.path.isfile(beside) and not os.path.isfile(path) else path


def _find_labels_without_image(
    image_folders: Iterable[str], label_paths: Iterable[str], faults: Faults
) -> None:
    """Record the label files whose image is missing."""
    used: Set[str] = set(label_paths)
    for image_folder in image_folders:
        label_folder = _label_folder(image_folder)
        if not os.path.isdir(label_folder):
            label_folder = image_folder
        index = FileIndex(label_folder, LABEL_ENDINGS)
        for name in index.names:
            path = index.path(name)
            if path not in used and os.path.basename(name) not in CLASS_LISTS and _is_label(path):
                faults.add(f"{path}: has no image in {image_folder}; add it or remove the file")


def _is_label(path: str) -> bool:
    """Tell whether a text file is a label file, and not a list or a note."""
    try:
        lines = read_lines(path)
        _read_row(lines[0], path)
    except (DataError, IndexError):
        return False
    return True


def _read_labels(
    path: str, rows: ObjectRows, size: Tuple[int, int], label_of: Dict[int, Optional[int]]
) -> None:
    """Read the rows of a label file."""
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
            rows.add(line.number, box, label, polygons=polygons)


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
