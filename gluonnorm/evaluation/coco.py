"""COCO's detection metrics, computed by pycocotools."""

import contextlib
import io
from typing import Any, Dict, List, Mapping, Sequence

from gluonnorm.evaluation.checks import (
    box_area,
    check_comparison,
    checked_annotations,
)

import numpy as np
from pycocotools import mask as run_length_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def evaluate_coco(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_type: str = "bbox"
) -> Dict[str, float]:
    """Compute COCO's twelve metrics and the AP of each class.

    The numbers equal those of pycocotools to the last digit. Nothing is printed.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict: ``images``, ``annotations``, ``categories``. Crowd regions are ignored as in
        COCO. An area that is missing or negative is computed from the box. It is not changed.
    results : sequence of mapping
        COCO result entries. With ``iou_type="segm"`` each has a run-length encoded
        ``segmentation``, and its area is the area of the mask, even if it has a ``bbox`` as well.
        They are not changed.
    iou_type : str
        ``"bbox"`` compares boxes, ``"segm"`` masks.

    Returns
    -------
    dict of str to float
        ``METRICS`` in COCO's order, then ``AP/<class>`` and ``AP50/<class>`` for every category in
        the order of their ids. Values are in 0..1. As in pycocotools a value is 0 if no object is
        detected, and -1 if the ground truth has no object (at all, of that class, or of that size).

    Raises
    ------
    InputError
        An unknown ``iou_type``; an annotation or result of an image or category that the ground
        truth does not have; two categories of one name; a score that is not a finite number; a box
        that is missing or not four finite numbers, of which the sides are not negative; a crowd
        flag other than 0 and 1; with ``iou_type="segm"`` an annotation without ``segmentation`` or
        a result without run lengths.
    """
    evaluation = make_evaluation(ground_truth, results, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = {name: float(value) for name, value in zip(METRICS, evaluation.stats)}
    # Axes: IoU threshold, recall, class, area range, detections an image. Of the last two axes the
    # first entry stands for all areas and the last one for 100 detections.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    names = [category["name"] for category in sorted_categories(ground_truth)]
    for index, name in enumerate(names):
        metrics[f"AP/{name}"] = _mean_precision(precision[:, :, index])
    for index, name in enumerate(names):
        metrics[f"AP50/{name}"] = _mean_precision(precision[0, :, index])
    return metrics


def sorted_categories(ground_truth: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """List the categories of a COCO dict in the order of their ids.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict with ``categories``.

    Returns
    -------
    list of mapping
        The categories.
    """
    return sorted(ground_truth["categories"], key=_entry_id)


def _entry_id(entry: Mapping[str, Any]) -> int:
    """The id of a category, for sorting."""
    return entry["id"]


def index_annotations(ground_truth: Mapping[str, Any], annotations: List[Dict[str, Any]]) -> COCO:
    """Make pycocotools' index of annotations or results on the images of a ground truth.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict with ``images`` and ``categories``.
    annotations : list of dict
        Annotations or results. They get new ids, and pycocotools writes into them.

    Returns
    -------
    pycocotools.coco.COCO
        The index. Nothing is printed.
    """
    # pycocotools mistakes a match with annotation id 0 for no match, so ids start at 1.
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    coco = COCO()
    coco.dataset = {
        "images": ground_truth["images"],
        "categories": ground_truth["categories"],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def make_evaluation(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_type: str
) -> COCOeval:
    """Give checked ground truth and results to pycocotools.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict. It is not changed.
    results : sequence of mapping
        COCO result entries. They are not changed.
    iou_type : str
        ``"bbox"`` compares boxes, ``"segm"`` masks.

    Returns
    -------
    COCOeval
        With COCO's parameters; nothing is evaluated yet. The id of an annotation or result is its
        position, counted from 1.

    Raises
    ------
    InputError
        As for ``evaluate_coco``.
    """
    check_comparison(ground_truth, results, iou_type)
    # pycocotools writes into its input, so it gets copies. Its ``loadRes``, which fails on empty
    # results, is not used.
    annotations = checked_annotations(ground_truth)
    detections = []
    for result in results:
        area = _mask_area(result) if iou_type == "segm" else box_area(result)
        detections.append({**result, "iscrowd": 0, "area": area})
    with contextlib.redirect_stdout(io.StringIO()):
        return COCOeval(
            index_annotations(ground_truth, annotations),
            index_annotations(ground_truth, detections),
            iouType=iou_type,
        )


def _mean_precision(precision: np.ndarray) -> float:
    """Average precisions where there is ground truth; -1 if there is none."""
    defined = precision[precision > -1]
    return float(defined.mean()) if len(defined) else -1.0


def _mask_area(result: Mapping[str, Any]) -> float:
    """Area of a result's mask in square pixels."""
    mask = result["segmentation"]
    if isinstance(mask["counts"], (list, tuple)):
        # Uncompressed lengths, of which every second one is inside.
        return float(sum(mask["counts"][1::2]))
    return float(run_length_codec.area(mask))
