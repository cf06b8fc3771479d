"""What a data set holds, and what is raised when it is faulty."""
import os
from typing import Any, Dict, NamedTuple, Optional, Protocol, Tuple, Union

from gluonnorm.errors import InputError

import numpy as np

PathLike = Union[str, "os.PathLike[str]"]


class DataError(InputError):
    """A file or annotation is not what it should be; the message is one line that names it."""


class Record(NamedTuple):
    """One image as it lies on disk, with its truth: G boxes, possibly none."""
    image: np.ndarray  # (H, W, 3) uint8 RGB
    boxes: np.ndarray  # (G, 4) float32, x1 y1 x2 y2 in pixels, inside the image, each with an area
    labels: np.ndarray  # (G,) int32, 0-based foreground class
    crowd: np.ndarray  # (G,) bool: COCO's iscrowd, VOC's difficult; never trained on, ignored in evaluation
    image_id: int
    name: str  # the file's name, for messages
    masks: Optional[np.ndarray] = None  # (G, H, W) bool, row for row with boxes; None where the data set has none


class Dataset(Protocol):
    """What the loader and the evaluation ask of a data set."""

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the C foreground classes; a label is an index into it."""

    @property
    def category_ids(self) -> Tuple[int, ...]:
        """The category id each class has in ``coco_truth``."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> Record:
        """Image ``index``, decoded, with its truth. Raises DataError."""

    def sizes(self) -> np.ndarray:
        """(N, 2) int, height and width of every image in pixels."""

    def coco_truth(self) -> Dict[str, Any]:
        """The truth of all images as the content of a COCO annotation file."""

    def with_masks(self) -> "Dataset":
        """The same data set with masks in its records. Raises DataError where it has none."""
