"""Which detection finds which object, as COCO's evaluation pairs them at one IoU."""

import contextlib
import io
from typing import Any, Dict, Mapping, NamedTuple, Sequence

from gluonnorm.evaluation.coco import make_evaluation, sorted_categories

import numpy as np

RIGHT = 1
WRONG = 0
IGNORED = -1
NOTHING = -1  # the position of no object and of no detection
ALL_AREAS = (0, 1e10)  # COCO's, in square pixels
MAX_DETECTIONS = 100  # of a class in an image; COCO leaves the others out


class Matches(NamedTuple):
    """The pairs of N detections and G objects.

    Attributes
    ----------
    verdicts : numpy.ndarray
        (N,) int, 1 for a right detection and 0 for a wrong one. -1 is ignored: it lies on a crowd
        region, or is not among the best 100 of its class and image.
    objects : numpy.ndarray
        (N,) int, the position of the annotation that a right detection finds, else -1.
    finders : numpy.ndarray
        (G,) int, the position of the result that finds an object, else -1.
    counts : numpy.ndarray
        (G,) bool, the objects that are asked for; crowd is not.
    precisions : dict of str to numpy.ndarray
        (101,) float64 for each class with such objects: the best precision at the recall 0, 0.01,
        ... 1 or beyond. Its mean is the class's AP at this IoU.
    """

    verdicts: np.ndarray
    objects: np.ndarray
    finders: np.ndarray
    counts: np.ndarray
    precisions: Dict[str, np.ndarray]


def match_detections(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    iou_type: str = "bbox",
    iou_thresh: float = 0.5,
) -> Matches:
    """Pair detections with objects of their class, as pycocotools does.

    The detections of an image are taken best score first. Each finds the object of its class that
    it overlaps most, of those that no earlier one has found. What a detection finds therefore does
    not depend on detections with lower scores.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict: ``images``, ``annotations``, ``categories``. It is not changed.
    results : sequence of mapping
        COCO result entries. They are not changed.
    iou_type : str
        ``"bbox"`` compares boxes, ``"segm"`` masks.
    iou_thresh : float
        Lowest IoU of a right detection, in 0..1.

    Returns
    -------
    Matches
        The pairs. Positions are those in ``results`` and in ``ground_truth["annotations"]``.

    Raises
    ------
    InputError
        As for ``evaluate_coco``.
    """
    evaluation = make_evaluation(ground_truth, results, iou_type)
    evaluation.params.iouThrs = np.array([iou_thresh])
    evaluation.params.areaRng = [list(ALL_AREAS)]
    evaluation.params.areaRngLbl = ["all"]
    evaluation.params.maxDets = [MAX_DETECTIONS]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    num_objects = len(ground_truth["annotations"])
    matches = Matches(
        verdicts=np.full(len(results), IGNORED),
        objects=np.full(len(results), NOTHING),
        finders=np.full(num_objects, NOTHING),
        counts=np.zeros(num_objects, bool),
        precisions={},
    )
    for image_of_class in evaluation.evalImgs:
        # An image without objects and detections of a class is None.
        if image_of_class is not None:
            _enter(matches, image_of_class)
    # Axes: IoU threshold, recall, class, area range, detections an image.
    precisions = evaluation.eval["precision"][0, :, :, 0, 0]
    for column, category in enumerate(sorted_categories(ground_truth)):
        # -1 stands for a class without objects.
        if precisions[0, column] >= 0:
            matches.precisions[category["name"]] = precisions[:, column]
    return matches


def _enter(matches: Matches, image_of_class: Mapping[str, Any]) -> None:
    """Enter the pairs of one class in one image."""
    # The ids are positions counted from 1, and a partner of 0 is none.
    annotations = np.array(image_of_class["gtIds"], int) - 1
    matches.counts[annotations] = np.array(image_of_class["gtIgnore"]) == 0
    detections = np.array(image_of_class["dtIds"], int) - 1
    partners = image_of_class["dtMatches"][0].astype(int) - 1
    is_ignored = image_of_class["dtIgnore"][0].astype(bool)
    is_right = (partners != NOTHING) & ~is_ignored
    matches.verdicts[detections] = np.where(is_ignored, IGNORED, is_right)
    matches.objects[detections[is_right]] = partners[is_right]
    matches.finders[partners[is_right]] = detections[is_right]
