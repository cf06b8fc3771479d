"""How well the anchors of a network reach the objects of a data set."""

from typing import Sequence, Tuple

from gluonnorm.types import AnchorGrid

import numpy as np


def best_anchor_ious(
    boxes: np.ndarray, input_sizes: np.ndarray, grids: Sequence[AnchorGrid], multiple: int = 1
) -> np.ndarray:
    """Compute the largest IoU of each box with any anchor of its image.

    The overlap of two boxes is a product of an overlap along x and one along y. Along each axis the
    overlap is largest where the anchor's center is closest to the box's, so the best cell of a map
    is found without looking at the others.

    Parameters
    ----------
    boxes : numpy.ndarray
        (M, 4) float64, ``x1 y1 x2 y2`` in pixels of the network's input.
    input_sizes : numpy.ndarray
        (M, 2) int, height and width of the input of each box's image, without padding.
    grids : sequence of AnchorGrid
        The anchors of each feature map.
    multiple : int
        The network pads its input to multiples of this number of pixels.

    Returns
    -------
    numpy.ndarray
        (M,) float64, in 0..1.

    Examples
    --------
    >>> grid = AnchorGrid(stride=8, anchors=np.array([[-8, -8, 8, 8]]))
    >>> boxes = np.array([[8, 8, 24, 24], [8, 8, 24, 16]])
    >>> best_anchor_ious(boxes, np.full((2, 2), 64), [grid]).tolist()
    [1.0, 0.5]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    padded = -(-np.asarray(input_sizes).reshape(-1, 2) // multiple) * multiple
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    best = np.zeros(len(boxes))
    for grid in grids:
        cells = -(-padded // grid.stride)
        steps = padded // cells if grid.spans_input else np.full_like(cells, grid.stride)
        for x1, y1, x2, y2 in grid.anchors.tolist():
            down = _best_overlap(boxes[:, 1::2], (y1, y2), steps[:, 0], cells[:, 0])
            right = _best_overlap(boxes[:, 0::2], (x1, x2), steps[:, 1], cells[:, 1])
            overlap = down * right
            union = areas + (x2 - x1) * (y2 - y1) - overlap
            best = np.maximum(best, overlap / union)
    return best


def _best_overlap(
    intervals: np.ndarray, anchor: Tuple[float, float], steps: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    """Return (M,), the largest overlap of each interval with an anchor at any cell of an axis."""
    start, stop = anchor
    distance = intervals.mean(axis=1) - (start + stop) / 2
    nearest = np.clip(np.round(distance / steps), 0, cells - 1) * steps
    far_end = np.minimum(intervals[:, 1], stop + nearest)
    near_end = np.maximum(intervals[:, 0], start + nearest)
    return np.maximum(far_end - near_end, 0)
