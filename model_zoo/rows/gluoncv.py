"""GluonCV 0.10.5's detectors on ResNet v1b and v1d, with its convention; read in its source and checked against it.

The ``_custom`` rows are its COCO detectors with classes of one's own, so that its COCO weights can be fine-tuned.
"""
from typing import Any, Dict, List

from model_zoo.classes import COCO_CLASSES, VOC_CLASSES
from model_zoo.rows.model import Model

BASE: Dict[str, Any] = {
    "convention": "gluoncv", "multiple": 1, "rounding": "even", "rpn_channels": 1024, "rpn_train_pre_nms": 12000,
    "rpn_train_post_nms": 2000, "rpn_test_pre_nms": 6000, "rpn_min_size": 1.0, "score_thresh": 0.01, "delta_clip": 4.14}
C4 = {**BASE, "anchor_sizes": ((32, 64, 128, 256, 512),), "roi_size": 14, "num_sample": 128}
NO_CLIP = 80.0  # e^80 is the last power of ten or so that float32 holds
VOC = {"short": (600,), "max_size": 1000, "nms_thresh": 0.3, "rpn_test_post_nms": 300, "rpn_min_size": 16.0,
       "delta_clip": NO_CLIP}
MASK = {"delta_clip": 4.42}
SYNC_BN = {"short": (640, 800), "freeze_at": 0}


def rows() -> List[Model]:
    """Faster and Mask R-CNN, C4 and FPN, with frozen BN and with SyncBN."""
    models = []
    for backbone in ("resnet50_v1b", "resnet101_v1d"):
        models.append(Model(f"faster_rcnn_{backbone}_voc", backbone, "c4", "res5", VOC_CLASSES, settings={**C4, **VOC}))
        for dataset, classes in (("coco", COCO_CLASSES), ("custom", None)):
            models += [
                Model(f"faster_rcnn_{backbone}_{dataset}", backbone, "c4", "res5", classes, settings=C4),
                Model(f"faster_rcnn_fpn_{backbone}_{dataset}", backbone, "fpn", "2fc", classes, fpn_extra="conv",
                      settings=BASE),
                Model(f"mask_rcnn_{backbone}_{dataset}", backbone, "c4", "res5", classes, mask_convs=0,
                      settings={**C4, **MASK}),
                Model(f"mask_rcnn_fpn_{backbone}_{dataset}", backbone, "fpn", "pool2fc", classes, fpn_extra="conv",
                      mask_convs=4, settings={**BASE, **MASK, "roi_size": 14})]
    for backbone, head in (("resnet50_v1b", "1conv1fc"), ("resnet101_v1d", "4conv1fc")):
        models.append(Model(f"faster_rcnn_fpn_syncbn_{backbone}_coco", backbone, "fpn", head, COCO_CLASSES, "sync_bn",
                            "conv", normed=True, settings={**BASE, **SYNC_BN, "rpn_channels": 256}))
    small, of_7 = "resnet18_v1b", {"mask_roi_size": 7}
    models += [
        Model(f"mask_rcnn_{small}_coco", small, "c4", "res5", COCO_CLASSES, mask_convs=0,
              settings={**C4, **MASK, "num_sample": 256}),
        Model(f"mask_rcnn_fpn_{small}_coco", small, "fpn", "2fc", COCO_CLASSES, fpn_extra="conv", mask_convs=2,
              settings={**BASE, **MASK, **of_7}),
        Model(f"mask_rcnn_fpn_syncbn_{small}_coco", small, "fpn", "1conv1fc", COCO_CLASSES, "sync_bn", "conv", 2, True,
              {**BASE, **MASK, **of_7, **SYNC_BN})]
    return models
