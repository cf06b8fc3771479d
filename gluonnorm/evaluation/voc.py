"""PASCAL VOC's average precision, after the devkit's VOCevaldet.m."""
from collections import defaultdict
from typing import Any, Dict, List, Mapping, Sequence

from gluonnorm.evaluation.coco import check_results

import numpy as np
from pycocotools.mask import iou as box_iou  # float64, takes x, y, width, height

_RIGHT, _WRONG, _IGNORED = 1, 0, -1


def evaluate_voc(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_thresh: float = 0.5, metric: str = "voc07"
) -> Dict[str, float]:
    """VOC's mean average precision and each class's AP.

    Detections of a class are taken best score first. Each looks for the truth of its image that it overlaps most:
    with an IoU of at least ``iou_thresh`` it is right, unless that truth is already taken (wrong) or is a crowd
    or difficult one (the detection does not count); any other is wrong.

    Boxes are continuous. The devkit counts the pixels from ``xmin`` to ``xmax``, both included, and so adds 1 to
    every width; with those boxes read as ``xmin - 1 .. xmax`` the plain IoU here is the devkit's. GluonCV's metrics
    add 1 as the devkit does, so they agree with these numbers when given ``x2 - 1, y2 - 1``.

    Parameters
    ----------
    truth
        Ground truth as a COCO dict; ``iscrowd`` marks crowd and difficult boxes.
    results
        COCO result records with ``bbox``, as ``coco_results`` makes them.
    iou_thresh
        Least overlap of a right detection, in 0..1.
    metric
        ``"voc07"``: mean of the precision at the 11 recalls 0, 0.1, .. 1. ``"voc12"``: area under the whole curve,
        as the devkit of 2010 and later measures it.

    Returns
    -------
    ``mAP``, then ``AP/<class>`` for every category in the order of their ids; fractions in 0..1. A class without
    countable truth has -1 and is left out of the mean; the mean is -1 if no class has any.

    Raises
    ------
    ValueError
        Unknown ``metric``; a result of an image or category that the truth does not have; two categories of one name.
    """
    if metric not in _AVERAGE_PRECISION:
        raise ValueError(f"metric is {metric!r}; the VOC metrics are {', '.join(_AVERAGE_PRECISION)}")
    check_results(truth, results)
    truths, found = _by_class(truth["annotations"]), _by_class(results)
    scores = {}
    for category in sorted(truth["categories"], key=lambda category: category["id"]):
        there, seen = truths[category["id"]], found[category["id"]]
        countable = sum(not row.get("iscrowd") for row in there)
        if countable:
            matches = _match(there, seen, iou_thresh)
            right, wrong = np.cumsum(matches == _RIGHT), np.cumsum(matches == _WRONG)
            recall, precision = right / countable, right / np.maximum(right + wrong, 1)
            scores[f"AP/{category['name']}"] = float(_AVERAGE_PRECISION[metric](recall, precision))
        else:
            scores[f"AP/{category['name']}"] = -1.0
    valid = [score for score in scores.values() if score >= 0]
    return {"mAP": float(np.mean(valid)) if valid else -1.0, **scores}


def _by_class(rows: Sequence[Mapping[str, Any]]) -> Dict[int, List[Mapping[str, Any]]]:
    groups: Dict[int, List[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["category_id"]].append(row)
    return groups


def _match(there: List[Mapping[str, Any]], seen: List[Mapping[str, Any]], iou_thresh: float) -> np.ndarray:
    """Right, wrong or ignored for each detection of one class, best score first (equal scores in the order given)."""
    by_image: Dict[int, List[Mapping[str, Any]]] = defaultdict(list)
    for row in there:
        by_image[row["image_id"]].append(row)
    taken = set()
    matches = []
    for row in sorted(seen, key=lambda row: -row["score"]):
        candidates = by_image[row["image_id"]]
        match = _WRONG
        if candidates:
            boxes = np.array([c["bbox"] for c in candidates], dtype=np.float64)
            overlaps = box_iou(np.array([row["bbox"]], dtype=np.float64), boxes, [0] * len(candidates))[0]
            best = int(overlaps.argmax())
            if overlaps[best] >= iou_thresh:
                key = (row["image_id"], best)
                if candidates[best].get("iscrowd"):
                    match = _IGNORED
                elif key not in taken:
                    match = _RIGHT
                taken.add(key)
        matches.append(match)
    return np.array(matches, dtype=np.int32)


def _eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean over the recalls 0, 0.1, .. 1 of the best precision at that recall or beyond."""
    return sum(precision[recall >= level].max(initial=0.0) / 11 for level in np.arange(0.0, 1.1, 0.1))


def _area_under_curve(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve, made falling: at each recall the best precision there or beyond."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return np.sum(np.diff(recall, prepend=0.0) * envelope)


_AVERAGE_PRECISION = {"voc07": _eleven_points, "voc12": _area_under_curve}
