"""Evaluation: detections against the ground truth, in the metrics of COCO and PASCAL VOC, and what
lost AP is lost by.
"""

from gluonnorm.coco_results import coco_results
from gluonnorm.evaluation.calibration import Calibration, calibrate
from gluonnorm.evaluation.coco import evaluate_coco
from gluonnorm.evaluation.confusion import Confusion, confuse_classes
from gluonnorm.evaluation.error_breakdown import ErrorBreakdown, ErrorShares, explain_errors
from gluonnorm.evaluation.matches import Matches, match_detections
from gluonnorm.evaluation.predict import predict
from gluonnorm.evaluation.voc import evaluate_voc

__all__ = [
    "Calibration",
    "Confusion",
    "ErrorBreakdown",
    "ErrorShares",
    "Matches",
    "calibrate",
    "coco_results",
    "confuse_classes",
    "evaluate_coco",
    "evaluate_voc",
    "explain_errors",
    "match_detections",
    "predict",
]
