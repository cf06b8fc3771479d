"""The objects of a data set in one table: their classes, and their boxes in the network's input."""

from dataclasses import replace
from typing import NamedTuple, Optional

from gluonnorm.data.listing import Listing
from gluonnorm.photos.prepare import resized_size
from gluonnorm.types import Preprocess

import numpy as np

SMALLEST_SIDE = 1.0  # pixels; a shorter side shows nothing
# Pixels that the sides of float32 boxes may be off, far from the origin and after resizing.
ROUNDING = 0.005


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
        (M,) bool, what training can learn from, see ``boxes_to_learn``.
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


def list_objects(listing: Listing, preprocess: Optional[Preprocess] = None) -> ObjectTable:
    """Put the objects of a data set into the network's input. No image is decoded.

    Parameters
    ----------
    listing : Listing
        What ``listing_of`` returns for the data set.
    preprocess : Preprocess, optional
        How the network wants its images, with the longest of its lengths ``short``. None takes
        images as they are.

    Returns
    -------
    ObjectTable
        The objects, in the order of ``listing``.
    """
    image_sizes = listing.image_sizes[listing.images]
    input_sizes = _input_sizes(listing.image_sizes, preprocess)[listing.images]
    clipped = np.clip(listing.file_boxes, 0, np.tile(image_sizes[:, ::-1], 2))
    scales = (input_sizes / image_sizes)[:, ::-1]
    is_inclusive = preprocess is not None and preprocess.inclusive
    return ObjectTable(
        images=listing.images,
        labels=listing.labels,
        crowd=listing.crowd,
        file_boxes=listing.file_boxes,
        image_sizes=image_sizes,
        boxes=clipped * np.tile(scales, 2),
        input_sizes=input_sizes,
        learnable=boxes_to_learn(clipped, listing.crowd, scales, is_inclusive),
    )


def boxes_to_learn(
    boxes: np.ndarray, crowd: np.ndarray, scales: np.ndarray, inclusive: bool = False
) -> np.ndarray:
    """Tell which boxes training learns from: no crowd, and nothing too small to be seen.

    This is the rule of the training transform, ``inspect``, ``ImagesWithBoxes`` and
    ``repeat_factors``. A box must be at least a pixel wide and high, in the photo and in the
    network's input. Where nothing is known of the input, the photo alone counts.

    Parameters
    ----------
    boxes : numpy.ndarray
        (M, 4), ``x1 y1 x2 y2`` in pixels of the photo, inside it, ``x2 - x1`` wide.
    crowd : numpy.ndarray
        (M,) bool, COCO's ``iscrowd`` or VOC's ``difficult``.
    scales : numpy.ndarray
        (2,), or (M, 2) for boxes of several photos: length in the network's input divided by
        length in the photo, along x and along y.
    inclusive : bool
        ``Preprocess.inclusive``. Boxes must then be more than a pixel wide and high in the photo,
        because Detectron drops the others (``x2 = x1``).

    Returns
    -------
    numpy.ndarray
        (M,) bool.

    Examples
    --------
    >>> boxes = np.array([[2, 2, 9, 9], [2, 2, 3, 9], [2, 2, 2.5, 9]])
    >>> crowd = np.array([False, False, False])
    >>> boxes_to_learn(boxes, crowd, np.array([1, 1])).tolist()
    [True, True, False]
    >>> boxes_to_learn(boxes, crowd, np.array([0.5, 0.5])).tolist()
    [True, False, False]
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    smallest = SMALLEST_SIDE + (ROUNDING if inclusive else -ROUNDING)
    is_shown = (sides > smallest) & (sides * scales > SMALLEST_SIDE - ROUNDING)
    return ~crowd & np.isfinite(sides).all(axis=1) & is_shown.all(axis=1)


def _input_sizes(image_sizes: np.ndarray, preprocess: Optional[Preprocess]) -> np.ndarray:
    """Return (N, 2), height and width of the network's input for images of these sizes."""
    if preprocess is None or not len(image_sizes):
        return image_sizes
    longest = replace(preprocess, short=(max(preprocess.short),))
    distinct, places = np.unique(image_sizes, axis=0, return_inverse=True)
    resized = [resized_size(height, width, longest) for height, width in distinct.tolist()]
    return np.array(resized, np.int64)[places.reshape(-1)]
