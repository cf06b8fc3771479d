"""Every model by its name: one frozen row each."""
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Dict, List, Optional, Tuple

BACKBONES = ("resnet18_v1b", "resnet34_v1b", "resnet50_v1b", "resnet101_v1b",
             "resnet18_v1d", "resnet34_v1d", "resnet50_v1d", "resnet101_v1d",
             "resnet18_v2", "resnet34_v2", "resnet50_v2", "resnet101_v2")
VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
               "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush")
CLASSES: Dict[str, Optional[Tuple[str, ...]]] = {"voc": VOC_CLASSES, "coco": COCO_CLASSES, "custom": None}


@dataclass(frozen=True)
class Model:
    """A detector of the catalogue.

    ``neck`` is "c4" (one map of stride 16, res5 on every RoI) or "fpn"; ``head`` is "res5", "2fc", "1conv1fc" or
    "4conv1fc"; ``fpn_extra`` says how the coarsest level is made ("pool", or "conv" as GluonCV does). ``classes`` None
    means that the caller names them. ``settings`` are the fields of ``DetectorConfig`` that differ from its defaults.
    """
    name: str
    backbone: str
    neck: str
    head: str
    classes: Optional[Tuple[str, ...]]
    norm: str = "frozen_bn"
    fpn_extra: str = "pool"
    settings: Dict[str, Any] = field(default_factory=dict)


# GluonCV's C4 models read one map with 15 anchors a cell and have a wide RPN; its FPN keeps the wide RPN.
_C4 = {"anchor_sizes": ((32, 64, 128, 256, 512),), "rpn_channels": 1024, "roi_size": 14, "rpn_train_pre_nms": 12000,
       "rpn_train_post_nms": 2000, "rpn_test_pre_nms": 6000, "num_sample": 128}
_VOC = {"short": (600,), "max_size": 1000, "nms_thresh": 0.3, "rpn_test_post_nms": 300, "rpn_min_size": 16.0}
_SMALL_C4 = {**_C4, "rpn_channels": 512}


def _rows() -> List[Model]:
    rows = []
    for backbone in ("resnet18_v1b", "resnet50_v1b", "resnet101_v1d", "resnet50_v2"):
        of_gluoncv = backbone in ("resnet50_v1b", "resnet101_v1d")
        for dataset, classes in CLASSES.items():
            settings = dict(_C4 if of_gluoncv else _SMALL_C4)
            settings.update(_VOC if dataset == "voc" else {})
            rows.append(Model(f"faster_rcnn_{backbone}_{dataset}", backbone, "c4", "res5", classes, settings=settings))
        if backbone == "resnet50_v2":
            continue
        for dataset in ("coco", "custom"):
            rows.append(Model(f"faster_rcnn_fpn_{backbone}_{dataset}", backbone, "fpn", "2fc", CLASSES[dataset],
                              fpn_extra="conv" if of_gluoncv else "pool",
                              settings={"rpn_channels": 1024} if of_gluoncv else {}))
    for backbone, head in (("resnet50_v1b", "1conv1fc"), ("resnet101_v1d", "4conv1fc")):
        rows.append(Model(f"faster_rcnn_fpn_syncbn_{backbone}_coco", backbone, "fpn", head, COCO_CLASSES,
                          norm="sync_bn", fpn_extra="conv", settings={"short": (640, 800), "freeze_at": 0}))
    return rows


def _catalogue() -> Dict[str, Model]:
    models: Dict[str, Model] = {}
    for row in _rows():
        if row.name in models:
            raise ValueError(f"two rows of the catalogue are called {row.name!r}")
        models[row.name] = row
    return models


MODELS = _catalogue()


def list_models() -> List[str]:
    """Names that :func:`model_zoo.get_model` knows, sorted: detectors and bare backbones."""
    return sorted([*MODELS, *BACKBONES])


def unknown(kind: str, name: str, known: List[str]) -> ValueError:
    """The error for a wrong name, with the nearest right ones."""
    nearest = get_close_matches(str(name), known, n=3, cutoff=0.3)
    return ValueError(f"no {kind} {name!r}; nearest: {', '.join(nearest) or 'none'}; all: {', '.join(known)}")
