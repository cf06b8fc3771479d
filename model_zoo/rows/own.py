"""Models of this package: the modern convention, an RPN as wide as the pyramid, the coarsest level pooled."""
from typing import List

from model_zoo.classes import COCO_CLASSES, VOC_CLASSES
from model_zoo.rows.model import Model

C4 = {"anchor_sizes": ((32, 64, 128, 256, 512),), "rpn_channels": 512, "roi_size": 14, "rpn_train_pre_nms": 12000,
      "rpn_train_post_nms": 2000, "rpn_test_pre_nms": 6000, "num_sample": 128}
VOC = {"short": (600,), "max_size": 1000, "nms_thresh": 0.3, "rpn_test_post_nms": 300, "rpn_min_size": 16.0}
DATASETS = {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "custom": None}


def rows() -> List[Model]:
    """ResNet-18 with one map or a pyramid, ResNet-50 v2 with one map, and Mask R-CNN for classes of one's own."""
    models = []
    for backbone in ("resnet18_v1b", "resnet50_v2"):
        for dataset, classes in DATASETS.items():
            settings = {**C4, **(VOC if dataset == "voc" else {})}
            models.append(Model(f"faster_rcnn_{backbone}_{dataset}", backbone, "c4", "res5", classes,
                                settings=settings))
    for dataset in ("coco", "custom"):
        models.append(Model(f"faster_rcnn_fpn_resnet18_v1b_{dataset}", "resnet18_v1b", "fpn", "2fc",
                            DATASETS[dataset]))
    models.append(Model("mask_rcnn_fpn_resnet18_v1b_custom", "resnet18_v1b", "fpn", "2fc", None, mask_convs=2))
    models.append(Model("mask_rcnn_resnet18_v1b_custom", "resnet18_v1b", "c4", "res5", None, mask_convs=0,
                        settings=C4))
    return models
