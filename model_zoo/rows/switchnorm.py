"""SwitchNorm_Detection's detectors, under the names of its configurations.

The program descends from Detectron and has its convention. "(8,1)" in a name is SwitchNorm without
its BN part.
"""

from typing import Any, Dict, List

from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
from model_zoo.classes import COCO_CLASSES
from model_zoo.rows.detectron import C4_SETTINGS, FPN_SETTINGS, TRAIN_ALL, mask_rcnn_fpn
from model_zoo.rows.model import Model

# Fine-tuning starts from backbones of PyTorch, which see normalized RGB.
RGB_INPUT: Dict[str, Any] = {"order": "RGB", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
# Proposals of any size are kept, unlike in Detectron.
ANY_SIZE: Dict[str, Any] = {"rpn_min_size": 0.0}
SCRATCH_FPN: Dict[str, Any] = {**FPN_SETTINGS, **ANY_SIZE, **TRAIN_ALL}
FINE_TUNED_FPN: Dict[str, Any] = {**FPN_SETTINGS, **ANY_SIZE, **RGB_INPUT}
# With one map fewer RoIs are sampled, and no stage is frozen in fine-tuning either.
SCRATCH_C4: Dict[str, Any] = {**C4_SETTINGS, **ANY_SIZE, **TRAIN_ALL, "num_sample": 256}
FINE_TUNED_C4: Dict[str, Any] = {**SCRATCH_C4, **RGB_INPUT}


def rows() -> List[Model]:
    """List the detectors of SwitchNorm_Detection that have SwitchNorm.

    Returns
    -------
    list of Model
        Faster and Mask R-CNN on ResNet-50, fine-tuned and trained from scratch.
    """
    return [
        _faster_rcnn_c4("e2e_faster_rcnn_R-50-C4_2x_sn", FINE_TUNED_C4),
        _faster_rcnn_fpn("e2e_faster_rcnn_R-50-FPN_2x_sn", "sn", FINE_TUNED_FPN),
        _faster_rcnn_fpn("e2e_faster_rcnn_R-50-FPN_2x_sn_(8,1)", "sn_nobn", FINE_TUNED_FPN),
        mask_rcnn_fpn("e2e_mask_rcnn_R-50-FPN_2x_sn_(8,1)", 50, "sn_nobn", FINE_TUNED_FPN),
        _faster_rcnn_c4("scratch_e2e_faster_rcnn_R-50-C4_3x_sn", SCRATCH_C4),
        _faster_rcnn_fpn("scratch_e2e_faster_rcnn_R-50-FPN_3x_sn", "sn", SCRATCH_FPN),
        mask_rcnn_fpn("scratch_e2e_mask_rcnn_R-50-FPN_3x_sn", 50, "sn", SCRATCH_FPN),
    ]


def _faster_rcnn_c4(name: str, settings: Dict[str, Any]) -> Model:
    """Describe a Faster R-CNN with one feature map; its head always has the backbone's norm."""
    return Model(
        name=name,
        backbone="resnet50_v1b",
        neck="c4",
        head="res5",
        classes=COCO_CLASSES,
        norm="sn",
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
