"""Any GluonCV detection data set, as a data set of ours. GluonCV itself is not imported."""
import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gluonnorm.data.annotations import Truth, check_classes, coco_format, make_truth
from gluonnorm.data.labeled_image import DataError, Record

import numpy as np


class GluonCVDataset:
    """Wraps a data set whose items are ``(image, label)`` as in GluonCV: VOC, COCO, LST, RecordIO, your own.

    ``image`` is an (H, W, 3) uint8 RGB array or NDArray; ``label`` (G, 5 or more) holds xmin, ymin, xmax, ymax, class
    and, where there is a sixth column, VOC's ``difficult``. Boxes are taken as the data set gives them. ``classes``
    are the names of the C classes; None asks the data set for its own.

    Raises DataError with the item's index for an item that cannot be read, an image or label of another form, a class
    outside 0..C-1 and a box wholly outside the image; without an index, for an empty data set and for no class names.

    >>> dataset = GluonCVDataset(gluoncv.data.VOCDetection(splits=[(2007, "test")]))      # doctest: +SKIP
    """

    def __init__(self, dataset: Any, classes: Optional[Sequence[str]] = None):
        self._dataset = dataset
        self._kind = type(dataset).__name__
        if classes is None:
            classes = getattr(dataset, "classes", None)
            if classes is None:
                raise DataError(f"{self._kind} does not name its classes; give classes=")
        self.classes = check_classes(classes, self._kind)
        self.category_ids = tuple(range(1, len(self.classes) + 1))
        if len(dataset) == 0:
            raise DataError(f"{self._kind} is an empty data set")
        self._lock = threading.Lock()  # a RecordIO file has one read position, which the loader's threads share
        self._scanned: Optional[Tuple[np.ndarray, List[Truth]]] = None

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Record:
        name = f"{self._kind}[{index}]"
        position = range(len(self))[index]
        try:
            with self._lock:
                item = self._dataset[position]
        except Exception as error:  # foreign code may raise anything; what the user needs is which item it was
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise DataError(f"{name}: cannot be read: {reason}") from error
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise DataError(f"{name}: is a {type(item).__name__}; want a pair of image and label")
        image = _numpy(item[0])
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(f"{name}: image has shape {image.shape} and type {image.dtype}; want (H, W, 3) uint8: "
                            "wrap the data set before any transform")
        return self._truth(_numpy(item[1]), image.shape[:2], name).record(image, position, name)

    def with_masks(self) -> "GluonCVDataset":
        """Raises DataError: the labels hold no masks."""
        raise DataError(f"{self._kind}: its labels hold no masks; use a network of boxes alone, or give a COCO file")

    def sizes(self) -> np.ndarray:
        """(N, 2) int, height and width of every image. The first call decodes the whole data set."""
        return self._scan()[0]

    def coco_truth(self) -> Dict[str, Any]:
        """The truth in COCO's format; image ids are positions. The first call decodes the whole data set."""
        sizes, truths = self._scan()
        names = [f"{self._kind}[{index}]" for index in range(len(self))]
        return coco_format(self.classes, names, sizes, truths)

    def _truth(self, label: np.ndarray, size: Tuple[int, ...], name: str) -> Truth:
        if label.size == 0:
            label = np.zeros((0, 5), np.float32)
        if label.ndim != 2 or label.shape[1] < 5:
            raise DataError(f"{name}: label has shape {label.shape}; want (G, 5 or more)")
        labels = label[:, 4]
        wrong = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= len(self.classes))]
        if wrong.size:
            raise DataError(f"{name}: label {wrong[0]:g} is out of range; want 0..{len(self.classes) - 1} for the "
                            f"{len(self.classes)} classes")
        crowd = label[:, 5] > 0 if label.shape[1] > 5 else np.zeros(len(label), bool)
        return make_truth(label[:, :4], labels, crowd, (size[0], size[1]), f"{name}: row",
                          range(len(label)))

    def _scan(self) -> Tuple[np.ndarray, List[Truth]]:
        if self._scanned is None:
            sizes, truths = [], []
            for index in range(len(self)):
                record = self[index]
                sizes.append(record.image.shape[:2])
                truths.append(Truth(record.boxes, record.labels, record.crowd))
            self._scanned = np.array(sizes, np.int64), truths
        return self._scanned


def _numpy(array: Any) -> np.ndarray:
    return array.asnumpy() if hasattr(array, "asnumpy") else np.asarray(array)
