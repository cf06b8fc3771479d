"""Detectors of Detectron and SwitchNorm_Detection, under the names of their configurations.

SwitchNorm_Detection descends from Detectron and has its convention.
"""

from typing import Any, Dict, List

from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
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
# SwitchNorm_Detection fine-tunes from backbones of PyTorch, which see normalized RGB.
RGB_INPUT: Dict[str, Any] = {"order": "RGB", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
# SwitchNorm_Detection keeps proposals of any size, and samples fewer RoIs of a C4 detector.
ANY_SIZE: Dict[str, Any] = {"rpn_min_size": 0.0}
FEWER_ROIS: Dict[str, Any] = {"num_sample": 256}
# No stage is frozen: in training from scratch, and in one configuration that fine-tunes.
TRAIN_ALL: Dict[str, Any] = {"freeze_at": 0}


def rows() -> List[Model]:
    """List the detectors of Detectron and of SwitchNorm_Detection.

    Returns
    -------
    list of Model
        Detectron's with frozen BatchNorm and with GroupNorm, SwitchNorm_Detection's with
        SwitchNorm.
    """
    models = []
    for depth in (50, 101):
        models += _frozen_bn_detectors(depth)
        models += _group_norm_detectors(depth)
    models += _switch_norm_detectors()
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
        _mask_rcnn_fpn(f"{fine_tuned}_2x_gn", depth, "gn", FPN_SETTINGS),
        _mask_rcnn_fpn(f"{fine_tuned}_3x_gn", depth, "gn", FPN_SETTINGS),
        _mask_rcnn_fpn(f"{scratch}_3x_gn", depth, "gn", scratch_settings),
    ]


def _switch_norm_detectors() -> List[Model]:
    """Describe SwitchNorm_Detection's detectors; "(8,1)" is SwitchNorm without its BN part."""
    scratch_c4 = {**C4_SETTINGS, **ANY_SIZE, **FEWER_ROIS, **TRAIN_ALL}
    scratch_fpn = {**FPN_SETTINGS, **ANY_SIZE, **TRAIN_ALL}
    fine_tuned_c4 = {**scratch_c4, **RGB_INPUT}
    fine_tuned_fpn = {**FPN_SETTINGS, **ANY_SIZE, **RGB_INPUT}
    return [
        _faster_rcnn_c4("e2e_faster_rcnn_R-50-C4_2x_sn", "sn", fine_tuned_c4),
        _faster_rcnn_fpn("e2e_faster_rcnn_R-50-FPN_2x_sn", "sn", fine_tuned_fpn),
        _faster_rcnn_fpn("e2e_faster_rcnn_R-50-FPN_2x_sn_(8,1)", "sn_nobn", fine_tuned_fpn),
        _mask_rcnn_fpn("e2e_mask_rcnn_R-50-FPN_2x_sn_(8,1)", 50, "sn_nobn", fine_tuned_fpn),
        _faster_rcnn_c4("scratch_e2e_faster_rcnn_R-50-C4_3x_sn", "sn", scratch_c4),
        _faster_rcnn_fpn("scratch_e2e_faster_rcnn_R-50-FPN_3x_sn", "sn", scratch_fpn),
        _mask_rcnn_fpn("scratch_e2e_mask_rcnn_R-50-FPN_3x_sn", 50, "sn", scratch_fpn),
    ]


def _faster_rcnn_c4(name: str, norm: str, settings: Dict[str, Any]) -> Model:
    """Describe a Faster R-CNN with one feature map; its head always has the backbone's norm."""
    return Model(
        name=name,
        backbone="resnet50_v1b",
        neck="c4",
        head="res5",
        classes=COCO_CLASSES,
        norm=norm,
        settings=settings,
    )


def _faster_rcnn_fpn(name: str, norm: str, settings: Dict[str, Any]) -> Model:
    """Describe a Faster R-CNN with a pyramid that has the backbone's norm."""
    return Model(
        name=name,
        backbone="resnet50_v1b",
        neck="fpn",
        head="2fc",
        classes=COCO_CLASSES,
        norm=norm,
        norm_in_heads=True,
        settings=settings,
    )


def _mask_rcnn_fpn(name: str, depth: int, norm: str, settings: Dict[str, Any]) -> Model:
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
