"""Checks of ground truth and results before they are scored.

pycocotools computes with whatever it gets: a crowd flag ``"0"`` is true for it, an area of -1 puts
a box into no range of sizes, and NaN makes a wrong score without a word.
"""

import math
from numbers import Real
from typing import Any, Dict, List, Mapping, Sequence

from gluonnorm.errors import InputError

import numpy as np


def check_results(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Check that results and ground truth belong to the same data set, and that scores are numbers.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict with ``images`` and ``categories``.
    results : sequence of mapping
        COCO result entries with ``image_id``, ``category_id``, ``score`` and perhaps ``bbox``.

    Raises
    ------
    InputError
        A result has an image or category that the ground truth does not have, two categories have
        the same name, or a score or a box of a result is not finite.
    """
    names = [category["name"] for category in ground_truth["categories"]]
    if len(set(names)) < len(names):
        raise InputError(
            f"two categories of the ground truth have the same name; the names are {names}"
        )
    for key, section in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in ground_truth[section]}
        used = {result[key] for result in results}
        unknown = sorted(used - known)
        if unknown:
            raise InputError(
                f"{len(unknown)} {key} values of the results are not in the ground "
                f"truth, the first is {unknown[0]}; ground truth and results must "
                "come from the same data set"
            )
    _require_finite([[result["score"]] for result in results], "result", "score")
    _require_finite([result.get("bbox", ()) for result in results], "result", "bbox")


def checked_annotations(ground_truth: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Copy the annotations of a ground truth, each with a crowd flag and an area that are numbers.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict. It is not changed.

    Returns
    -------
    list of dict
        The annotations. ``iscrowd`` is 0 or 1, and 0 where it is missing or None. An ``area`` that
        is missing, None, negative or not finite is that of the box.

    Raises
    ------
    InputError
        Another crowd flag, an area that is no number, or a box that is not finite.
    """
    annotations = ground_truth["annotations"]
    _require_finite([entry["bbox"] for entry in annotations], "annotation", "bbox")
    checked = []
    for number, entry in enumerate(annotations):
        crowd = entry.get("iscrowd")
        if crowd not in (None, 0, 1):
            raise InputError(f"annotation number {number} has iscrowd {crowd!r}; want 0 or 1")
        checked.append({**entry, "iscrowd": int(crowd or 0), "area": _area(entry, number)})
    return checked


def box_area(entry: Mapping[str, Any]) -> float:
    """Compute the area of the box of an annotation or result.

    Parameters
    ----------
    entry : mapping
        An annotation or result with ``bbox``: x, y, width, height in pixels.

    Returns
    -------
    float
        In square pixels.
    """
    _, _, width, height = entry["bbox"]
    return width * height


def _area(annotation: Mapping[str, Any], number: int) -> float:
    """The stated area of an annotation if it is one, else that of its box."""
    area = annotation.get("area")
    if area is None:
        return box_area(annotation)
    if not isinstance(area, Real):
        raise InputError(f"annotation number {number} has the area {area!r}; want a number")
    stated = float(area)
    return stated if math.isfinite(stated) and stated >= 0 else box_area(annotation)


def _require_finite(rows: Sequence[Sequence[float]], description: str, key: str) -> None:
    """Raise InputError if a row of numbers has NaN or infinity."""
    values = np.array([value for row in rows for value in row], np.float64)
    if np.isfinite(values).all():
        return
    for number, row in enumerate(rows):
        if not np.isfinite(row).all():
            raise InputError(
                f"{description} number {number} has {key} {list(row)}; want finite numbers, so the "
                "network has diverged or the file is damaged"
            )
