"""Evaluation: detections against the ground truth, in the metrics of COCO and PASCAL VOC."""

from gluonnorm.coco_results import coco_results
from gluonnorm.evaluation.coco import evaluate_coco
from gluonnorm.evaluation.predict import predict
from gluonnorm.evaluation.voc import evaluate_voc

__all__ = ["coco_results", "evaluate_coco", "evaluate_voc", "predict"]
