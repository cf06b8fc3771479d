"""Data sets in Pascal VOC's format: a folder of XML files, a folder of images, lists of names."""

import os
import xml.etree.ElementTree as ElementTree
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from gluonnorm.data.annotations import (
    ImageAnnotations,
    check_classes,
    coco_format,
    make_annotations,
)
from gluonnorm.data.images import image_size, read_image_of_size
from gluonnorm.data.labeled_image import DataError, LabeledImage
from gluonnorm.errors import did_you_mean
from gluonnorm.types import PathLike

import numpy as np


class VOCDataset:
    """Images and boxes of one split of a Pascal VOC folder with any classes.

    Class names are matched by exact case. Objects marked ``difficult`` are flagged as crowd, and
    boxes without an area are dropped. The constructor reads every annotation of the split, so that
    faults show before training starts.

    Parameters
    ----------
    root : str or path-like
        The folder that holds Annotations, JPEGImages and ImageSets/Main.
    split : str
        Name of a list in ImageSets/Main, such as "train".
    classes : sequence of str, optional
        Names of the classes, in the order of the labels. None collects the names from every XML
        file of ``root`` and sorts them, so that all splits agree.
    one_based : bool
        False uses coordinates as they are: x2 and y2 are the outer edges of the last pixels. True
        is for the official VOC files, whose pixels count from 1 and whose boxes include both
        corners: x1 and y1 are reduced by 1.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.

    Raises
    ------
    DataError
        The split, an XML file or an image is missing, the split is empty, an XML file is broken, a
        class is not among ``classes``, or a box is outside its image.

    Examples
    --------
    >>> dataset = VOCDataset("VOC2007", "trainval", one_based=True)  # doctest: +SKIP
    >>> image, boxes, labels, *_ = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        root: PathLike,
        split: str,
        classes: Optional[Sequence[str]] = None,
        one_based: bool = False,
    ) -> None:
        self._root = os.fspath(root)
        if classes is None:
            classes = _collect_classes(os.path.join(self._root, "Annotations"))
        self.classes = check_classes(classes, self._root)
        self.category_ids = tuple(range(1, len(self.classes) + 1))
        label_of = {name: label for label, name in enumerate(self.classes)}

        image_folder = os.path.join(self._root, "JPEGImages")
        image_names = _image_names(image_folder)
        self._names: List[str] = []
        self._annotations: List[ImageAnnotations] = []
        sizes: List[Tuple[int, int]] = []
        for stem in _read_split(self._root, split):
            if stem not in image_names:
                raise DataError(
                    f"{os.path.join(image_folder, stem)}.jpg: no such image file, but split "
                    f"{split!r} lists it"
                )
            self._names.append(image_names[stem])
            xml_path = os.path.join(self._root, "Annotations", stem + ".xml")
            tree = _parse_xml(xml_path)
            size = _stated_size(tree) or image_size(self._path(len(sizes)))
            sizes.append(size)
            self._annotations.append(_read_objects(tree, xml_path, label_of, size, one_based))
        self._sizes = np.array(sizes, np.int64)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._names)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one image and its annotations.

        Parameters
        ----------
        index : int
            Position of the image in the split.

        Returns
        -------
        LabeledImage
            The decoded image with its boxes and labels.

        Raises
        ------
        DataError
            The image cannot be read, or has another size than its XML file states.
        """
        image = read_image_of_size(self._path(index), self._sizes[index], "its XML file")
        # The image id is the position, also when `index` counts from the end.
        image_id = range(len(self))[index]
        return self._annotations[index].labeled_image(image, image_id, self._names[index])

    def with_masks(self) -> "VOCDataset":
        """Refuse to open the data set with masks, because the format has none.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            f"{self._root}: VOC's XML files hold no masks; use a network of boxes alone, or give "
            "a COCO file"
        )

    def sizes(self) -> np.ndarray:
        """Return the size of every image.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels, as the XML files state them.
        """
        return self._sizes

    def coco_truth(self) -> Dict[str, Any]:
        """Return the split's ground truth in COCO's format.

        Returns
        -------
        dict
            The content of a COCO annotation file. Image ids are positions in the split, and
            ``difficult`` is ``iscrowd``.
        """
        return coco_format(self.classes, self._names, self._sizes, self._annotations)

    def _path(self, index: int) -> str:
        """Return the path of an image file."""
        return os.path.join(self._root, "JPEGImages", self._names[index])


def _read_split(root: str, split: str) -> List[str]:
    """Read the file names, without extension, that a split lists."""
    folder = os.path.join(root, "ImageSets", "Main")
    path = os.path.join(folder, split + ".txt")
    try:
        with open(path, encoding="utf-8") as file:
            lines = list(file)
    except OSError as error:
        known = [os.path.splitext(name)[0] for name in _list_folder(folder)]
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; splits there: {', '.join(known)}"
            f"{did_you_mean(split, known)}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not a text file in UTF-8: {error}") from error
    # The list of a single class, such as cat_train.txt, has a second column: 1, 0 or -1.
    stems = [line.split()[0] for line in lines if line.strip()]
    if not stems:
        raise DataError(f"{path}: is an empty data set: it lists no images")
    return stems


def _image_names(folder: str) -> Dict[str, str]:
    """Map the name of each image without extension to its file name, preferably of a JPEG."""
    image_names: Dict[str, str] = {}
    # JPEG files come last, so that they replace other files of the same name.
    for name in sorted(_list_folder(folder), key=_is_jpeg):
        stem, _ = os.path.splitext(name)
        image_names[stem] = name
    return image_names


def _is_jpeg(name: str) -> bool:
    """Tell from its extension whether a file is a JPEG."""
    return name.lower().endswith((".jpg", ".jpeg"))


def _collect_classes(folder: str) -> List[str]:
    """Collect the class names in all XML files of a folder, sorted."""
    names: Set[str] = set()
    for file_name in _list_folder(folder):
        if file_name.endswith(".xml"):
            path = os.path.join(folder, file_name)
            for item in _parse_xml(path).findall("object"):
                names.add(_required_text(item, "name", path))
    return sorted(names)


def _list_folder(folder: str) -> List[str]:
    """List the names in a folder, sorted."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read: {error.strerror}; a VOC folder holds Annotations, "
            "JPEGImages and ImageSets/Main"
        ) from error


