"""How far the detections of two detectors agree."""

from typing import List, Tuple

from gluonnorm.photos.boxes import box_iou

import numpy as np

SAME_OBJECT_IOU = 0.5
SAME_OBJECT_PIXELS = 1


def agreement(expected: np.ndarray, detections: np.ndarray) -> str:
    """Count the expected detections that another detector has too, and measure how far they differ.

    Parameters
    ----------
    expected : numpy.ndarray
        (N, 6) rows ``id, score, x1, y1, x2, y2``.
    detections : numpy.ndarray
        (M, 6) rows of the other detector.

    Returns
    -------
    str
        M, the number of pairs, N, and the largest difference of corners and of scores in a pair.

    Examples
    --------
    >>> one = np.array([[1, 0.9, 0, 0, 10, 10]])
    >>> agreement(one, one)
    '1, and 1 of the wanted 1; 0 px, 0'
    """
    pairs = pair_detections(expected, detections)
    counts = f"{len(detections)}, and {len(pairs)} of the wanted {len(expected)}"
    if not pairs:
        return counts
    rows = [row for row, _ in pairs]
    columns = [column for _, column in pairs]
    differences = np.abs(detections[columns] - expected[rows])
    corners = differences[:, 2:].max()
    scores = differences[:, 1].max()
    return f"{counts}; {corners:.2g} px, {scores:.1g}"


def pair_detections(expected: np.ndarray, detections: np.ndarray) -> List[Tuple[int, int]]:
    """Pair each expected detection with the closest of the others that is still free.

    Two detections can be a pair if they have the same class, and an IoU above 0.5 or corners less
    than a pixel apart.

    Parameters
    ----------
    expected : numpy.ndarray
        (N, 6) rows ``id, score, x1, y1, x2, y2``; earlier rows choose first.
    detections : numpy.ndarray
        (M, 6) rows of the other detector.

    Returns
    -------
    list of (int, int)
        Rows of ``expected`` and of ``detections``.
    """
    boxes = detections[:, 2:]
    expected_boxes = expected[:, 2:]
    distance = np.abs(expected_boxes[:, None] - boxes[None]).max(axis=-1)
    same_class = expected[:, :1] == detections[:, 0]
    # A flat box has no IoU with anything, itself included, so the distance decides too.
    overlap = box_iou(expected_boxes, boxes) > SAME_OBJECT_IOU
    possible = same_class & (overlap | (distance < SAME_OBJECT_PIXELS))
    distance[~possible] = np.inf
    pairs = []
    for row in range(len(expected)):
        if np.isfinite(distance[row]).any():
            column = int(distance[row].argmin())
            pairs.append((row, column))
            distance[:, column] = np.inf
    return pairs
