"""Use any GluonCV detection data set as one of this package, without importing GluonCV."""

import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gluonnorm.data.annotations import (
    ImageAnnotations,
    check_classes,
    coco_format,
    make_annotations,
)
from gluonnorm.data.labeled_image import DataError, LabeledImage
from gluonnorm.errors import first_line

import numpy as np


class GluonCVDataset:
    """Wrap a data set whose items are pairs ``(image, label)``, as in GluonCV.

    This holds for GluonCV's VOC, COCO, LST and RecordIO data sets, and for your own. ``image`` is
    (H, W, 3) uint8, RGB, an array or NDArray. ``label`` is (G, 5 or more) with columns xmin, ymin,
    xmax, ymax, class and, if there is a sixth column, VOC's ``difficult``. Boxes are used as the
    data set returns them.

    Parameters
    ----------
    dataset : object
        The data set to wrap, with ``len`` and indexing.
    classes : sequence of str, optional
        Names of the C classes. None uses the data set's own attribute ``classes``.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.

    Raises
    ------
    DataError
        The data set is empty, or has no class names and none are passed.

    Examples
    --------
    >>> image = np.zeros((20, 30, 3), np.uint8)
    >>> label = np.array([[1, 2, 5, 8, 0]])
    >>> dataset = GluonCVDataset([(image, label)], classes=["cell"])
    >>> dataset[0].boxes.tolist()
    [[1.0, 2.0, 5.0, 8.0]]
    """

    def __init__(self, dataset: Any, classes: Optional[Sequence[str]] = None) -> None:
        self._dataset = dataset
        self._type_name = type(dataset).__name__
        if classes is None:
            classes = getattr(dataset, "classes", None)
            if classes is None:
                raise DataError(
                    f"{self._type_name} has no attribute 'classes'; give the names as classes="
                )
        self.classes = check_classes(classes, self._type_name)
        self.category_ids = tuple(range(1, len(self.classes) + 1))
        if len(dataset) == 0:
            raise DataError(f"{self._type_name} is an empty data set; want at least one image")
        # A RecordIO file has a single read position. Without the lock, the loader's threads would
        # move it between another thread's seek and read.
        self._lock = threading.Lock()
        self._scanned: Optional[Tuple[np.ndarray, List[ImageAnnotations]]] = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._dataset)

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
        name = f"{self._type_name}[{index}]"
        position = range(len(self))[index]
        item = self._read_item(position, name)
        image = _to_numpy(item[0])
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(
                f"{name}: image has shape {image.shape} and type {image.dtype}; want (H, W, 3) "
                "uint8: wrap the data set before any transform"
            )
        annotations = self._read_label(_to_numpy(item[1]), image, name)
        return annotations.labeled_image(image, position, name)

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
        names = [f"{self._type_name}[{index}]" for index in range(len(self))]
        return coco_format(self.classes, names, sizes, annotations)

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
        if label.ndim != 2 or label.shape[1] < 5:
            raise DataError(f"{name}: label has shape {label.shape}; want (G, 5 or more)")

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
        crowd = np.zeros(len(label), bool)
        if label.shape[1] > 5:
            crowd = label[:, 5] > 0
        height, width = image.shape[:2]
        return make_annotations(
            boxes=label[:, :4],
            labels=labels,
            crowd=crowd,
            size=(height, width),
            where=f"{name}: row",
            row_names=range(len(label)),
        )

    def _scan(self) -> Tuple[np.ndarray, List[ImageAnnotations]]:
        """Decode all images once, and keep their sizes and annotations."""
        if self._scanned is None:
            sizes = []
            annotations = []
            for index in range(len(self)):
                labeled = self[index]
                sizes.append(labeled.image.shape[:2])
                annotations.append(ImageAnnotations(labeled.boxes, labeled.labels, labeled.crowd))
            self._scanned = np.array(sizes, np.int64), annotations
        return self._scanned


def _to_numpy(array: Any) -> np.ndarray:
    """Convert an NDArray or anything like an array to NumPy."""
    return array.asnumpy() if hasattr(array, "asnumpy") else np.asarray(array)
