"""Detections in the forms of other tools: COCO, pandas, supervision, Label Studio.

Every form has the names of the classes, and boxes that are as wide as the object: the last pixel of
``inclusive`` detections is added.
"""

from gluonnorm.coco_results import coco_results
from gluonnorm.detection_formats.coco_annotations import coco_data
from gluonnorm.detection_formats.label_studio import label_studio_config, label_studio_task
from gluonnorm.detection_formats.supervision_format import supervision_detections
from gluonnorm.detection_formats.table import data_frame

__all__ = [
    "coco_data",
    "coco_results",
    "data_frame",
    "label_studio_config",
    "label_studio_task",
    "supervision_detections",
]
