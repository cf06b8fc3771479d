"""The objects of a data set in one table: their classes, and their boxes in the network's input."""

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.data.labeled_image import Dataset
from gluonnorm.photos.prepare import resized_size
from gluonnorm.types import Preprocess

import numpy as np

SMALLEST_SIDE = 1.0  # pixels; a shorter side shows nothing


class ObjectTable(NamedTuple):
    """The M annotated objects of a data set, a row for each, crowd included.

    Attributes
    ----------
    images : numpy.ndarray
        (M,) int, position of the object's image in the data set.
    labels : numpy.ndarray
        (M,) int, 0-based class.
    crowd : numpy.ndarray
        (M,) bool, COCO's ``iscrowd`` or VOC's ``difficult``.
    file_boxes : numpy.ndarray
        (M, 4) float64, ``x1 y1 x2 y2`` in pixels of the image, as the files have them.
    image_sizes : numpy.ndarray
        (M, 2) int, height and width of the object's image in pixels.
    boxes : numpy.ndarray
        (M, 4) float64, ``x1 y1 x2 y2`` inside the image, in pixels of the network's input.
    input_sizes : numpy.ndarray
        (M, 2) int, height and width of the network's input for the object's image, without padding.
    learnable : numpy.ndarray
        (M,) bool, what training can learn from: no crowd, and each side of at least a pixel, in
        the image and in the network's input.
    """

    images: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    file_boxes: np.ndarray
    image_sizes: np.ndarray
    boxes: np.ndarray
    input_sizes: np.ndarray
    learnable: np.ndarray

    @property
    def widths(self) -> np.ndarray:
        """(M,) float64, widths in pixels of the network's input."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def heights(self) -> np.ndarray:
        """(M,) float64, heights in pixels of the network's input."""
        return self.boxes[:, 3] - self.boxes[:, 1]

    @property
    def lengths(self) -> np.ndarray:
        """(M,) float64, square roots of the areas in pixels of the network's input."""
        return np.sqrt(self.widths * self.heights)

    @property
    def ratios(self) -> np.ndarray:
        """(M,) float64, heights divided by widths, as anchors have them; NaN without a width."""
        widths = np.where(self.widths > 0, self.widths, np.nan)
        return self.heights / widths

    def rows(self, keep: np.ndarray) -> "ObjectTable":
        """Choose objects.

        Parameters
        ----------
        keep : numpy.ndarray
            (M,) bool, or indices.

        Returns
        -------
        ObjectTable
            The chosen rows of every column.
        """
        return ObjectTable(*(column[keep] for column in self))


def list_objects(
    dataset: Dataset, truth: Dict[str, Any], preprocess: Optional[Preprocess] = None
) -> ObjectTable:
    """Collect the objects of a data set. No image is decoded.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    truth : dict
        What its ``coco_truth`` returns.
    preprocess : Preprocess, optional
        How the network wants its images, with the longest of its lengths ``short``. None takes
        images as they are.

    Returns
    -------
    ObjectTable
        The objects, in the order of ``truth``.
    """
    entries = truth["annotations"]
    images, labels = _places(dataset, truth)
    crowd = np.array([entry.get("iscrowd", 0) for entry in entries], bool)
    file_boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    file_boxes[:, 2:] += file_boxes[:, :2]

    all_sizes = np.asarray(dataset.sizes(), np.int64).reshape(-1, 2)
    image_sizes = all_sizes[images]
    input_sizes = _input_sizes(all_sizes, preprocess)[images]
    clipped = np.clip(file_boxes, 0, np.tile(image_sizes[:, ::-1], 2))
    scales = input_sizes / image_sizes
    boxes = clipped * np.tile(scales[:, ::-1], 2)
    return ObjectTable(
        images=images,
        labels=labels,
        crowd=crowd,
        file_boxes=file_boxes,
        image_sizes=image_sizes,
        boxes=boxes,
        input_sizes=input_sizes,
        learnable=~crowd & is_shown(clipped) & is_shown(boxes),
    )


def _places(dataset: Dataset, truth: Dict[str, Any]) -> Tuple[np.ndarray, np.ndarray]:
    """Return the position of each object's image and the label of its class, (M,) int each."""
    position_of = {entry["id"]: position for position, entry in enumerate(truth["images"])}
    label_of = {category: label for label, category in enumerate(dataset.category_ids)}
    entries = truth["annotations"]
    images = np.array([position_of[entry["image_id"]] for entry in entries], np.int64)
    labels = np.array([label_of[entry["category_id"]] for entry in entries], np.int64)
    return images, labels


def is_shown(boxes: np.ndarray) -> np.ndarray:
    """Tell which boxes are at least a pixel wide and high.

    Parameters
    ----------
    boxes : numpy.ndarray
        (M, 4), ``x1 y1 x2 y2`` in pixels.

    Returns
    -------
    numpy.ndarray
        (M,) bool.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides >= SMALLEST_SIDE).all(axis=1)


def _input_sizes(image_sizes: np.ndarray, preprocess: Optional[Preprocess]) -> np.ndarray:
    """Return (N, 2), height and width of the network's input for images of these sizes."""
    if preprocess is None:
        return image_sizes
    longest = replace(preprocess, short=(max(preprocess.short),))
    size_of: Dict[Tuple[int, int], Sequence[int]] = {}
    sizes: List[Sequence[int]] = []
    for height, width in image_sizes.tolist():
        if (height, width) not in size_of:
            size_of[height, width] = resized_size(height, width, longest)
        sizes.append(size_of[height, width])
    return np.array(sizes, np.int64).reshape(-1, 2)
