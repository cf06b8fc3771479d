"""Detectron2's detectors, with its convention.

They see BGR minus the mean, photos are resized with antialiasing, and RoIAlign takes as many
samples in a cell as the cell has feature map pixels.
"""

from typing import Any, Dict, List

from gluonnorm.types import IMAGENET_STD
from model_zoo.classes import COCO_CLASSES
from model_zoo.rows.model import Model

# Detectron2's box losses are plain absolute differences. A smooth L1 loss with a beta this small
# has almost no quadratic part, so its values and gradients are the same.
ABSOLUTE_LOSS_BETA = 1e-6
BASE_SETTINGS: Dict[str, Any] = {
    "convention": "detectron2",
    "resize": "antialias",
    "order": "BGR",
    "std": (1.0, 1.0, 1.0),
    "short": (640, 672, 704, 736, 768, 800),
    "roi_sample_ratio": 0,
    "rpn_smoothl1_beta": ABSOLUTE_LOSS_BETA,
    "rcnn_smoothl1_beta": ABSOLUTE_LOSS_BETA,
}
FPN_SETTINGS: Dict[str, Any] = {**BASE_SETTINGS, "multiple": 32}
C4_SETTINGS: Dict[str, Any] = {
    **BASE_SETTINGS,
    "multiple": 1,
    "anchor_sizes": ((32, 64, 128, 256, 512),),
    "rpn_channels": 1024,
    "rpn_train_pre_nms": 12000,
    "rpn_train_post_nms": 2000,
    "rpn_test_pre_nms": 6000,
    "roi_size": 14,
}
# Without pretrained weights no stage is frozen. Only the longest schedule normalizes the input.
SCRATCH_3X_SETTINGS: Dict[str, Any] = {**FPN_SETTINGS, "freeze_at": 0}
SCRATCH_9X_SETTINGS: Dict[str, Any] = {**SCRATCH_3X_SETTINGS, "std": IMAGENET_STD}
# Mask R-CNN with one norm in all parts: name, variant of the ResNet, norm, settings.
NORM_DETECTORS = (
    ("mask_rcnn_R_50_FPN_3x_gn", "v1b", "gn", FPN_SETTINGS),
    ("mask_rcnn_R_50_FPN_3x_syncbn", "v1a", "sync_bn", FPN_SETTINGS),
    ("scratch_mask_rcnn_R_50_FPN_3x_gn", "v1b", "gn", SCRATCH_3X_SETTINGS),
    ("scratch_mask_rcnn_R_50_FPN_9x_gn", "v1b", "gn", SCRATCH_9X_SETTINGS),
    ("scratch_mask_rcnn_R_50_FPN_9x_syncbn", "v1b", "sync_bn", SCRATCH_9X_SETTINGS),
)


def rows() -> List[Model]:
    """List the detectors of Detectron2's model zoo.

    Returns
    -------
    list of Model
        The detectors of COCO-Detection and COCO-InstanceSegmentation on ResNet, and the detectors
        of Misc that change the norm. Dilated C5 (DC5) and ResNeXt are left out.
    """
    models = []
    for depth, schedule in ((50, "1x"), (50, "3x"), (101, "3x")):
        models += _frozen_bn_detectors(depth, schedule)
    for name, variant, norm, settings in NORM_DETECTORS:
        models.append(_mask_rcnn_fpn(name, f"resnet50_{variant}", norm, settings))
    return models


def _frozen_bn_detectors(depth: int, schedule: str) -> List[Model]:
    """Describe Faster and Mask R-CNN, each with a pyramid and with one map."""
    models = []
    for family, fpn_mask_convs, c4_mask_convs in (("faster", None, None), ("mask", 4, 0)):
        models.append(
            Model(
                name=f"{family}_rcnn_R_{depth}_FPN_{schedule}",
                backbone=f"resnet{depth}_v1a",
                neck="fpn",
                head="2fc",
                classes=COCO_CLASSES,
                mask_convs=fpn_mask_convs,
                settings=FPN_SETTINGS,
            )
        )
        models.append(
            Model(
                name=f"{family}_rcnn_R_{depth}_C4_{schedule}",
                backbone=f"resnet{depth}_v1a",
                neck="c4",
                head="res5",
                classes=COCO_CLASSES,
                mask_convs=c4_mask_convs,
                settings=C4_SETTINGS,
            )
        )
    return models


def _mask_rcnn_fpn(name: str, backbone: str, norm: str, settings: Dict[str, Any]) -> Model:
    """Describe a Mask R-CNN with a pyramid and one norm in backbone, neck and heads."""
    return Model(
        name=name,
        backbone=backbone,
        neck="fpn",
        head="4conv1fc",
        classes=COCO_CLASSES,
        norm=norm,
        norm_in_heads=True,
        mask_convs=4,
        settings=settings,
    )
