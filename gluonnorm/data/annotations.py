"""Check the annotations of an image, which every reader does."""

from typing import (
    Any,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from gluonnorm.data.faults import Faults
from gluonnorm.data.labeled_image import LabeledImage
from gluonnorm.data.masks import RunLengths, decode_masks
from gluonnorm.photos.boxes import clip_boxes, valid_boxes

import numpy as np

Rows = Union[Sequence[Any], np.ndarray]


class ImageAnnotations(NamedTuple):
    """The G checked annotations of one image. Masks stay compressed until the image is read.

    Attributes
    ----------
    boxes : numpy.ndarray
        (G, 4) float32, rows ``x1 y1 x2 y2`` in pixels, inside the image and with an area.
    labels : numpy.ndarray
        (G,) int32, 0-based foreground class of each box.
    crowd : numpy.ndarray
        (G,) bool, COCO's ``iscrowd`` or VOC's ``difficult``.
    masks : list of dict or None
        COCO's compressed run lengths of each box's mask; None without masks.
    without_area : tuple of str
        The places of the boxes that were dropped because they have no area.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    masks: Optional[List[RunLengths]] = None
    without_area: Tuple[str, ...] = ()

    def labeled_image(self, image: np.ndarray, image_id: int, name: str) -> LabeledImage:
        """Join these annotations with their image, and decode the masks.

        Parameters
        ----------
        image : numpy.ndarray
            (H, W, 3) uint8, RGB.
        image_id : int
            The image's id in ``Dataset.coco_truth``.
        name : str
            The image's file name, for messages.

        Returns
        -------
        LabeledImage
            The image with its boxes, labels and masks.
        """
        masks = None
        if self.masks is not None:
            height, width = image.shape[:2]
            masks = decode_masks(self.masks, (height, width))
        return LabeledImage(image, self.boxes, self.labels, self.crowd, image_id, name, masks)


def make_annotations(
    boxes: Rows,
    labels: Rows,
    crowd: Rows,
    size: Tuple[int, int],
    where: str,
    row_names: Sequence[Any],
    faults: Optional[Faults] = None,
) -> ImageAnnotations:
    """Check the annotations of one image and convert them to arrays.

    Boxes are clipped to the image, and boxes without an area are dropped.

    Parameters
    ----------
    boxes : sequence
        G rows ``x1 y1 x2 y2`` in pixels.
    labels : sequence
        G 0-based foreground classes.
    crowd : sequence
        G flags: COCO's ``iscrowd`` or VOC's ``difficult``.
    size : tuple of int
        Height and width of the image in pixels.
    where : str
        The file or image that the annotations come from. Error messages begin with it.
    row_names : sequence
        A name for each of the G annotations. It follows ``where`` in an error message.
    faults : Faults, optional
        Gets a message for each faulty box, which is then left out. None raises DataError.

    Returns
    -------
    ImageAnnotations
        The annotations whose boxes have an area inside the image, without masks; and the places of
        the others.

    Raises
    ------
    DataError
        Without ``faults``: a coordinate is not finite, corners are in the wrong order, or a box
        with an area is outside the image.
    """
    own_faults = Faults(where) if faults is None else faults
    raw_boxes = np.array(boxes, np.float64).reshape(-1, 4)
    is_sound = check_boxes(raw_boxes, size, where, row_names, own_faults)
    if faults is None:
        own_faults.raise_if_any()
    height, width = size
    clipped = clip_boxes(raw_boxes, height, width)
    has_area = valid_boxes(clipped)
    keep = is_sound & has_area
    dropped = np.flatnonzero(is_sound & ~has_area).tolist()
    return ImageAnnotations(
        boxes=clipped[keep],
        labels=np.array(labels, np.int32)[keep],
        crowd=np.array(crowd, bool)[keep],
        without_area=tuple(f"{where} {row_names[row]}" for row in dropped),
    )


def check_boxes(
    boxes: np.ndarray,
    size: Tuple[int, int],
    where: str,
    row_names: Sequence[Any],
    faults: Faults,
) -> np.ndarray:
    """Record the boxes of one image that cannot be right.

    Parameters
    ----------
    boxes : numpy.ndarray
        (G, 4) float64, rows ``x1 y1 x2 y2`` in pixels. In float32 a box far outside of the image
        could lose its area, and would be taken for an empty one.
    size : tuple of int
        Height and width of the image in pixels.
    where : str
        The file or image that the boxes come from. Messages begin with it.
    row_names : sequence
        A name for each of the G boxes. It follows ``where`` in a message.
    faults : Faults
        Gets one message for each box with a coordinate that is not finite, with corners in the
        wrong order, or with an area that is outside the image.

    Returns
    -------
    numpy.ndarray
        (G,) bool, which boxes have no fault. A box without an area has none.
    """
    height, width = size
    not_finite = ~np.isfinite(boxes).all(axis=1)
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    beyond_image = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= (width, height)).any(axis=1)
    outside = valid_boxes(boxes) & beyond_image
    is_faulty = not_finite | inverted | outside
    for row in np.flatnonzero(is_faulty).tolist():
        if not_finite[row]:
            reason = "is not finite"
        elif inverted[row]:
            reason = "has its corners in the wrong order; want x1 <= x2 and y1 <= y2"
        else:
            reason = f"is outside the image of {width} x {height} pixels"
        corners = ", ".join(f"{value:g}" for value in boxes[row])
        faults.add(f"{where} {row_names[row]}: box ({corners}) {reason}; correct or remove it")
    return ~is_faulty
