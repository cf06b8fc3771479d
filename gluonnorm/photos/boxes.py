"""Arithmetic of boxes in NumPy arrays, for data, metrics and drawing.

Boxes are (N, 4) float32 rows ``x1 y1 x2 y2`` in absolute pixels. The second corner is exclusive: a
box is ``x2 - x1`` wide, without "+1". N may be 0. ``inclusive_corners`` and ``exclusive_corners``
convert to and from boxes whose second corner is their last pixel (Detectron).
"""

import numpy as np


def box_area(boxes: np.ndarray) -> np.ndarray:
    """Compute the area of each box.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels.

    Returns
    -------
    numpy.ndarray
        (N,) float32 in square pixels; 0 for a box with a side that is not positive.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas = sides[:, 0] * sides[:, 1]
    return areas.astype(np.float32)


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of every pair of boxes.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels.
    others : numpy.ndarray
        (M, 4), in pixels.

    Returns
    -------
    numpy.ndarray
        (N, M) float32 in 0..1; 0 for a pair whose union is empty.

    Examples
    --------
    >>> box_iou(np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2], [5, 5, 6, 6]]))
    array([[0.33333334, 0.        ]], dtype=float32)
    """
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    intersection = sides.prod(axis=2)
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - intersection
    # The intersection is 0 where the union is 0, so dividing by 1 there gives the IoU of 0.
    divisor = np.where(union > 0, union, 1)
    return (intersection / divisor).astype(np.float32)


def clip_boxes(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """Clip boxes to an image.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels.
    height, width : float
        Size of the image in pixels.

    Returns
    -------
    numpy.ndarray
        (N, 4) float32, a new array.
    """
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limits).astype(np.float32)


def flip_boxes(boxes: np.ndarray, width: float) -> np.ndarray:
    """Mirror boxes from left to right, together with their image.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels.
    width : float
        Width of the image in pixels.

    Returns
    -------
    numpy.ndarray
        (N, 4) float32, a new array.
    """
    flipped = np.array(boxes, np.float32)
    flipped[:, 0] = width - boxes[:, 2]
    flipped[:, 2] = width - boxes[:, 0]
    return flipped


def valid_boxes(boxes: np.ndarray) -> np.ndarray:
    """Tell which boxes are finite and have an area.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels.

    Returns
    -------
    numpy.ndarray
        (N,) bool.
    """
    is_finite = np.isfinite(boxes).all(axis=1)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return is_finite & has_area


def inclusive_corners(boxes: np.ndarray) -> np.ndarray:
    """Move the far corner of each box back onto the last pixel of the box.

    Detectron reads ground truth in this way (``xywh_to_xyxy`` in its utils/boxes.py): a box of
    COCO's format ends at ``x + width - 1``. A box narrower than a pixel then has ``x2 = x1``.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels of the photo, ``x2 - x1`` wide.

    Returns
    -------
    numpy.ndarray
        (N, 4) float32, a new array; boxes are ``x2 - x1 + 1`` wide.

    Examples
    --------
    >>> inclusive_corners(np.float32([[10, 20, 14, 20.5]])).tolist()
    [[10.0, 20.0, 13.0, 20.0]]
    """
    moved = np.array(boxes, np.float32)
    moved[:, 2:] = np.maximum(moved[:, 2:] - 1, moved[:, :2])
    return moved


def exclusive_corners(boxes: np.ndarray) -> np.ndarray:
    """Move the far corner of each box from its last pixel to the end of that pixel.

    Parameters
    ----------
    boxes : numpy.ndarray
        (N, 4), in pixels of the photo, ``x2 - x1 + 1`` wide.

    Returns
    -------
    numpy.ndarray
        (N, 4) of the same dtype, a new array; boxes are ``x2 - x1`` wide.

    Examples
    --------
    >>> exclusive_corners(np.float32([[10, 20, 13, 20]])).tolist()
    [[10.0, 20.0, 14.0, 21.0]]
    """
    moved = np.array(boxes)
    moved[:, 2:] += 1
    return moved
