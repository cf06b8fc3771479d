"""Detectors and backbones by name: ``model_zoo.get_model("faster_rcnn_fpn_resnet50_v1b_coco")``."""

from model_zoo.build import from_spec, get_model
from model_zoo.catalogue import list_models

__all__ = ["from_spec", "get_model", "list_models"]
