"""torchvision's detectors, with its convention: 90 classes, of which ten are never annotated."""
from typing import Any, Dict, List

from model_zoo.classes import COCO_IDS
from model_zoo.rows.model import Model

SETTINGS: Dict[str, Any] = {
    "convention": "torchvision", "resize": "float", "rounding": "floor", "multiple": 32, "rpn_min_size": 1e-3,
    "rpn_train_post_nms": 2000, "rcnn_smoothl1_beta": 1.0 / 9.0}


def rows() -> List[Model]:
    """Faster and Mask R-CNN in both versions; the second has BatchNorm in neck and heads, and a deeper RPN and head."""
    models = []
    for kind, mask_convs in (("fasterrcnn", None), ("maskrcnn", 4)):
        models += [Model(f"{kind}_resnet50_fpn", "resnet50_v1b", "fpn", "2fc", COCO_IDS, mask_convs=mask_convs,
                         settings=SETTINGS),
                   Model(f"{kind}_resnet50_fpn_v2", "resnet50_v1b", "fpn", "4conv1fc", COCO_IDS, "bn",
                         mask_convs=mask_convs, normed=True, settings={**SETTINGS, "rpn_convs": 2})]
    return models
