"""Evaluation: detections against the ground truth, in the metrics of COCO and PASCAL VOC, and what
lost AP is lost by.
"""

from gluonnorm.coco_results import coco_results
from gluonnorm.evaluation.coco import evaluate_coco
from gluonnorm.evaluation.error_breakdown import ErrorBreakdown, ErrorShares, explain_errors
from gluonnorm.evaluation.predict import predict
from gluonnorm.evaluation.voc import evaluate_voc

__all__ = [
    "ErrorBreakdown",
    "ErrorShares",
    "coco_results",
    "evaluate_coco",
    "evaluate_voc",
    "explain_errors",
    "predict",
]
