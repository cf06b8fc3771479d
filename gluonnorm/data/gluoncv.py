"""Use any GluonCV detection data set as one of this package, without importing GluonCV."""

import threading
from functools import cached_property
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.annotations import (
    ImageAnnotations,
    make_annotations,
)
from gluonnorm.data.coco_format import coco_format
from gluonnorm.data.faults import Faults
from gluonnorm.data.labeled_image import DataError, LabeledImage
from gluonnorm.data.listing import Listing, make_listing
from gluonnorm.errors import first_line

import numpy as np

BOX_COLUMNS = 5  # corners and class


class GluonCVDataset:
    """Wrap a data set whose items are pairs ``(image, label)``, as in GluonCV.

    This holds for GluonCV's VOC, COCO, LST and RecordIO data sets, and for your own. ``image`` is
    (H, W, 3) uint8, RGB, an array or NDArray. ``label`` is (G, 5 or more) with columns xmin, ymin,
    xmax, ymax, class and perhaps more. Boxes are used as the data set returns them; rows of -1 are
    left out.

    GluonCV gives a sixth column several meanings: VOC's ``difficult``, the ratio of mixup, or what
    a file holds. Only its ``VOCDetection`` is known to have ``difficult`` there.

    Parameters
    ----------
    dataset : object
        The data set to wrap, with ``len`` and indexing.
    classes : sequence of str, optional
        Names of the C classes. None uses the data set's own attribute ``classes``.
    difficult : bool, optional
        What the sixth column is: True, VOC's ``difficult``; False, something to be left out. None
        is right for labels of five columns and for ``VOCDetection``.
    skip_bad : bool
        True reads every item once and leaves out those that have a fault.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.
    skipped : tuple of str
        The faults for which an item was left out.

    Raises
    ------
    DataError
        The data set is empty, or has no class names and none are passed, or every item is faulty.

    Examples
    --------
    >>> image = np.zeros((20, 30, 3), np.uint8)
    >>> label = np.array([[1, 2, 5, 8, 0]])
    >>> dataset = GluonCVDataset([(image, label)], classes=["cell"])
    >>> dataset[0].boxes.tolist()
    [[1.0, 2.0, 5.0, 8.0]]
    """

    def __init__(
        self,
        dataset: Any,
        classes: Optional[Sequence[str]] = None,
        difficult: Optional[bool] = None,
        skip_bad: bool = False,
    ) -> None:
        self._dataset = dataset
        self._difficult = _returns_difficult(dataset) if difficult is None else difficult
        self._type_name = type(dataset).__name__
        if classes is None:
            classes = getattr(dataset, "classes", None)
            if classes is None:
                raise DataError(
                    f"{self._type_name} has no attribute 'classes'; give the names as classes="
                )
        self.classes = check_class_names(classes, self._type_name, DataError)
        self.category_ids = tuple(range(1, len(self.classes) + 1))
        if len(dataset) == 0:
            raise DataError(f"{self._type_name} is an empty data set; want at least one image")
        # A RecordIO file has a single read position. Without the lock, the loader's threads would
        # move it between another thread's seek and read.
        self._lock = threading.Lock()
        self._scanned: Optional[Tuple[np.ndarray, List[ImageAnnotations]]] = None
        self._positions: Sequence[int] = range(len(dataset))
        self.skipped: Tuple[str, ...] = ()
        if skip_bad:
            self._scan(skip_bad=True)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._positions)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one item, and check its image and its label.

        Parameters
        ----------
        index : int
            Position of the item in the data set.

        Returns
        -------
        LabeledImage
            The image with its boxes and labels.

        Raises
        ------
        DataError
            The item cannot be read, its image or label has another form, a class is out of range,
            or a box is outside the image. The message begins with the item's index.
        """
        image_id = range(len(self))[index]
        position = self._positions[image_id]
        image, annotations = self._read(position)
        return annotations.labeled_image(image, image_id, self._name(position))

    def with_masks(self) -> "GluonCVDataset":
        """Refuse to open the data set with masks, because GluonCV's labels have none.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            f"{self._type_name}: its labels hold no masks; use a network of boxes alone, or give "
            "a COCO file"
        )

    def sizes(self) -> np.ndarray:
        """Return the size of every image. The first call decodes all images.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels.
        """
        sizes, _ = self._scan()
        return sizes

    def coco_truth(self) -> Dict[str, Any]:
        """Return the ground truth in COCO's format. The first call decodes all images.

        Returns
        -------
        dict
            The content of a COCO annotation file. Image ids are positions in the data set.
        """
        sizes, annotations = self._scan()
        names = [self._name(position) for position in self._positions]
        return coco_format(self.classes, names, sizes, annotations)

    @property
    def boxes_without_area(self) -> Tuple[str, ...]:
        """The places of the boxes that are left out because they have no area.

        The first call decodes all images.
        """
        _, annotations = self._scan()
        places: List[str] = []
        for image_annotations in annotations:
            places += image_annotations.without_area
        return tuple(places)

    @cached_property
    def listing(self) -> Listing:
        """The images and objects of ``coco_truth`` as arrays, which are kept."""
        return make_listing(self)

    def _name(self, position: int) -> str:
        """Name an item for messages."""
        return f"{self._type_name}[{position}]"

    def _read(self, position: int) -> Tuple[np.ndarray, ImageAnnotations]:
        """Read one item of the wrapped data set, and check its image and its label."""
        name = self._name(position)
        item = self._read_item(position, name)
        image = _to_numpy(item[0])
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(
                f"{name}: image has shape {image.shape} and type {image.dtype}; want (H, W, 3) "
                "uint8: wrap the data set before any transform"
            )
        return image, self._read_label(_to_numpy(item[1]), image, name)

    def _read_item(self, position: int, name: str) -> Sequence[Any]:
        """Read an item of the wrapped data set, and check that it is a pair."""
        try:
            with self._lock:
                item = self._dataset[position]
        except Exception as error:
            # The wrapped data set may raise anything. The message adds which item it was.
            raise DataError(f"{name}: cannot be read: {first_line(error)}") from error
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise DataError(f"{name}: is a {type(item).__name__}; want a pair of image and label")
        return item

    def _read_label(self, label: np.ndarray, image: np.ndarray, name: str) -> ImageAnnotations:
        """Check the label of one image: (G, 5 or more), or an empty array of any shape."""
        if label.size == 0:
            label = np.zeros((0, 5), np.float32)
        if label.ndim != 2 or label.shape[1] < BOX_COLUMNS:
            raise DataError(f"{name}: label has shape {label.shape}; want (G, 5 or more)")
        if label.dtype.kind not in "iuf":
            raise DataError(f"{name}: label has type {label.dtype}; want numbers")
        # GluonCV's COCODetection returns a row of -1 for an image without boxes, and LstDetection
        # multiplies the rows of -1 that pad a label by the image's sides.
        is_padding = (label[:, 4] == -1) & (label[:, :4] < 0).all(axis=1)
        label = label[~is_padding]

        class_count = len(self.classes)
        labels = label[:, 4]
        is_integer = labels == np.floor(labels)
        in_range = (labels >= 0) & (labels < class_count)
        wrong = labels[~(is_integer & in_range)]
        if wrong.size:
            raise DataError(
                f"{name}: label {wrong[0]:g} is out of range; want 0..{class_count - 1} for the "
                f"{class_count} classes"
            )
        height, width = image.shape[:2]
        return make_annotations(
            boxes=label[:, :4],
            labels=labels,
            crowd=self._read_crowd(label, name),
            size=(height, width),
            where=f"{name}: row",
            row_names=range(len(label)),
        )

    def _read_crowd(self, label: np.ndarray, name: str) -> np.ndarray:
        """Read which boxes of one image are marked ``difficult``."""
        columns = label.shape[1]
        if columns == BOX_COLUMNS or self._difficult is False:
            return np.zeros(len(label), bool)
        if self._difficult is None or columns > BOX_COLUMNS + 1:
            raise DataError(
                f"{name}: label has {columns} columns; if the sixth is VOC's difficult, give "
                "difficult=True, and difficult=False to leave out what follows the class"
            )
        marks = label[:, BOX_COLUMNS]
        wrong = marks[(marks != 0) & (marks != 1)]
        if wrong.size:
            raise DataError(f"{name}: label has difficult {wrong[0]:g}; want 0 or 1")
        return marks == 1

    def _scan(self, skip_bad: bool = False) -> Tuple[np.ndarray, List[ImageAnnotations]]:
        """Decode all images once, and keep their sizes and annotations."""
        if self._scanned is None:
            sizes = []
            annotations = []
            positions = []
            faults = Faults(self._type_name, skip_bad)
            for position in self._positions:
                with faults.catch():
                    image, image_annotations = self._read(position)
                    sizes.append(image.shape[:2])
                    annotations.append(image_annotations)
                    positions.append(position)
            faults.raise_if_any()
            if not positions:
                raise DataError(f"{self._type_name}: every item is faulty: {faults.messages[0]}")
            self._positions = positions
            self.skipped = faults.messages
            self._scanned = np.array(sizes, np.int64), annotations
        return self._scanned


def _returns_difficult(dataset: Any) -> Optional[bool]:
    """Tell whether a data set is GluonCV's ``VOCDetection``; None if it is another."""
    is_voc = any(
        base.__name__ == "VOCDetection" and base.__module__.startswith("gluoncv.")
        for base in type(dataset).__mro__
    )
    # A transform may return other columns.
    return True if is_voc and getattr(dataset, "_transform", None) is None else None


def _to_numpy(array: Any) -> np.ndarray:
    """Convert an NDArray or anything like an array to NumPy."""
    return array.asnumpy() if hasattr(array, "asnumpy") else np.asarray(array)
