"""Detectors and backbones by name: ``model_zoo.get_model("faster_rcnn_fpn_resnet50_v1b_coco")``."""

from model_zoo import recipes
from model_zoo.backbone_builders import register_backbone
from model_zoo.build import from_spec
from model_zoo.catalogue import get_model_list, list_models, register
from model_zoo.factory import get_model
from model_zoo.from_checkpoint import from_checkpoint
from model_zoo.from_parts import get_faster_rcnn, get_mask_rcnn
from model_zoo.rows.model import Model

__all__ = [
    "Model",
    "from_checkpoint",
    "from_spec",
    "get_faster_rcnn",
    "get_mask_rcnn",
    "get_model",
    "get_model_list",
    "list_models",
    "recipes",
    "register",
    "register_backbone",
]
