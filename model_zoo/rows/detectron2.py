"""Detectron2's detectors, with its convention: BGR minus the mean, antialiased resizing, as many samples as cells."""
from typing import Any, Dict, List

from model_zoo.classes import COCO_CLASSES
from model_zoo.rows.model import Model

L1 = 1e-6  # its box losses are absolute differences: Huber's with almost no round part
BASE: Dict[str, Any] = {
    "convention": "detectron2", "resize": "antialias", "order": "BGR", "std": (1.0, 1.0, 1.0),
    "short": (640, 672, 704, 736, 768, 800), "roi_sample_ratio": 0, "rpn_smoothl1_beta": L1, "rcnn_smoothl1_beta": L1}
FPN = {**BASE, "multiple": 32}
C4 = {**BASE, "multiple": 1, "anchor_sizes": ((32, 64, 128, 256, 512),), "rpn_channels": 1024, "roi_size": 14,
      "rpn_train_pre_nms": 12000, "rpn_train_post_nms": 2000, "rpn_test_pre_nms": 6000}
SCRATCH = {**FPN, "std": (58.395, 57.12, 57.375), "freeze_at": 0}


def rows() -> List[Model]:
    """COCO-Detection, COCO-InstanceSegmentation, and those of Misc that change the norm; no DC5, no ResNeXt."""
    models = []
    for depth in (50, 101):
        backbone = f"resnet{depth}_v1a"
        for schedule in ("1x", "3x") if depth == 50 else ("3x",):
            for kind, fpn_convs, c4_convs in (("faster", None, None), ("mask", 4, 0)):
                models += [Model(f"{kind}_rcnn_R_{depth}_FPN_{schedule}", backbone, "fpn", "2fc", COCO_CLASSES,
                                 mask_convs=fpn_convs, settings=FPN),
                           Model(f"{kind}_rcnn_R_{depth}_C4_{schedule}", backbone, "c4", "res5", COCO_CLASSES,
                                 mask_convs=c4_convs, settings=C4)]
    for name, backbone, norm, settings in (
            ("mask_rcnn_R_50_FPN_3x_gn", "resnet50_v1b", "gn", FPN),
            ("mask_rcnn_R_50_FPN_3x_syncbn", "resnet50_v1a", "sync_bn", FPN),
            ("scratch_mask_rcnn_R_50_FPN_3x_gn", "resnet50_v1b", "gn", SCRATCH),
            ("scratch_mask_rcnn_R_50_FPN_9x_gn", "resnet50_v1b", "gn", SCRATCH)):
        models.append(Model(name, backbone, "fpn", "4conv1fc", COCO_CLASSES, norm, mask_convs=4, normed=True,
                            settings=settings))
    return models
