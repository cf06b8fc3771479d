"""Data sets in Labelme's format: a JSON file beside each image, with the shapes of its objects."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from gluonnorm.class_names import composed
from gluonnorm.data.class_labels import ClassLabels
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import ALL_FILES, AnnotatedFile, FileDataset
from gluonnorm.data.file_index import FileIndex
from gluonnorm.data.foreign_json import recognize_json
from gluonnorm.data.images import image_size
from gluonnorm.data.json_file import read_json, required_text, shorten, to_integer
from gluonnorm.data.labeled_image import DataError, MissingSplitError
from gluonnorm.data.labelme_shapes import LabelmeShape, read_shape
from gluonnorm.data.masks import join_segmentations
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.types import PathLike

import numpy as np

JSON_ENDINGS = (".json",)


class _File(NamedTuple):
    """The content of a JSON file."""

    path: str
    image_path: str
    has_image_data: bool
    size: Optional[Tuple[int, int]]
    shapes: List[Any]


class _Instance(NamedTuple):
    """One object: a shape, or several of the same group."""

    name: str
    label: int
    is_difficult: bool
    parts: List[LabelmeShape]


class LabelmeDataset(FileDataset):
    """Images and boxes of a folder of Labelme's JSON files, with masks if the shapes have outlines.

    A rectangle, polygon, circle or mask becomes the smallest box around it, and so does a rotated
    rectangle (Labelme's ``oriented_rectangle``, X-AnyLabeling's ``rotation``). Shapes of one label
    and one ``group_id`` are parts of one object. A shape whose ``difficult``, or whose flag of this
    name, is true is flagged as crowd. Images without a JSON file are not part of the data set. The
    constructor reads every file of the split and looks for every image, so that all faults show
    before training starts.

    Parameters
    ----------
    root : str or path-like
        The folder of the data set.
    split : str, optional
        A subfolder of ``root``. None or "." takes all JSON files below ``root``.
    classes : sequence of str, optional
        Names of the classes to use, in the order of the labels. Shapes of other classes are left
        out. None collects the labels from every JSON file below ``root`` and sorts them, so that
        all splits agree.
    skip_bad : bool
        False raises an error for all faults. True leaves out the images that have one, and lists
        the faults in ``skipped``.
    masks : bool
        Whether masks are read. No shape may then be a rectangle, unless it is rotated.

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
        The split is missing or empty, or no shape is of the given classes; or, for single images,
        the JSON file is broken or not Labelme's, the image is missing, or a shape is of another
        kind, has faulty points, or is outside its image.

    Examples
    --------
    >>> dataset = LabelmeDataset("photos", "train")  # doctest: +SKIP
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
        self._split = split or ALL_FILES
        index = FileIndex(self._root, JSON_ENDINGS)
        names = _names_of_split(index, self._split)
        faults = Faults(self._root, skip_bad)
        contents: Dict[str, _File] = {}
        for name in index.names if classes is None else names:
            with faults.catch():
                contents[name] = _read_file(index.path(name))
        if classes is None:
            classes = _collect_classes(self._root, contents, faults)
        labels = ClassLabels(classes, self._root)

        images = FileIndex(self._root)
        files: List[AnnotatedFile] = []
        for name in names:
            if name in contents:
                with faults.catch():
                    file = _annotated_file(name, contents[name], images, labels, masks, faults)
                    if file is not None:
                        files.append(file)
        super().__init__(
            self._root, labels.classes, files, faults, misnamed_classes=labels.misnamed()
        )
        labels.require_use()

    def with_masks(self) -> "LabelmeDataset":
        """Open the same data set with ``masks=True``. The files are read again.

        Returns
        -------
        LabelmeDataset
            The data set with masks.

        Raises
        ------
        DataError
            A shape is a rectangle, or an outline is faulty.
        """
        return LabelmeDataset(self._root, self._split, self.classes, self._skip_bad, masks=True)


def _names_of_split(index: FileIndex, split: str) -> List[str]:
    """Return the names of the split's JSON files."""
    if split == ALL_FILES:
        names = index.names
    else:
        folder = os.path.normpath(split).replace(os.sep, "/")
        names = [name for name in index.names if name.startswith(f"{folder}/")]
    if not names:
        folders = sorted({os.path.dirname(name) for name in index.names} - {""})
        raise MissingSplitError(
            f"{index.folder}: is an empty data set: no JSON files in split {split!r}; folders with "
            f"JSON files: {first_few(folders)}; the split {ALL_FILES!r} takes all "
            f"{len(index.names)}{did_you_mean(split, folders)}"
        )
    return names


