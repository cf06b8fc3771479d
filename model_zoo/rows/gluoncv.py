"""GluonCV 0.10.5's detectors on ResNet v1b and v1d, ResNeSt and MobileNet, with its convention.

The settings were read in GluonCV's source and checked against its networks. GluonCV has two models
of the name ``_custom``, on ResNet-50 v1b and ResNet-101 v1d with one map; their settings are the
defaults of its class. The other ``_custom`` rows are its COCO detectors with classes of the caller,
so that its COCO weights can be fine-tuned.
"""

from typing import Any, Dict, List, Optional, Tuple

from model_zoo.classes import COCO_CLASSES, VOC_CLASSES
from model_zoo.rows.model import Model

FPN_SETTINGS: Dict[str, Any] = {
    "convention": "gluoncv",
    "multiple": 1,
    "rounding": "even",
    "rpn_channels": 1024,
    "rpn_train_pre_nms": 12000,
    "rpn_train_post_nms": 2000,
    "rpn_test_pre_nms": 6000,
    "rpn_min_size": 1.0,
    "score_thresh": 0.01,
    "delta_clip": 4.14,
}
C4_SETTINGS: Dict[str, Any] = {
    **FPN_SETTINGS,
    "anchor_sizes": ((32, 64, 128, 256, 512),),
    "roi_size": 14,
    "num_sample": 128,
}
# GluonCV does not clip the deltas of its VOC detectors. e^80 is close to the largest float32, so
# this clip keeps the decoded boxes finite and changes no other value.
UNCLIPPED = 80.0
VOC_SETTINGS: Dict[str, Any] = {
    **C4_SETTINGS,
    "short": (600,),
    "max_size": 1000,
    "nms_thresh": 0.3,
    "rpn_test_post_nms": 300,
    "rpn_min_size": 16.0,
    "delta_clip": UNCLIPPED,
}
# GluonCV's scales 8, 16 and 32 of a window of 16 pixels.
CUSTOM_SETTINGS: Dict[str, Any] = {**VOC_SETTINGS, "anchor_sizes": ((128, 256, 512),)}
MASK_DELTA_CLIP = 4.42
MASK_C4_SETTINGS: Dict[str, Any] = {**C4_SETTINGS, "delta_clip": MASK_DELTA_CLIP}
MASK_FPN_SETTINGS: Dict[str, Any] = {**FPN_SETTINGS, "delta_clip": MASK_DELTA_CLIP}
# GluonCV trains its detectors with SyncBatchNorm in all stages, so none is frozen.
SYNC_BN_SETTINGS: Dict[str, Any] = {"short": (640, 800), "freeze_at": 0}


def rows() -> List[Model]:
    """List the Faster and Mask R-CNN of ``gluoncv.model_zoo``.

    Returns
    -------
    list of Model
        Detectors with one map and with a pyramid, with frozen BatchNorm and with SyncBatchNorm.
    """
    models = []
    for backbone in ("resnet50_v1b", "resnet101_v1d"):
        models.append(_faster_rcnn_c4(backbone, "voc", VOC_CLASSES, VOC_SETTINGS))
        models.append(_faster_rcnn_c4(backbone, "coco", COCO_CLASSES, C4_SETTINGS))
        models.append(_faster_rcnn_c4(backbone, "custom", None, CUSTOM_SETTINGS))
        models += _detectors_of_dataset(backbone, "coco", COCO_CLASSES)
        models += _detectors_of_dataset(backbone, "custom", None)
    models.append(_doublehead_rcnn())
    models.append(_faster_rcnn_sync_bn("resnet50_v1b", head="1conv1fc"))
    models.append(_faster_rcnn_sync_bn("resnet101_v1d", head="4conv1fc"))
    for backbone in ("resnest50", "resnest101"):
        models.append(_faster_rcnn_sync_bn(backbone, head="4conv1fc"))
    models.append(
        _faster_rcnn_sync_bn("resnest269", head="4conv1fc", short=(640, 864), max_size=1440)
    )
    models += _mask_rcnn_resnet18()
    models.append(_mask_rcnn_mobilenet())
    models.append(_custom_rcnn_fpn("faster", None, FPN_SETTINGS))
    models.append(_custom_rcnn_fpn("mask", 4, MASK_FPN_SETTINGS))
    return models


