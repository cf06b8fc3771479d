"""Which classes a detector takes for which others."""

from collections import defaultdict
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from gluonnorm.evaluation.checks import check_ids
from gluonnorm.evaluation.coco import sorted_categories
from gluonnorm.evaluation.matches import NOTHING, RIGHT, WRONG, Matches

import numpy as np
from pycocotools.mask import iou as overlap_of_entries  # of boxes or of run lengths


class Confusion(NamedTuple):
    """How often each of C classes is taken for which.

    Attributes
    ----------
    classes : tuple of str
        The names of the classes, in the order of their category ids.
    counts : numpy.ndarray
        (C + 1, C + 1) int. Row: the class of an object, the last one for no object. Column: the
        class of the detection on it, the last one for none. The last entry of all is 0.
    """

    classes: Tuple[str, ...]
    counts: np.ndarray


def confuse_classes(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    matches: Matches,
    score_thresh: float,
    iou_type: str = "bbox",
    iou_thresh: float = 0.5,
) -> Confusion:
    """Count how often objects of each class are detected as which.

    Right detections are those of COCO. Each wrong one, best score first, is then paired with the
    object that it overlaps most, of those in its image that nothing has found. The object is then
    of another class. A second detection of an object has no partner, so it counts as a detection of
    no object.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict.
    results : sequence of mapping
        COCO result entries.
    matches : Matches
        What ``match_detections`` returns for them, ``iou_type`` and ``iou_thresh``.
    score_thresh : float
        Detections with a lower score are left out.
    iou_type : str
        ``"bbox"`` compares boxes, ``"segm"`` masks.
    iou_thresh : float
        Lowest IoU of a detection on an object.

    Returns
    -------
    Confusion
        The counts. Crowd and detections on it are left out.

    Raises
    ------
    InputError
        An annotation has an image or category that the ground truth does not have.
    """
    check_ids(ground_truth)
    categories = sorted_categories(ground_truth)
    label_of_id = {category["id"]: label for label, category in enumerate(categories)}
    nothing = len(categories)
    counts = np.zeros((nothing + 1, nothing + 1), int)
    annotations = ground_truth["annotations"]
    labels = [label_of_id[annotation["category_id"]] for annotation in annotations]
    open_objects = unfound_objects(results, matches, score_thresh)
    free_of_image: Dict[int, List[int]] = defaultdict(list)
    for position in np.flatnonzero(open_objects).tolist():
        free_of_image[annotations[position]["image_id"]].append(position)
    for position in best_first(results):
        result = results[position]
        if result["score"] < score_thresh:
            break
        detected_label = label_of_id[result["category_id"]]
        if matches.verdicts[position] == RIGHT:
            counts[detected_label, detected_label] += 1
        elif matches.verdicts[position] == WRONG:
            free = free_of_image[result["image_id"]]
            partner = _most_overlapped(result, free, annotations, iou_type, iou_thresh)
            true_label = nothing
            if partner != NOTHING:
                true_label = labels[partner]
                free.remove(partner)
            counts[true_label, detected_label] += 1
    for free in free_of_image.values():
        for position in free:
            counts[labels[position], nothing] += 1
    names = tuple(category["name"] for category in categories)
    return Confusion(names, counts)


def unfound_objects(
    results: Sequence[Mapping[str, Any]], matches: Matches, score_thresh: float
) -> np.ndarray:
    """Tell which objects no right detection of enough score finds.

    Parameters
    ----------
    results : sequence of mapping
        COCO result entries.
    matches : Matches
        What ``match_detections`` returns for them.
    score_thresh : float
        Detections with a lower score are left out.

    Returns
    -------
    numpy.ndarray
        (G,) bool; crowd is not asked for, so it is False.
    """
    scores = np.array([result["score"] for result in results])
    unfound = matches.counts & (matches.finders == NOTHING)
    found = np.flatnonzero(matches.finders != NOTHING)
    unfound[found] = scores[matches.finders[found]] < score_thresh
    return unfound


def best_first(results: Sequence[Mapping[str, Any]]) -> List[int]:
    """Sort detections by their scores.

    Parameters
    ----------
    results : sequence of mapping
        COCO result entries.

    Returns
    -------
    list of int
        Their positions, the highest score first; equal scores keep their order.
    """
    scores = np.array([result["score"] for result in results])
    return np.argsort(-scores, kind="stable").tolist()


def overlaps(
    entry: Mapping[str, Any], others: Sequence[Mapping[str, Any]], iou_type: str
) -> np.ndarray:
    """Compute the IoU of one annotation or result with others.

    Parameters
    ----------
    entry : mapping
        An annotation or result with ``bbox``, or with run lengths as ``segmentation``.
    others : sequence of mapping
        Others of the same image, at least one.
    iou_type : str
        ``"bbox"`` compares boxes, ``"segm"`` masks.

    Returns
    -------
    numpy.ndarray
        (len(others),) float64.
    """
    if iou_type == "segm":
        shapes = [other["segmentation"] for other in others]
        return overlap_of_entries([entry["segmentation"]], shapes, [0] * len(others))[0]
    boxes = np.array([other["bbox"] for other in others], np.float64)
    own_box = np.array([entry["bbox"]], np.float64)
    return overlap_of_entries(own_box, boxes, [0] * len(others))[0]


def _most_overlapped(
    result: Mapping[str, Any],
    positions: Sequence[int],
    annotations: Sequence[Mapping[str, Any]],
    iou_type: str,
    iou_thresh: float,
) -> int:
    """Return the position of the annotation that a result overlaps most, if it does so enough."""
    if not positions:
        return NOTHING
    ious = overlaps(result, [annotations[position] for position in positions], iou_type)
    best = int(ious.argmax())
    return positions[best] if ious[best] >= iou_thresh else NOTHING
