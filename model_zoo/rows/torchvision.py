"""torchvision's detectors, with its convention.

They have 90 classes, one for each id that COCO reserved; ten of these are never annotated.
"""

from typing import Any, Dict, List

from model_zoo.classes import COCO_IDS
from model_zoo.rows.model import Model

SETTINGS: Dict[str, Any] = {
    "convention": "torchvision",
    "resize": "float",
    "rounding": "floor",
    # torchvision pads its input to multiples of 32 ("size_divisible").
    "multiple": 32,
    "rpn_min_size": 1e-3,
    "rpn_train_post_nms": 2000,
    "rcnn_smoothl1_beta": 1.0 / 9.0,
}
# The RPN of the second version has two convolutions instead of one.
V2_SETTINGS: Dict[str, Any] = {**SETTINGS, "rpn_convs": 2}
MASK_CONVS = {"fasterrcnn": None, "maskrcnn": 4}
# torchvision has builders for ResNet-50. Other depths are its ``FasterRCNN`` and ``MaskRCNN`` with
# ``resnet_fpn_backbone("resnet101")`` and so on, and the same settings.
DEPTHS = (18, 34, 50, 101, 152)


def rows() -> List[Model]:
    """List the detectors of ``torchvision.models.detection`` on a ResNet with a pyramid.

    Returns
    -------
    list of Model
        Faster and Mask R-CNN on ResNets of every depth, and the second version on ResNet-50, which
        has BatchNorm in neck and heads, and a deeper RPN and box head.
    """
    models = []
    for family, mask_convs in MASK_CONVS.items():
        for depth in DEPTHS:
            models.append(
                Model(
                    name=f"{family}_resnet{depth}_fpn",
                    backbone=f"resnet{depth}_v1b",
                    neck="fpn",
                    head="2fc",
                    classes=COCO_IDS,
                    mask_convs=mask_convs,
                    settings=SETTINGS,
                )
            )
        models.append(
            Model(
                name=f"{family}_resnet50_fpn_v2",
                backbone="resnet50_v1b",
                neck="fpn",
                head="4conv1fc",
                classes=COCO_IDS,
                norm="bn",
                norm_in_heads=True,
                mask_convs=mask_convs,
                settings=V2_SETTINGS,
            )
        )
    return models
