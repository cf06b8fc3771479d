"""Data sets in Pascal VOC's format: a folder of XML files, a folder of images, lists of names."""
import os
import xml.etree.ElementTree as ElementTree
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from gluonnorm.data.annotations import Truth, check_classes, coco_format, make_truth
from gluonnorm.data.images import image_size, read_image
from gluonnorm.data.labeled_image import DataError, PathLike, Record

import numpy as np


class VOCDataset:
    """Images and boxes of one split of a VOC folder, with whatever classes it has.

    ``root`` holds Annotations, JPEGImages and ImageSets/Main; ``split`` is a list there, such as "train". ``classes``
    gives the names and their order; None gathers them from every XML file of ``root``, sorted, so that all splits
    agree. Names are matched by exact case. Objects marked ``difficult`` are flagged as crowd, zero-area boxes dropped.

    Coordinates are taken as they stand, x2 and y2 exclusive. ``one_based=True`` is for the official VOC files, whose
    pixels count from 1 with both corners inside the box: 1 is then subtracted from x1 and y1.

    The constructor reads every annotation of the split. Raises DataError for a missing split, XML or image file,
    broken XML, a class not in ``classes``, a box wholly outside its image, and an empty split.

    >>> dataset = VOCDataset("VOCdevkit/VOC2007", "trainval", one_based=True)      # doctest: +SKIP
    """

    def __init__(self, root: PathLike, split: str, classes: Optional[Sequence[str]] = None, one_based: bool = False):
        self._root = os.fspath(root)
        if classes is None:
            classes = _gather_classes(os.path.join(self._root, "Annotations"))
        self.classes = check_classes(classes, self._root)
        self.category_ids = tuple(range(1, len(self.classes) + 1))
        label_of = {name: label for label, name in enumerate(self.classes)}

        images = _image_files(os.path.join(self._root, "JPEGImages"))
        self._names: List[str] = []
        self._truths: List[Truth] = []
        sizes: List[Tuple[int, int]] = []
        for stem in _read_split(self._root, split):
            if stem not in images:
                raise DataError(f"{os.path.join(self._root, 'JPEGImages', stem)}.jpg: no such image file, "
                                f"but split {split!r} lists it")
            self._names.append(images[stem])
            path = os.path.join(self._root, "Annotations", stem + ".xml")
            tree = _parse(path)
            size = _stated_size(tree) or image_size(self._path(len(sizes)))
            sizes.append(size)
            self._truths.append(_read_truth(tree, path, label_of, size, one_based))
        self._sizes = np.array(sizes, np.int64)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Record:
        path = self._path(index)
        image = read_image(path)
        if image.shape[:2] != tuple(self._sizes[index]):
            height, width = self._sizes[index]
            raise DataError(f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, but its XML file says "
                            f"{width} x {height}; its boxes cannot be trusted")
        return self._truths[index].record(image, range(len(self))[index], self._names[index])

    def with_masks(self) -> "VOCDataset":
        """Raises DataError: the format holds no masks."""
        raise DataError(f"{self._root}: VOC's XML files hold no masks; use a network of boxes alone, or give a COCO "
                        "file")

    def sizes(self) -> np.ndarray:
        """(N, 2) int, height and width of every image, as the XML files state them."""
        return self._sizes

    def coco_truth(self) -> Dict[str, Any]:
        """The split's truth in COCO's format; image ids are positions in the split, ``difficult`` is ``iscrowd``."""
        return coco_format(self.classes, self._names, self._sizes, self._truths)

    def _path(self, index: int) -> str:
        return os.path.join(self._root, "JPEGImages", self._names[index])


def _read_split(root: str, split: str) -> List[str]:
    folder = os.path.join(root, "ImageSets", "Main")
    path = os.path.join(folder, split + ".txt")
    try:
        with open(path, encoding="utf-8") as file:
            stems = [line.split()[0] for line in file if line.strip()]  # a class's own list has a second column
    except OSError as error:
        known = [os.path.splitext(name)[0] for name in _listed(folder)]
        raise DataError(f"{path}: cannot be read: {error.strerror}; splits there: {', '.join(known)}") from error
    if not stems:
        raise DataError(f"{path}: is an empty data set: it lists no images")
    return stems


def _image_files(folder: str) -> Dict[str, str]:
    """File name of each image by its name without extension; a .jpg goes before any other kind."""
    names = sorted(_listed(folder), key=lambda name: name.lower().endswith((".jpg", ".jpeg")))
    return {os.path.splitext(name)[0]: name for name in names}


def _gather_classes(folder: str) -> List[str]:
    names: Set[str] = set()
    for file in _listed(folder):
        if file.endswith(".xml"):
            path = os.path.join(folder, file)
            names.update(_text(item, "name", path) for item in _parse(path).findall("object"))
    return sorted(names)


def _listed(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}; a VOC folder holds Annotations, JPEGImages "
                        "and ImageSets/Main") from error


def _parse(path: str) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: an encoding Python does not know
        raise DataError(f"{path}: is not valid XML: {error}") from error


def _stated_size(tree: ElementTree.Element) -> Optional[Tuple[int, int]]:
    try:
        height, width = (int(float(tree.findtext(f"size/{side}", "0"))) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None  # some tools write 0 x 0


def _read_truth(tree: ElementTree.Element, path: str, label_of: Dict[str, int], size: Tuple[int, int],
                one_based: bool) -> Truth:
    boxes, labels, crowd = [], [], []
    for number, item in enumerate(tree.findall("object"), start=1):
        where = f"{path}: object {number}"
        name = _text(item, "name", where)
        if name not in label_of:
            raise DataError(f"{where} is of class {name!r}, which is not among the classes {', '.join(label_of)}; "
                            "correct the file or name the class")
        x1, y1, x2, y2 = (_number(item, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append([x1 - one_based, y1 - one_based, x2, y2])
        labels.append(label_of[name])
        crowd.append(item.findtext("difficult", "0").strip() not in ("", "0"))
    return make_truth(boxes, labels, crowd, size, f"{path}: object", range(1, len(boxes) + 1))


def _text(item: ElementTree.Element, tag: str, where: str) -> str:
    text = item.findtext(tag, "").strip()
    if not text:
        raise DataError(f"{where} has no <{tag.replace('/', '><')}>")
    return text


def _number(item: ElementTree.Element, tag: str, where: str) -> float:
    text = _text(item, tag, where)
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where} has {tag} {text!r}; want a number") from error
