"""Detections as a table of pandas."""

from typing import Any, Iterable, List, Sequence, Tuple

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.detection_formats.object_rows import class_names, exclusive_boxes
from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late
from gluonnorm.types import Detections

import numpy as np

COLUMNS = ["image", "class", "id", "score", "x1", "y1", "x2", "y2", "width", "height", "area"]


def data_frame(detections: Iterable[Tuple[Any, Detections]], classes: Sequence[str]) -> Any:
    """Write the detections of several images into one ``pandas.DataFrame``.

    Parameters
    ----------
    detections : iterable of (object, Detections)
        Pairs of an image and its detections. The image is what names it: a file, a number. The
        pairs are taken one at a time, so the masks of only one image are in memory.
    classes : sequence of str
        The name of each class id.

    Returns
    -------
    pandas.DataFrame
        A row for each detection: ``image``, ``class`` (its name), ``id``, ``score``, ``x1``,
        ``y1``, ``x2``, ``y2``, ``width`` and ``height`` in pixels, where ``width`` is ``x2 - x1``.
        ``area`` is the number of pixels of the mask, or of the box if there is no mask.

    Raises
    ------
    InputError
        pandas is not installed, or ``classes`` has no name for an id.

    Examples
    --------
    >>> detections = Detections(np.float32([[1, 2, 4, 8]]), np.float32([0.75]), np.int32([1]))
    >>> frame = data_frame([("a.jpg", detections)], ["cat", "dog"])
    >>> frame[["image", "class", "score", "width", "area"]].to_dict("records")
    [{'image': 'a.jpg', 'class': 'dog', 'score': 0.75, 'width': 3.0, 'area': 18.0}]
    """
    pandas = import_late(
        "pandas", InputError, "a data frame needs pandas", "install it with pip install pandas"
    )
    rows: List[Tuple[Any, ...]] = []
    for image, image_detections in detections:
        names = class_names(image_detections, classes)
        boxes = exclusive_boxes(image_detections)
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = sides.prod(axis=1)
        if image_detections.masks is not None:
            crops = CroppedMasks.of(image_detections.masks).crops
            areas = np.array([crop.pixels.sum() for crop in crops], np.float64)
        numbers = np.column_stack([boxes, sides, areas]).tolist()
        ids = image_detections.ids.tolist()
        scores = image_detections.scores.tolist()
        for name, class_id, score, row in zip(names, ids, scores, numbers):
            rows.append((image, name, class_id, score, *row))
    return pandas.DataFrame(rows, columns=COLUMNS)
