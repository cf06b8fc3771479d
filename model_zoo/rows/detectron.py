"""Detectron's and SwitchNorm_Detection's detectors, under the names of their configurations, with their convention."""
from typing import Any, Dict, List

from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
from model_zoo.classes import COCO_CLASSES
from model_zoo.rows.model import Model

CAFFE_MEAN = (122.7717, 115.9465, 102.9801)  # RGB, as all constants here
BASE: Dict[str, Any] = {
    "convention": "detectron", "resize": "float", "rounding": "even", "order": "BGR", "mean": CAFFE_MEAN,
    "std": (1.0, 1.0, 1.0), "rpn_train_post_nms": 2000, "rpn_min_size": 1.0}
FPN = {**BASE, "multiple": 32}
C4 = {**BASE, "multiple": 1, "anchor_sizes": ((32, 64, 128, 256, 512),), "rpn_channels": 1024, "roi_size": 14,
      "roi_sample_ratio": 0, "rpn_train_pre_nms": 12000, "rpn_test_pre_nms": 6000}
RGB = {"order": "RGB", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}  # what SwitchNorm_Detection fine-tunes on
SCRATCH = {"freeze_at": 0}
MASKS = {"faster": (None, None), "mask": (4, 0)}  # convolutions of the mask head with a pyramid, and without


def rows() -> List[Model]:
    """Frozen BN and GN of Detectron, SN of SwitchNorm_Detection."""
    models = []
    for depth in (50, 101):
        for kind, (fpn_convs, c4_convs) in MASKS.items():
            for schedule in ("1x", "2x"):
                name = f"e2e_{kind}_rcnn_R-{depth}"
                models.append(Model(f"{name}-FPN_{schedule}", f"resnet{depth}_v1a", "fpn", "2fc", COCO_CLASSES,
                                    mask_convs=fpn_convs, settings=FPN))
                if depth == 50:
                    models.append(Model(f"{name}-C4_{schedule}", "resnet50_v1a", "c4", "res5", COCO_CLASSES,
                                        mask_convs=c4_convs, settings=C4))
        for prefix, schedules, settings in (("e2e", ("2x", "3x"), FPN), ("scratch_e2e", ("3x",), {**FPN, **SCRATCH})):
            for schedule in schedules:
                models.append(_normed(f"{prefix}_mask_rcnn_R-{depth}-FPN_{schedule}_gn", depth, "gn", settings))
    for name, kind, neck, norm, settings in (
            ("e2e_faster_rcnn_R-50-C4_2x_sn", "faster", "c4", "sn", {**RGB, **SCRATCH}),
            ("e2e_faster_rcnn_R-50-FPN_2x_sn", "faster", "fpn", "sn", RGB),
            ("e2e_faster_rcnn_R-50-FPN_2x_sn_(8,1)", "faster", "fpn", "sn_nobn", RGB),
            ("e2e_mask_rcnn_R-50-FPN_2x_sn_(8,1)", "mask", "fpn", "sn_nobn", RGB),
            ("scratch_e2e_faster_rcnn_R-50-C4_3x_sn", "faster", "c4", "sn", SCRATCH),
            ("scratch_e2e_faster_rcnn_R-50-FPN_3x_sn", "faster", "fpn", "sn", SCRATCH),
            ("scratch_e2e_mask_rcnn_R-50-FPN_3x_sn", "mask", "fpn", "sn", SCRATCH)):
        if neck == "c4":
            models.append(Model(name, "resnet50_v1b", "c4", "res5", COCO_CLASSES, norm, settings={**C4, **settings}))
        elif kind == "mask":
            models.append(_normed(name, 50, norm, {**FPN, **settings}))
        else:
            models.append(Model(name, "resnet50_v1b", "fpn", "2fc", COCO_CLASSES, norm, normed=True,
                                settings={**FPN, **settings}))
    return models


def _normed(name: str, depth: int, norm: str, settings: Dict[str, Any]) -> Model:
    """Mask R-CNN with the norm everywhere: stride in the 3x3 convolutions, four of them in either head."""
    return Model(name, f"resnet{depth}_v1b", "fpn", "4conv1fc", COCO_CLASSES, norm, mask_convs=4, normed=True,
                 settings=settings)
