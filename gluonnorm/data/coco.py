"""Data sets in COCO's format: one JSON file and a folder of images."""
import json
import os
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gluonnorm.data.annotations import Truth, check_classes, make_truth
from gluonnorm.data.images import image_size, read_image
from gluonnorm.data.record import DataError, PathLike, Record

import numpy as np


class COCODataset:
    """Images and boxes of a COCO annotation file, with whatever categories it has.

    ``classes`` names the categories wanted and their order, None takes all by ascending id; annotations of other
    categories are left out. Images without boxes stay. A box x, y, w, h becomes x, y, x + w, y + h, is cut to the
    image, and dropped if its area is zero; ``coco_truth`` keeps it as it stands in the file.

    The constructor reads every annotation, so that faults show before training starts. Raises DataError for an
    unreadable file, missing keys, unknown categories or images, a box wholly outside its image, and no images.

    >>> dataset = COCODataset("annotations/instances_val.json", "val")      # doctest: +SKIP
    >>> image, boxes, labels, crowd, image_id, name = dataset[0]            # doctest: +SKIP
    """

    def __init__(self, annotation_file: PathLike, image_dir: PathLike, classes: Optional[Sequence[str]] = None):
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
        self._truths = self._read_truths(content["annotations"], categories)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Record:
        path = self._path(index)
        image = read_image(path)
        if image.shape[:2] != tuple(self._sizes[index]):
            height, width = self._sizes[index]
            raise DataError(f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, but {self._file} says "
                            f"{width} x {height}; its boxes cannot be trusted")
        return Record(image, *self._truths[index], self._image_ids[index], self._names[index])

    def sizes(self) -> np.ndarray:
        """(N, 2) int, height and width of every image, as the file states them."""
        return self._sizes

    def coco_truth(self) -> Dict[str, Any]:
        """The annotation file's content for the chosen classes, fit for pycocotools.

        What its evaluation needs and some files leave out is filled in: ``area`` (w * h), ``iscrowd`` (0), and ids of
        annotations, where they are absent, repeated or below 1. The file is read anew, not kept in memory.
        """
        content = _read(self._file)
        wanted = set(self.category_ids)
        content["categories"] = [entry for entry in content["categories"] if entry["id"] in wanted]
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

    def _read_truths(self, entries: List[Any], categories: Dict[int, str]) -> List[Truth]:
        label_of = {category: label for label, category in enumerate(self.category_ids)}
        position_of = {image_id: position for position, image_id in enumerate(self._image_ids)}
        if len(position_of) < len(self._image_ids):
            raise DataError(f"{self._file}: two images have the same id; every image needs an id of its own")
        rows: Dict[int, List[Tuple[List[float], int, bool, object]]] = defaultdict(list)
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
                rows[position_of[image_id]].append((box, label_of[category], bool(entry.get("iscrowd", 0)), name))

        truths = []
        for position, (height, width) in enumerate(self._sizes.tolist()):
            found = rows[position]
            truths.append(make_truth(
                [row[0] for row in found], [row[1] for row in found], [row[2] for row in found], (height, width),
                f"{self._file}: image {self._names[position]}, annotation", [row[3] for row in found]))
        return truths


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