def _read_file(path: str) -> _File:
    """Read a JSON file, and keep what is needed of it. The image inside it may be large."""
    content = read_json(path)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        foreign = recognize_json(content)
        origin = f" and is {foreign.description}" if foreign is not None else ""
        raise DataError(
            f"{path}: is no file of Labelme: it has no list 'shapes'{origin}; move it away"
        )
    height = to_integer(content.get("imageHeight"))
    width = to_integer(content.get("imageWidth"))
    has_size = height is not None and width is not None and height > 0 and width > 0
    image_path = content.get("imagePath")
    return _File(
        path=path,
        image_path=image_path if isinstance(image_path, str) else "",
        has_image_data=bool(content.get("imageData")),
        size=(height or 0, width or 0) if has_size else None,
        shapes=shapes,
    )


def _collect_classes(root: str, contents: Dict[str, _File], faults: Faults) -> List[str]:
    """Collect the labels in all files, sorted."""
    labels: Set[str] = set()
    for content in contents.values():
        for shape in content.shapes:
            label = shape.get("label") if isinstance(shape, dict) else None
            if isinstance(label, str) and label.strip():
                labels.add(composed(label.strip()))
    if not labels:
        faults.raise_if_any()
        raise DataError(
            f"{root}: no classes: read {len(contents)} JSON files, and none has a labeled shape; "
            "if this is the data set's folder, give the names as classes="
        )
    return sorted(labels)


def _annotated_file(
    name: str,
    content: _File,
    images: FileIndex,
    labels: ClassLabels,
    masks: bool,
    faults: Faults,
) -> Optional[AnnotatedFile]:
    """Find the image of a JSON file and check its shapes; None if there is a fault."""
    image_name = _image_name(name, content, images)
    path = images.path(image_name)
    size = content.size or image_size(path)
    rows = ObjectRows(f"{content.path}: shape")
    for instance in _read_instances(content, size, labels, rows):
        corners = np.concatenate([part.corners for part in instance.parts])
        box = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
        segmentation = None
        with rows.catch():
            if masks:
                where = f"{content.path}: shape {instance.name}"
                parts = [part.segmentation for part in instance.parts]
                segmentation = join_segmentations(parts, size, where)
        rows.add(instance.name, box, instance.label, instance.is_difficult, segmentation)
    annotations = rows.check(size, faults, masks)
    if annotations is None:
        return None
    return AnnotatedFile(path, image_name, size, annotations, content.path, content.path)


def _image_name(name: str, content: _File, images: FileIndex) -> str:
    """Find the image of a JSON file: the one it names, or the one beside it."""
    reference = content.image_path.replace("\\", "/")
    beside = os.path.normpath(os.path.join(os.path.dirname(name), reference))
    if reference and os.path.isfile(images.path(beside)):
        return beside
    stem = os.path.splitext(name)[0]
    for candidate in (stem, reference, os.path.basename(stem)):
        image_name = images.find(candidate)
        if image_name is not None:
            return image_name
    inside = ""
    if content.has_image_data:
        inside = "; it is only inside the JSON file (imageData), so write it to a file of its own"
    raise DataError(
        f"{content.path}: no such image file {content.image_path!r} in {images.folder}, which "
        f"holds {len(images.names)} images{inside}"
    )


def _read_instances(
    content: _File, size: Tuple[int, int], labels: ClassLabels, rows: ObjectRows
) -> List[_Instance]:
    """Read the shapes of the chosen classes, and join those of one group."""
    instances: Dict[Any, _Instance] = {}
    for number, shape in enumerate(content.shapes, start=1):
        where = f"{content.path}: shape {number}"
        with rows.catch():
            label_name = composed(required_text(shape, "label", where).strip())
            label = labels.find(label_name, where)
            if label is None:
                continue
            part = read_shape(shape, where, size)
            group = shape.get("group_id")
            key = number if group is None else (label, str(group))
            is_difficult = _is_difficult(shape, where)
            first = instances.get(key, _Instance(str(number), label, False, []))
            instances[key] = first._replace(
                is_difficult=first.is_difficult or is_difficult, parts=[*first.parts, part]
            )
    return list(instances.values())


def _is_difficult(shape: Dict[str, Any], where: str) -> bool:
    """Tell whether a shape is marked as difficult, by a key of its own or by a flag."""
    flags = shape.get("flags")
    marks = [shape.get("difficult")]
    if isinstance(flags, dict):
        marks.append(flags.get("difficult"))
    for mark in marks:
        if mark not in (None, False, True):
            raise DataError(f"{where} has difficult {shorten(mark)}; want true or false")
    return any(marks)
