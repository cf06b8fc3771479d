"""Data sets in COCO's format: one JSON file and a folder of images."""

import json
import os
from collections import defaultdict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.data.annotations import ImageAnnotations, check_classes, make_annotations
from gluonnorm.data.images import image_size, read_image_of_size
from gluonnorm.data.labeled_image import DataError, LabeledImage
from gluonnorm.data.masks import RunLengths, read_segmentation
from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.types import PathLike

import numpy as np

SHOWN_NAMES = 10  # categories that an error message lists


class _Annotation(NamedTuple):
    """One entry of the file's list ``annotations``, named by its id or its place in the list."""

    box: List[float]
    label: int
    crowd: bool
    name: object
    segmentation: Any


class COCODataset:
    """Images, boxes and masks of a COCO annotation file with any categories.

    Images without boxes are kept. A box ``x y w h`` becomes ``x, y, x + w, y + h``, is clipped to
    the image, and is dropped if it has no area; ``coco_truth`` keeps it as the file has it.

    Masks are read from polygons, run lengths and compressed run lengths. They stay compressed in
    memory until their image is read. With ``masks=True`` every box needs one.

    The constructor reads every annotation, so that faults show before training starts.

    Parameters
    ----------
    annotation_file : str or path-like
        The JSON file.
    image_dir : str or path-like
        The folder that the file's ``file_name`` entries are relative to.
    classes : sequence of str, optional
        Names of the categories to use, in the order of the labels. Annotations of other categories
        are left out. None uses all categories, sorted by their ids.
    masks : bool
        Whether masks are read.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        The file's category id of each class.

    Raises
    ------
    DataError
        The file cannot be read, keys are missing, it lists no images, a category or an image is
        unknown, a box is outside its image, or a mask is absent, empty or of another size than its
        image.

    Examples
    --------
    >>> dataset = COCODataset("annotations/instances_val.json", "val")  # doctest: +SKIP
    >>> image, boxes, labels, *_ = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        annotation_file: PathLike,
        image_dir: PathLike,
        classes: Optional[Sequence[str]] = None,
        masks: bool = False,
    ) -> None:
        self._file = annotation_file
        self._image_dir = os.fspath(image_dir)
        content = _read_content(annotation_file)
        categories = _read_categories(content, annotation_file)
        self.classes, self.category_ids = _select_categories(categories, classes, annotation_file)

        self._image_ids: List[int] = []
        self._names: List[str] = []
        sizes: List[Tuple[int, int]] = []
        for position, entry in enumerate(content["images"]):
            where = f"{annotation_file}: image {position}"
            self._image_ids.append(_required_integer(entry, "id", where))
            self._names.append(str(_required(entry, "file_name", where)))
            # Some annotation files leave out the sizes, which the images' headers have too.
            sizes.append(_stated_size(entry) or image_size(self._path(position)))
        self._sizes = np.array(sizes, np.int64)
        self._annotations = self._read_annotations(content["annotations"], categories, masks)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._names)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one image and its annotations.

        Parameters
        ----------
        index : int
            Position of the image in the file's list ``images``.

        Returns
        -------
        LabeledImage
            The decoded image with its boxes, labels and masks.

        Raises
        ------
        DataError
            The image cannot be read, or has another size than the annotation file states.
        """
        image = read_image_of_size(self._path(index), self._sizes[index], str(self._file))
        annotations = self._annotations[index]
        return annotations.labeled_image(image, self._image_ids[index], self._names[index])

    def with_masks(self) -> "COCODataset":
        """Open the same data set with ``masks=True``. The file is read again.

        Returns
        -------
        COCODataset
            The data set with masks.

        Raises
        ------
        DataError
            A mask is absent or faulty.
        """
        return COCODataset(self._file, self._image_dir, self.classes, masks=True)

    def sizes(self) -> np.ndarray:
        """Return the size of every image.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels, as the file states them.
        """
        return self._sizes

    def coco_truth(self) -> Dict[str, Any]:
        """Return the annotation file's content for the chosen classes, ready for pycocotools.

        Entries that the evaluation needs and some files lack are filled in: ``area`` (w * h),
        ``iscrowd`` (0), and the sizes of images. Annotation ids are replaced by 1, 2, ... if one is
        absent, repeated, below 1 or not an integer. Masks are kept as they are. The file is read
        again, because it is not kept in memory.

        Returns
        -------
        dict
            The content of a COCO annotation file.
        """
        content = _read_content(self._file)
        chosen = set(self.category_ids)
        content["categories"] = [entry for entry in content["categories"] if entry["id"] in chosen]
        for entry, (height, width) in zip(content["images"], self._sizes.tolist()):
            entry.update(height=height, width=width)

        annotations = [
            dict(entry) for entry in content["annotations"] if entry["category_id"] in chosen
        ]
        usable_ids = _are_usable_ids([entry.get("id") for entry in annotations])
        for number, entry in enumerate(annotations, start=1):
            if not usable_ids:
                entry["id"] = number
            width, height = entry["bbox"][2:]
            entry.setdefault("area", width * height)
            entry.setdefault("iscrowd", 0)
        content["annotations"] = annotations
        return content

    def _path(self, index: int) -> str:
        """Return the path of an image file."""
        return os.path.join(self._image_dir, self._names[index])

    def _read_annotations(
        self, entries: List[Any], categories: Dict[int, str], masks: bool
    ) -> List[ImageAnnotations]:
        """Read the file's list ``annotations``, grouped by image, for the chosen categories."""
        label_of = {category: label for label, category in enumerate(self.category_ids)}
        position_of = {image_id: place for place, image_id in enumerate(self._image_ids)}
        if len(position_of) < len(self._image_ids):
            raise DataError(
                f"{self._file}: two images have the same id; every image needs an id of its own"
            )
        grouped: Dict[int, List[_Annotation]] = defaultdict(list)
        for number, entry in enumerate(entries):
            name = _annotation_name(entry, number)
            where = f"{self._file}: annotation {name}"
            category = _required_integer(entry, "category_id", where)
            image_id = _required_integer(entry, "image_id", where)
            if category not in categories:
                known = first_few([str(known_id) for known_id in categories], SHOWN_NAMES)
                raise DataError(
                    f"{where} has category_id {category}, which is not among the file's "
                    f"categories {known}; correct or remove it"
                )
            if image_id not in position_of:
                raise DataError(
                    f"{where} has image_id {image_id}, but the file has no such image; correct or "
                    "remove it"
                )
            # The box is read before the category is compared with the chosen ones, so that a
            # faulty file is refused whatever classes are chosen.
            box = _corners(_required(entry, "bbox", where), where)
            if category in label_of:
                annotation = _Annotation(
                    box=box,
                    label=label_of[category],
                    crowd=bool(entry.get("iscrowd", 0)),
                    name=name,
                    segmentation=entry.get("segmentation"),
                )
                grouped[position_of[image_id]].append(annotation)
        return [
            self._check_annotations(position, grouped[position], masks)
            for position in range(len(self))
        ]

    def _check_annotations(
        self, position: int, annotations: List[_Annotation], masks: bool
    ) -> ImageAnnotations:
        """Check the annotations of the image at ``position``."""
        height, width = self._sizes[position].tolist()
        where = f"{self._file}: image {self._names[position]}, annotation"

        def read_mask(row: int) -> RunLengths:
            """Read the mask of one annotation as compressed run lengths."""
            annotation = annotations[row]
            name = f"{where} {annotation.name}"
            return read_segmentation(annotation.segmentation, (height, width), name)

        return make_annotations(
            boxes=[annotation.box for annotation in annotations],
            labels=[annotation.label for annotation in annotations],
            crowd=[annotation.crowd for annotation in annotations],
            size=(height, width),
            where=where,
            row_names=[annotation.name for annotation in annotations],
            read_mask=read_mask if masks else None,
        )


