"""Detections as those of the package supervision, which annotates, tracks and counts objects."""

from typing import Any, Sequence

from gluonnorm.detection_formats.object_rows import class_names, exclusive_boxes
from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late
from gluonnorm.types import Detections

import numpy as np


def supervision_detections(detections: Detections, classes: Sequence[str]) -> Any:
    """Convert the detections of an image to ``supervision.Detections``.

    Parameters
    ----------
    detections : Detections
        N detections.
    classes : sequence of str
        The name of each class id.

    Returns
    -------
    supervision.Detections
        ``xyxy`` (N, 4) float32, where a box is ``x2 - x1`` wide; ``confidence`` (N,) float32;
        ``class_id`` (N,) int; ``mask`` (N, H, W) bool or None; ``data["class_name"]`` (N,).

    Raises
    ------
    InputError
        supervision is not installed, or ``classes`` has no name for an id.

    Examples
    --------
    >>> from gluonnorm.deploy import Predictor  # doctest: +SKIP
    >>> predictor = Predictor("out/blood")  # doctest: +SKIP
    >>> found = supervision_detections(predictor("a.jpg"), predictor.classes)  # doctest: +SKIP
    """
    supervision = import_late(
        "supervision",
        InputError,
        "supervision.Detections needs the package supervision",
        "install it with pip install supervision",
    )
    names = class_names(detections, classes)
    if not names:
        # Versions before 0.28 take detections with masks or data for some, even of no object.
        return supervision.Detections.empty()
    masks = detections.masks
    return supervision.Detections(
        xyxy=exclusive_boxes(detections).astype(np.float32),
        mask=None if masks is None else np.asarray(masks),
        confidence=np.asarray(detections.scores),
        class_id=np.asarray(detections.ids).astype(int),
        data={"class_name": np.array(names, dtype=str)},
    )
