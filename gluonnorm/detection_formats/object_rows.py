"""What all forms share: class names, boxes in full width, objects inside of the image."""

from typing import List, Sequence, Tuple

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.errors import InputError
from gluonnorm.photos.boxes import clip_boxes, exclusive_corners, valid_boxes
from gluonnorm.types import Detections

import numpy as np


def class_names(detections: Detections, classes: Sequence[str]) -> List[str]:
    """Look up the class name of each detection.

    Parameters
    ----------
    detections : Detections
        N detections.
    classes : sequence of str
        The name of each class id.

    Returns
    -------
    list of str
        N names.

    Raises
    ------
    InputError
        ``classes`` has no name for an id.
    """
    ids = np.asarray(detections.ids)
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(classes):
        raise InputError(
            f"detections have ids from {ids.min()} to {ids.max()}, but there are {len(classes)} "
            "class names; give the names the network was trained with, without a background"
        )
    return [classes[class_id] for class_id in ids]


def exclusive_boxes(detections: Detections) -> np.ndarray:
    """Return the boxes so that each is ``x2 - x1`` wide.

    Parameters
    ----------
    detections : Detections
        N detections.

    Returns
    -------
    numpy.ndarray
        (N, 4) float64. In float32 a width would be rounded once more.
    """
    boxes = np.asarray(detections.boxes, np.float64).reshape(-1, 4)
    return exclusive_corners(boxes) if detections.inclusive else boxes


def objects_inside(detections: Detections, size: Tuple[int, int]) -> Detections:
    """Clip detections to their image, as annotations have to be.

    Parameters
    ----------
    detections : Detections
        N detections.
    size : tuple of int
        Height and width of the image in pixels.

    Returns
    -------
    Detections
        The detections of which something is in the image, with boxes that are ``x2 - x1`` wide.
        One whose mask has no pixels is left out.

    Raises
    ------
    InputError
        Masks have another size.
    """
    height, width = size
    boxes = clip_boxes(exclusive_boxes(detections), height, width)
    is_inside = valid_boxes(boxes)
    masks = detections.masks
    if masks is not None:
        if masks.shape[1:] != (height, width):
            raise InputError(
                f"masks are {masks.shape[1:]}, and the image is {(height, width)}; want height and "
                "width of the image that the detections belong to"
            )
        masks = CroppedMasks.of(masks)
        has_pixels = [bool(crop.pixels.any()) for crop in masks.crops]
        is_inside &= np.array(has_pixels, bool)
        masks = masks[is_inside]
    return Detections(
        boxes[is_inside], detections.scores[is_inside], detections.ids[is_inside], masks
    )
