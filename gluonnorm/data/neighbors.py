"""How far the objects of a class overlap each other."""

from gluonnorm.data.objects import ObjectTable
from gluonnorm.photos.boxes import box_iou

import numpy as np

# A photo may show ten thousand cells. All IoUs of them at once would take 8 gigabytes.
ROWS_AT_ONCE = 256


def neighbor_ious(objects: ObjectTable) -> np.ndarray:
    """Compute the largest IoU of each object with another one of its class in its image.

    Of two objects that overlap more than the threshold of a detector's final NMS, one is lost.

    Parameters
    ----------
    objects : ObjectTable
        M objects.

    Returns
    -------
    numpy.ndarray
        (M,) float64, in 0..1; 0 for an object that is alone.
    """
    largest = np.zeros(len(objects.labels))
    order = np.lexsort((objects.labels, objects.images))
    images, labels = objects.images[order], objects.labels[order]
    is_new = (np.diff(images) != 0) | (np.diff(labels) != 0)
    for rows in np.split(order, np.flatnonzero(is_new) + 1):
        if len(rows) < 2:
            continue
        boxes = objects.boxes[rows]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            ious = box_iou(boxes[part], boxes)
            # Not with itself.
            np.fill_diagonal(ious[:, part], 0)
            largest[rows[part]] = ious.max(axis=1)
    return largest