def _parse_xml(path: str) -> ElementTree.Element:
    """Read an XML file, and return its root element."""
    try:
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, ValueError) as error:
        # The parser raises a ValueError for an encoding that Python does not know.
        raise DataError(f"{path}: is not valid XML: {error}") from error


def _stated_size(tree: ElementTree.Element) -> Optional[Tuple[int, int]]:
    """Return the height and width that an XML file states, or None."""
    try:
        height = int(float(tree.findtext("size/height", "0")))
        width = int(float(tree.findtext("size/width", "0")))
    except ValueError:
        return None
    # Some annotation tools write 0 x 0 for a size that they do not know.
    return (height, width) if height > 0 and width > 0 else None


def _read_objects(
    tree: ElementTree.Element,
    path: str,
    label_of: Dict[str, int],
    size: Tuple[int, int],
    one_based: bool,
) -> ImageAnnotations:
    """Read and check the objects of one XML file; ``size`` is the image's height and width."""
    boxes = []
    labels = []
    crowd = []
    for number, item in enumerate(tree.findall("object"), start=1):
        where = f"{path}: object {number}"
        name = _required_text(item, "name", where)
        if name not in label_of:
            raise DataError(
                f"{where} is of class {name!r}, which is not among the classes "
                f"{', '.join(label_of)}; correct the file or name the class"
                f"{did_you_mean(name, label_of)}"
            )
        x1 = _required_number(item, "bndbox/xmin", where) - one_based
        y1 = _required_number(item, "bndbox/ymin", where) - one_based
        x2 = _required_number(item, "bndbox/xmax", where)
        y2 = _required_number(item, "bndbox/ymax", where)
        boxes.append([x1, y1, x2, y2])
        labels.append(label_of[name])
        crowd.append(item.findtext("difficult", "0").strip() not in ("", "0"))
    return make_annotations(
        boxes=boxes,
        labels=labels,
        crowd=crowd,
        size=size,
        where=f"{path}: object",
        row_names=range(1, len(boxes) + 1),
    )


def _required_text(item: ElementTree.Element, tag: str, where: str) -> str:
    """Return the text of a tag that an element must have."""
    text = item.findtext(tag, "").strip()
    if not text:
        raise DataError(f"{where} has no <{tag.replace('/', '><')}>; add it, or remove the object")
    return text


def _required_number(item: ElementTree.Element, tag: str, where: str) -> float:
    """Return the number in a tag that an element must have."""
    text = _required_text(item, tag, where)
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where} has {tag} {text!r}; want a number") from error
