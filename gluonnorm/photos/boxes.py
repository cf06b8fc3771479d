"""Arithmetic of boxes on NumPy arrays, for data, metrics and drawing.

Boxes are (N, 4) float32 rows ``x1 y1 x2 y2`` in absolute pixels, the second corner exclusive: a box is
``x2 - x1`` wide, with no "+1". N may be 0.
"""
import numpy as np


def box_area(boxes: np.ndarray) -> np.ndarray:
    """Area of each box: (N, 4) -> (N,) float32 in square pixels, 0 where a side is not positive."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return (sides[:, 0] * sides[:, 1]).astype(np.float32)


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs: (N, 4) and (M, 4) -> (N, M) float32 in 0..1.

    A pair whose union is empty has an IoU of 0.

    >>> box_iou(np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2], [5, 5, 6, 6]]))
    array([[0.33333334, 0.        ]], dtype=float32)
    """
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = np.maximum(bottom_right - top_left, 0).prod(axis=2)
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - intersection
    return (intersection / np.where(union > 0, union, 1)).astype(np.float32)


def clip_boxes(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """The boxes cut to an image of ``height`` x ``width`` pixels: (N, 4) -> (N, 4) float32, a new array."""
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limit).astype(np.float32)


def flip_boxes(boxes: np.ndarray, width: float) -> np.ndarray:
    """The boxes in the image mirrored left to right, ``width`` pixels wide: (N, 4) -> (N, 4) float32, a new array."""
    flipped = np.array(boxes, np.float32)
    flipped[:, 0] = width - boxes[:, 2]
    flipped[:, 2] = width - boxes[:, 0]
    return flipped


def valid_boxes(boxes: np.ndarray) -> np.ndarray:
    """Which boxes are finite and have an area: (N, 4) -> (N,) bool."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
