"""Data sets in COCO's format: one JSON file and a folder of images."""
import json
import os
from collections import defaultdict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.data.annotations import Truth, check_classes, make_truth
from gluonnorm.data.images import image_size, read_image
from gluonnorm.data.labeled_image import DataError, PathLike, Record
from gluonnorm.data.masks import Runs, read_segmentation

import numpy as np


class _Row(NamedTuple):
    """One annotation, as far as it was read."""
    box: List[float]
    label: int
    crowd: bool
    name: object  # its id, or its place in the file
    entry: Dict[str, Any]


class COCODataset:
    """Images, boxes and masks of a COCO annotation file, with whatever categories it has.

    ``classes`` names the categories wanted and their order, None takes all by ascending id; annotations of other
    categories are left out. Images without boxes stay. A box x, y, w, h becomes x, y, x + w, y + h, is cut to the
    image, and dropped if its area is zero; ``coco_truth`` keeps it as it stands in the file.

    With ``masks=True`` a record holds its masks too, read from ``segmentation``: polygons, run lengths or compressed
    run lengths. They lie compressed in memory, and every box needs one.

    The constructor reads every annotation, so that faults show before training starts. Raises DataError for an
    unreadable file, missing keys, unknown categories or images, a box wholly outside its image, a mask that is absent,
    empty, or of another size than its image, and no images.

    >>> dataset = COCODataset("annotations/instances_val.json", "val")            # doctest: +SKIP
    >>> image, boxes, labels, crowd, image_id, name, masks = dataset[0]           # doctest: +SKIP
    """

    def __init__(self, annotation_file: PathLike, image_dir: PathLike, classes: Optional[Sequence[str]] = None,
                 masks: bool = False):
        self._file = annotation_file
        self._image_dir = os.fspath(image_dir)
        content = _read(annotation_file)
        categories = _categories(content, annotation_file)
        self.classes, self.category_ids = _select(categories, classes, annotation_file)

        self._image_ids: List[int] = []
        self._names: List[str] = []
        sizes: List[Tuple[int, int]] = []
        for position, entry in enumerate(content["images"]):
            where = f"{annotation_file}: image {position}"
            self._image_ids.append(_integer(entry, "id", where))
            self._names.append(str(_value(entry, "file_name", where)))
            sizes.append(_stated_size(entry) or image_size(self._path(position)))
        self._sizes = np.array(sizes, np.int64)
        self._truths = self._read_truths(content["annotations"], categories, masks)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Record:
        path = self._path(index)
        image = read_image(path)
        if image.shape[:2] != tuple(self._sizes[index]):
            height, width = self._sizes[index]
            raise DataError(f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, but {self._file} says "
                            f"{width} x {height}; its boxes cannot be trusted")
        return self._truths[index].record(image, self._image_ids[index], self._names[index])

    def with_masks(self) -> "COCODataset":
        """The same data set opened with ``masks=True``; the file is read anew. Raises DataError as opening does."""
        return COCODataset(self._file, self._image_dir, self.classes, masks=True)

    def sizes(self) -> np.ndarray:
        """(N, 2) int, height and width of every image, as the file states them."""
        return self._sizes

    def coco_truth(self) -> Dict[str, Any]:
        """The annotation file's content for the chosen classes, fit for pycocotools.

        What its evaluation needs and some files leave out is filled in: ``area`` (w * h), ``iscrowd`` (0), the sizes of
        images, and ids of annotations, where they are absent, repeated or below 1. Masks stay as they are. The file is
        read anew, not kept in memory.
        """
        content = _read(self._file)
        wanted = set(self.category_ids)
        content["categories"] = [entry for entry in content["categories"] if entry["id"] in wanted]
        for entry, (height, width) in zip(content["images"], self._sizes.tolist()):
            entry.update(height=height, width=width)
        annotations = [dict(entry) for entry in content["annotations"] if entry["category_id"] in wanted]
        ids = {entry.get("id", 0) for entry in annotations}
        renumber = len(ids) < len(annotations) or min(ids, default=1) < 1
        for number, entry in enumerate(annotations, start=1):
            entry["id"] = number if renumber else entry["id"]
            entry.setdefault("area", entry["bbox"][2] * entry["bbox"][3])
            entry.setdefault("iscrowd", 0)
        content["annotations"] = annotations
        return content

    def _path(self, index: int) -> str:
        return os.path.join(self._image_dir, self._names[index])

    def _read_truths(self, entries: List[Any], categories: Dict[int, str], masks: bool) -> List[Truth]:
        label_of = {category: label for label, category in enumerate(self.category_ids)}
        position_of = {image_id: position for position, image_id in enumerate(self._image_ids)}
        if len(position_of) < len(self._image_ids):
            raise DataError(f"{self._file}: two images have the same id; every image needs an id of its own")
        rows: Dict[int, List[_Row]] = defaultdict(list)
        for number, entry in enumerate(entries):
            name = entry.get("id", f"number {number}") if isinstance(entry, dict) else f"number {number}"
            where = f"{self._file}: annotation {name}"
            category = _integer(entry, "category_id", where)
            image_id = _integer(entry, "image_id", where)
            if category not in categories:
                raise DataError(f"{where} has category_id {category}, which is not among the file's categories "
                                f"{_shorten(categories)}")
            if image_id not in position_of:
                raise DataError(f"{where} has image_id {image_id}, but the file has no such image")
            box = _corners(_value(entry, "bbox", where), where)
            if category in label_of:
                crowd = bool(entry.get("iscrowd", 0))
                rows[position_of[image_id]].append(_Row(box, label_of[category], crowd, name, entry))
        return [self._read_truth(position, rows[position], masks) for position in range(len(self))]

    def _read_truth(self, position: int, rows: List[_Row], masks: bool) -> Truth:
        height, width = self._sizes[position].tolist()
        where = f"{self._file}: image {self._names[position]}, annotation"

        def read_mask(row: int) -> Runs:
            return read_segmentation(rows[row].entry.get("segmentation"), (height, width), f"{where} {rows[row].name}")

        return make_truth([row.box for row in rows], [row.label for row in rows], [row.crowd for row in rows],
                          (height, width), where, [row.name for row in rows], read_mask if masks else None)