def _read_content(path: PathLike) -> Dict[str, Any]:
    """Read the JSON file, and check that it has COCO's three lists."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{path}: has no list {key!r}; a COCO annotation file has images, annotations, "
                "categories"
            )
    if not content["images"]:
        raise DataError(f"{path}: is an empty data set: it lists no images")
    return content


def _read_categories(content: Dict[str, Any], path: PathLike) -> Dict[int, str]:
    """Read the name of each category id, sorted by id."""
    categories: Dict[int, str] = {}
    for position, entry in enumerate(content["categories"]):
        where = f"{path}: category {position}"
        number = _required_integer(entry, "id", where)
        if number in categories:
            raise DataError(
                f"{where} has the id {number} of another category; every category needs an id of "
                "its own"
            )
        categories[number] = str(_required(entry, "name", where))
    check_classes(categories.values(), path)
    return {number: categories[number] for number in sorted(categories)}


def _select_categories(
    categories: Dict[int, str], classes: Optional[Sequence[str]], path: PathLike
) -> Tuple[Tuple[str, ...], Tuple[int, ...]]:
    """Return the names and the category ids of ``classes``; None selects all categories."""
    id_of = {name: number for number, name in categories.items()}
    names = check_classes(categories.values() if classes is None else classes, path)
    for name in names:
        if name not in id_of:
            raise DataError(
                f"{path}: has no category {name!r}; it has {first_few(list(id_of), SHOWN_NAMES)}"
                f"{did_you_mean(name, id_of)}"
            )
    return names, tuple(id_of[name] for name in names)


def _are_usable_ids(ids: List[Any]) -> bool:
    """Tell whether pycocotools can use the annotation ids: distinct integers of at least 1.

    It uses the id 0 for "not matched", so a detection of annotation 0 would count as wrong.
    """
    are_positive = all(isinstance(value, int) and value >= 1 for value in ids)
    return are_positive and len(set(ids)) == len(ids)


def _annotation_name(entry: Any, number: int) -> object:
    """Name an annotation for messages: its id, or its place in the list if it has none."""
    place = f"number {number}"
    return entry.get("id", place) if isinstance(entry, dict) else place


def _required(entry: Any, key: str, where: str) -> Any:
    """Return the value of a key that an entry must have."""
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(f"{where} has no {key!r}; COCO's format wants it, add it")
    return entry[key]


def _required_integer(entry: Any, key: str, where: str) -> int:
    """Return the value of a key that must be an integer."""
    value = _required(entry, key, where)
    if not isinstance(value, int):
        raise DataError(f"{where} has {key} {value!r}; want an integer")
    return value


def _corners(bbox: Any, where: str) -> List[float]:
    """Convert COCO's ``[x, y, width, height]`` to ``[x1, y1, x2, y2]``."""
    is_box = isinstance(bbox, list) and len(bbox) == 4
    if not is_box or not all(isinstance(value, (int, float)) for value in bbox):
        raise DataError(f"{where} has bbox {bbox!r}; want four numbers x, y, width, height")
    x, y, width, height = bbox
    return [x, y, x + width, y + height]


def _stated_size(entry: Dict[str, Any]) -> Optional[Tuple[int, int]]:
    """Return the height and width that the file states for an image, or None."""
    height = entry.get("height")
    width = entry.get("width")
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    return (height, width) if height > 0 and width > 0 else None