def _detectors_of_dataset(
    backbone: str, dataset: str, classes: Optional[Tuple[str, ...]]
) -> List[Model]:
    """Describe the detectors that a backbone has for COCO, and so for classes of the caller."""
    return [
        Model(
            name=f"faster_rcnn_fpn_{backbone}_{dataset}",
            backbone=backbone,
            neck="fpn",
            head="2fc",
            classes=classes,
            fpn_extra="conv",
            settings=FPN_SETTINGS,
        ),
        Model(
            name=f"mask_rcnn_{backbone}_{dataset}",
            backbone=backbone,
            neck="c4",
            head="res5",
            classes=classes,
            mask_convs=0,
            settings=MASK_C4_SETTINGS,
        ),
        Model(
            name=f"mask_rcnn_fpn_{backbone}_{dataset}",
            backbone=backbone,
            neck="fpn",
            head="pool2fc",
            classes=classes,
            fpn_extra="conv",
            mask_convs=4,
            settings={**MASK_FPN_SETTINGS, "roi_size": 14},
        ),
    ]


def _faster_rcnn_c4(
    backbone: str,
    dataset: str,
    classes: Optional[Tuple[str, ...]],
    settings: Dict[str, Any],
) -> Model:
    """Describe a Faster R-CNN with one feature map."""
    return Model(
        name=f"faster_rcnn_{backbone}_{dataset}",
        backbone=backbone,
        neck="c4",
        head="res5",
        classes=classes,
        settings=settings,
    )


def _doublehead_rcnn() -> Model:
    """Describe the Faster R-CNN whose box head has two branches."""
    return Model(
        name="doublehead_rcnn_resnet50_v1b_voc",
        backbone="resnet50_v1b",
        neck="c4",
        head="double",
        classes=VOC_CLASSES,
        settings=VOC_SETTINGS,
    )


def _faster_rcnn_sync_bn(backbone: str, head: str, **sizes: Any) -> Model:
    """Describe a Faster R-CNN with a pyramid and SyncBatchNorm in all its parts."""
    return Model(
        name=f"faster_rcnn_fpn_syncbn_{backbone}_coco",
        backbone=backbone,
        neck="fpn",
        head=head,
        classes=COCO_CLASSES,
        norm="sync_bn",
        norm_in_heads=True,
        fpn_extra="conv",
        settings={**FPN_SETTINGS, **SYNC_BN_SETTINGS, "rpn_channels": 256, **sizes},
    )


def _mask_rcnn_resnet18() -> List[Model]:
    """Describe the three Mask R-CNN on ResNet-18; they read smaller RoIs for their masks."""
    small_fpn_settings = {**MASK_FPN_SETTINGS, "mask_roi_size": 7}
    return [
        Model(
            name="mask_rcnn_resnet18_v1b_coco",
            backbone="resnet18_v1b",
            neck="c4",
            head="res5",
            classes=COCO_CLASSES,
            mask_convs=0,
            settings={**MASK_C4_SETTINGS, "num_sample": 256},
        ),
        Model(
            name="mask_rcnn_fpn_resnet18_v1b_coco",
            backbone="resnet18_v1b",
            neck="fpn",
            head="2fc",
            classes=COCO_CLASSES,
            fpn_extra="conv",
            mask_convs=2,
            settings=small_fpn_settings,
        ),
        Model(
            name="mask_rcnn_fpn_syncbn_resnet18_v1b_coco",
            backbone="resnet18_v1b",
            neck="fpn",
            head="1conv1fc",
            classes=COCO_CLASSES,
            norm="sync_bn",
            norm_in_heads=True,
            fpn_extra="conv",
            mask_convs=2,
            settings={**small_fpn_settings, **SYNC_BN_SETTINGS},
        ),
    ]


def _custom_rcnn_fpn(family: str, mask_convs: Optional[int], settings: Dict[str, Any]) -> Model:
    """Describe a detector whose backbone the caller chooses, with the numbers of the others.

    GluonCV leaves its numbers to the caller, and its own defaults are those of one feature map.
    """
    return Model(
        name=f"custom_{family}_rcnn_fpn",
        backbone="resnet18_v1b",
        neck="fpn",
        head="pool2fc",
        head_with_norm="pool4conv1fc",
        classes=None,
        fpn_extra="conv",
        mask_convs=mask_convs,
        settings={**settings, "roi_size": 14},
    )


def _mask_rcnn_mobilenet() -> Model:
    """Describe the Mask R-CNN on MobileNet; it pools RoIs of 14 x 14 cells for the box head."""
    return Model(
        name="mask_rcnn_fpn_syncbn_mobilenet1_0_coco",
        backbone="mobilenet1_0",
        neck="fpn",
        head="pool1conv1fc",
        classes=COCO_CLASSES,
        norm="sync_bn",
        norm_in_heads=True,
        fpn_extra="conv",
        mask_convs=2,
        settings={**MASK_FPN_SETTINGS, **SYNC_BN_SETTINGS, "roi_size": 14},
    )
