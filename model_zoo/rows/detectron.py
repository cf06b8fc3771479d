"""Detectron's detectors, under the names of its configurations, with its convention."""

from typing import Any, Dict, List

from model_zoo.classes import COCO_CLASSES
from model_zoo.rows.model import Model

# Detectron writes the mean in BGR. A configuration holds it in RGB, whatever its "order" is.
CAFFE_MEAN = (122.7717, 115.9465, 102.9801)
FPN_SETTINGS: Dict[str, Any] = {
    "convention": "detectron",
    "resize": "float",
    "rounding": "even",
    "order": "BGR",
    "mean": CAFFE_MEAN,
    "std": (1.0, 1.0, 1.0),
    # With a pyramid, Detectron pads its input to multiples of the coarsest stride of the ResNet.
    "multiple": 32,
    "rpn_train_post_nms": 2000,
    # The files say 0, but the program drops proposals narrower than a pixel all the same
    # (_filter_boxes in detectron/ops/generate_proposals.py).
    "rpn_min_size": 1.0,
}
C4_SETTINGS: Dict[str, Any] = {
    **FPN_SETTINGS,
    "multiple": 1,
    "anchor_sizes": ((32, 64, 128, 256, 512),),
    "rpn_channels": 1024,
    "rpn_train_pre_nms": 12000,
    "rpn_test_pre_nms": 6000,
    "roi_size": 14,
    # 0 takes as many samples in a cell as the cell has pixels of the feature map.
    "roi_sample_ratio": 0,
}
# Without pretrained weights no stage is frozen.
TRAIN_ALL: Dict[str, Any] = {"freeze_at": 0}


def rows() -> List[Model]:
    """List the detectors of Detectron's model zoo and of its project GN.

    Returns
    -------
    list of Model
        Detectors with frozen BatchNorm and with GroupNorm.
    """
    models = []
    for depth in (50, 101):
        models += _frozen_bn_detectors(depth)
        models += _group_norm_detectors(depth)
    return models


def _frozen_bn_detectors(depth: int) -> List[Model]:
    """Describe Faster and Mask R-CNN with frozen BatchNorm; only ResNet-50 has the C4 ones."""
    models = []
    for family, fpn_mask_convs, c4_mask_convs in (("faster", None, None), ("mask", 4, 0)):
        for schedule in ("1x", "2x"):
            models.append(
                Model(
                    name=f"e2e_{family}_rcnn_R-{depth}-FPN_{schedule}",
                    backbone=f"resnet{depth}_v1a",
                    neck="fpn",
                    head="2fc",
                    classes=COCO_CLASSES,
                    mask_convs=fpn_mask_convs,
                    settings=FPN_SETTINGS,
                )
            )
            if depth != 50:
                continue
            models.append(
                Model(
                    name=f"e2e_{family}_rcnn_R-50-C4_{schedule}",
                    backbone="resnet50_v1a",
                    neck="c4",
                    head="res5",
                    classes=COCO_CLASSES,
                    mask_convs=c4_mask_convs,
                    settings=C4_SETTINGS,
                )
            )
    return models


def _group_norm_detectors(depth: int) -> List[Model]:
    """Describe Mask R-CNN with GroupNorm: fine-tuned, and trained from scratch."""
    fine_tuned = f"e2e_mask_rcnn_R-{depth}-FPN"
    scratch = f"scratch_e2e_mask_rcnn_R-{depth}-FPN"
    scratch_settings = {**FPN_SETTINGS, **TRAIN_ALL}
    return [
        mask_rcnn_fpn(f"{fine_tuned}_2x_gn", depth, "gn", FPN_SETTINGS),
        mask_rcnn_fpn(f"{fine_tuned}_3x_gn", depth, "gn", FPN_SETTINGS),
        mask_rcnn_fpn(f"{scratch}_3x_gn", depth, "gn", scratch_settings),
    ]


def mask_rcnn_fpn(name: str, depth: int, norm: str, settings: Dict[str, Any]) -> Model:
    """Describe a Mask R-CNN with one norm in backbone, neck and heads.

    Its blocks have their stride in the 3x3 convolution (ResNet v1b), and either head has four
    convolutions.
    """
    return Model(
        name=name,
        backbone=f"resnet{depth}_v1b",
        neck="fpn",
        head="4conv1fc",
        classes=COCO_CLASSES,
        norm=norm,
        norm_in_heads=True,
        mask_convs=4,
        settings=settings,
    )