def _read(path: PathLike) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{path}: has no list {key!r}; a COCO annotation file has images, annotations, categories")
    if not content["images"]:
        raise DataError(f"{path}: is an empty data set: it lists no images")
    return content


def _categories(content: Dict[str, Any], path: PathLike) -> Dict[int, str]:
    categories: Dict[int, str] = {}
    for position, entry in enumerate(content["categories"]):
        where = f"{path}: category {position}"
        number = _integer(entry, "id", where)
        if number in categories:
            raise DataError(f"{where} has id {number}, like another; every category needs an id of its own")
        categories[number] = str(_value(entry, "name", where))
    check_classes(categories.values(), path)
    return {number: categories[number] for number in sorted(categories)}


def _select(categories: Dict[int, str], classes: Optional[Sequence[str]],
            path: PathLike) -> Tuple[Tuple[str, ...], Tuple[int, ...]]:
    id_of = {name: number for number, name in categories.items()}
    names = check_classes(categories.values() if classes is None else classes, path)
    for name in names:
        if name not in id_of:
            raise DataError(f"{path}: has no category {name!r}; it has {_shorten(id_of)}")
    return names, tuple(id_of[name] for name in names)


def _value(entry: Any, key: str, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(f"{where} has no {key!r}")
    return entry[key]


def _integer(entry: Any, key: str, where: str) -> int:
    value = _value(entry, key, where)
    if not isinstance(value, int):
        raise DataError(f"{where} has {key} {value!r}; want an integer")
    return value


def _corners(bbox: Any, where: str) -> List[float]:
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, (int, float)) for value in bbox)):
        raise DataError(f"{where} has bbox {bbox!r}; want four numbers x, y, width, height")
    x, y, width, height = bbox
    return [x, y, x + width, y + height]


def _stated_size(entry: Dict[str, Any]) -> Optional[Tuple[int, int]]:
    height, width = entry.get("height"), entry.get("width")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def _shorten(values: Any, limit: int = 10) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown[:limit]) + (f", ... ({len(shown)})" if len(shown) > limit else "")
