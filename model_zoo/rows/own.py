"""Detectors of this package, with the modern convention.

Their RPN is as wide as the pyramid, and the coarsest level of the pyramid is pooled.
"""

from typing import Any, Dict, List

from model_zoo.classes import COCO_CLASSES, VOC_CLASSES
from model_zoo.rows.model import Model

C4_SETTINGS: Dict[str, Any] = {
    "anchor_sizes": ((32, 64, 128, 256, 512),),
    "rpn_channels": 512,
    "rpn_train_pre_nms": 12000,
    "rpn_train_post_nms": 2000,
    "rpn_test_pre_nms": 6000,
    "roi_size": 14,
    "num_sample": 128,
}
# The photos of VOC are about 500x375 pixels, smaller than those of COCO.
VOC_SETTINGS: Dict[str, Any] = {
    "short": (600,),
    "max_size": 1000,
    "nms_thresh": 0.3,
    "rpn_test_post_nms": 300,
    "rpn_min_size": 16.0,
}
DATASETS = {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "custom": None}


def rows() -> List[Model]:
    """List the detectors of this package.

    Returns
    -------
    list of Model
        Faster R-CNN on ResNet-18 with one map or a pyramid, on ResNet-50 v2 with one map, and
        Mask R-CNN on ResNet-18 for classes of the caller.
    """
    models = []
    for backbone in ("resnet18_v1b", "resnet50_v2"):
        for dataset in DATASETS:
            models.append(_faster_rcnn_c4(backbone, dataset))
    for dataset in ("coco", "custom"):
        models.append(
            Model(
                name=f"faster_rcnn_fpn_resnet18_v1b_{dataset}",
                backbone="resnet18_v1b",
                neck="fpn",
                head="2fc",
                classes=DATASETS[dataset],
            )
        )
    models.append(
        Model(
            name="mask_rcnn_fpn_resnet18_v1b_custom",
            backbone="resnet18_v1b",
            neck="fpn",
            head="2fc",
            classes=None,
            mask_convs=2,
        )
    )
    models.append(
        Model(
            name="mask_rcnn_resnet18_v1b_custom",
            backbone="resnet18_v1b",
            neck="c4",
            head="res5",
            classes=None,
            mask_convs=0,
            settings=C4_SETTINGS,
        )
    )
    return models


def _faster_rcnn_c4(backbone: str, dataset: str) -> Model:
    """Describe a Faster R-CNN with one feature map; VOC has smaller photos."""
    settings = C4_SETTINGS
    if dataset == "voc":
        settings = {**C4_SETTINGS, **VOC_SETTINGS}
    return Model(
        name=f"faster_rcnn_{backbone}_{dataset}",
        backbone=backbone,
        neck="c4",
        head="res5",
        classes=DATASETS[dataset],
        settings=settings,
    )
