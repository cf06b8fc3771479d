"""PASCAL VOC's average precision, after the devkit's VOCevaldet.m."""

from collections import defaultdict
from typing import Any, Callable, Dict, List, Mapping, Sequence, Set, Tuple

from gluonnorm.errors import InputError
from gluonnorm.evaluation.checks import check_comparison, checked_annotations
from gluonnorm.evaluation.coco import sorted_categories

import numpy as np
from pycocotools.mask import iou as xywh_iou  # in float64, of boxes x, y, width, height

Entries = List[Mapping[str, Any]]

CORRECT = 1
WRONG = 0
IGNORED = -1
RECALL_LEVELS = np.arange(0.0, 1.1, 0.1)  # the 11 recalls of VOC 2007


def evaluate_voc(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    iou_thresh: float = 0.5,
    metric: str = "voc07",
) -> Dict[str, float]:
    """Compute VOC's mean average precision and the AP of each class.

    The detections of a class are taken best score first. Each is compared with the ground truth box
    of its image that it overlaps most. It is correct if their IoU is at least ``iou_thresh`` and no
    earlier detection has matched that box. If the box is crowd or difficult, the detection does not
    count. Every other detection is wrong.

    Boxes are continuous. The devkit counts the pixels from ``xmin`` to ``xmax``, both included, and
    therefore adds 1 to every width. If its boxes are read as ``xmin - 1 .. xmax``, the plain IoU
    used here is the devkit's. GluonCV's metrics add 1 like the devkit; they agree with these
    numbers on boxes ``x1, y1, x2 - 1, y2 - 1``.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict: ``images``, ``annotations``, ``categories``; ``iscrowd`` marks crowd and
        difficult boxes.
    results : sequence of mapping
        COCO result entries with ``bbox``, as ``coco_results`` makes them.
    iou_thresh : float
        Lowest IoU of a correct detection, in 0..1.
    metric : str
        ``"voc07"``: mean of the precisions at the 11 recalls 0, 0.1, ... 1. ``"voc12"``: area under
        the precision-recall curve, as in the devkit of 2010 and later.

    Returns
    -------
    dict of str to float
        ``mAP``, then ``AP/<class>`` for every category in the order of their ids, in 0..1. A class
        without ground truth that counts has -1 and is left out of the mean. The mean is -1 if
        there is no such ground truth in any class.

    Raises
    ------
    InputError
        An unknown ``metric``; an annotation or result of an image or category that the ground truth
        does not have; two categories of one name; a score that is not a finite number; a box that
        is missing or not four finite numbers, of which the sides are not negative; a crowd flag
        other than 0 and 1.
    """
    if metric not in _AVERAGE_PRECISIONS:
        known = ", ".join(_AVERAGE_PRECISIONS)
        raise InputError(f"metric is {metric!r}; the VOC metrics are {known}")
    check_comparison(ground_truth, results, "bbox")
    annotations_by_class = _group_by(checked_annotations(ground_truth), "category_id")
    results_by_class = _group_by(results, "category_id")
    average_precision = _AVERAGE_PRECISIONS[metric]
    scores = {}
    for category in sorted_categories(ground_truth):
        annotations = annotations_by_class[category["id"]]
        class_results = results_by_class[category["id"]]
        countable = [annotation for annotation in annotations if not annotation["iscrowd"]]
        score = -1.0
        if countable:
            verdicts = _judge(annotations, class_results, iou_thresh)
            recall, precision = _recall_and_precision(verdicts, len(countable))
            score = float(average_precision(recall, precision))
        scores[f"AP/{category['name']}"] = score
    valid_scores = [score for score in scores.values() if score >= 0]
    mean_score = float(np.mean(valid_scores)) if valid_scores else -1.0
    return {"mAP": mean_score, **scores}


def _group_by(entries: Sequence[Mapping[str, Any]], key: str) -> Dict[int, Entries]:
    """Group annotations or results by the value of one key, in their order."""
    groups: Dict[int, Entries] = defaultdict(list)
    for entry in entries:
        groups[entry[key]].append(entry)
    return groups


def _judge(annotations: Entries, results: Entries, iou_thresh: float) -> np.ndarray:
    """Call each detection of one class correct, wrong or ignored.

    Returns (N,) int32, best score first. Of equal scores the smaller image id comes first, so that
    the verdicts do not depend on the order in which images were evaluated.
    """
    annotations_by_image = _group_by(annotations, "image_id")
    matched: Set[Tuple[int, int]] = set()
    verdicts = []
    for result in sorted(results, key=_best_first):
        image_id = result["image_id"]
        candidates = annotations_by_image[image_id]
        verdict = WRONG
        if candidates:
            overlaps = _overlaps(result, candidates)
            best = int(overlaps.argmax())
            overlaps_enough = overlaps[best] >= iou_thresh
            if overlaps_enough and candidates[best].get("iscrowd"):
                verdict = IGNORED
            elif overlaps_enough and (image_id, best) not in matched:
                verdict = CORRECT
                matched.add((image_id, best))
        verdicts.append(verdict)
    return np.array(verdicts, dtype=np.int32)


def _best_first(result: Mapping[str, Any]) -> Tuple[float, int]:
    """The key that sorts results best score first, and equal scores by their image."""
    return -result["score"], result["image_id"]


def _overlaps(result: Mapping[str, Any], candidates: Entries) -> np.ndarray:
    """IoU of one result with each ground truth box of its image."""
    detected_box = np.array([result["bbox"]], dtype=np.float64)
    boxes = np.array([candidate["bbox"] for candidate in candidates], dtype=np.float64)
    is_crowd = [0] * len(candidates)  # the plain IoU, also with crowd boxes
    return xywh_iou(detected_box, boxes, is_crowd)[0]


def _recall_and_precision(verdicts: np.ndarray, num_boxes: int) -> Tuple[np.ndarray, np.ndarray]:
    """Recall and precision after each detection, (N,) float64 each."""
    num_correct = np.cumsum(verdicts == CORRECT)
    num_wrong = np.cumsum(verdicts == WRONG)
    recall = num_correct / num_boxes
    precision = num_correct / np.maximum(num_correct + num_wrong, 1)
    return recall, precision


def _eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean over 11 recalls of the best precision at that recall or beyond (VOC 2007)."""
    total = 0.0
    for level in RECALL_LEVELS:
        best_precision = precision[recall >= level].max(initial=0.0)
        total += best_precision / 11
    return total


def _area_under_curve(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve of the best precision at each recall or beyond (VOC 2010 and later)."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return np.sum(np.diff(recall, prepend=0.0) * envelope)


_AVERAGE_PRECISIONS: Dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "voc07": _eleven_points,
    "voc12": _area_under_curve,
}
