"""Recognize weights of programs that are no source of this package, and say what to do."""

import re
from typing import Iterable, NamedTuple, Optional

TWO_STAGE_ONLY = "this package has two-stage detectors only; take a Faster or Mask R-CNN"
NO_TABLE = (
    "no source of this package has these names. Start from a published detector "
    "(get_model(..., pretrained=True)), or rename the arrays to the names of a source that "
    "computes the same, and give conversion.load the mapping"
)
SAVE_PARAMETERS = (
    "in GluonCV or this package, build the network in a new process, call "
    "net.collect_params().load(FILE) and net.save_parameters(OTHER), and load OTHER"
)


class ForeignCodebase(NamedTuple):
    """A program whose weights are recognized and not read.

    Attributes
    ----------
    pattern : str
        Regular expression that finds a name typical of its files.
    description : str
        What the file is.
    advice : str
        What to do.
    """

    pattern: str
    description: str
    advice: str


# The first entry that fits is taken. A word at any place may follow the prefix of a training
# program.
FOREIGN_CODEBASES = (
    ForeignCodebase(
        r"(^|\.)(roi_head|neck)\.|(^|\.)(rpn_head\.rpn_conv|bbox_head\.(fc_cls|fc_reg))\.",
        "weights of mmdetection",
        NO_TABLE,
    ),
    ForeignCodebase(
        r"(^|\.)backbone\.body\.stem\.|(^|\.)roi_heads\.(box|mask)\.|(^|\.)backbone\.fpn\.fpn_inner",
        "weights of maskrcnn-benchmark",
        NO_TABLE,
    ),
    ForeignCodebase(
        r"(^|\.)head\.(classification|regression)_head\.",
        "weights of a one-stage detector of torchvision (RetinaNet, FCOS or SSD)",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(
        r"(^|\.)backbone\.body\.\d+\.\d+\.",
        "weights of a detector of torchvision on MobileNet",
        "the source torchvision reads detectors on ResNets; give one of these",
    ),
    ForeignCodebase(
        r"(^|\.)model\.\d+\.(conv|bn|cv\d|m)\.",
        "weights of YOLO (Ultralytics, YOLOv5 to v9)",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(
        r"(^|\.)(transformer\.(encoder|decoder)|query_embed|class_embed|query_position_embeddings)\b",
        "weights of DETR or another transformer",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(
        r"(^|\.)(conv_encoder\.|class_labels_classifier\.|dec_score_head\.)",
        "weights of DETR or another transformer",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(
        r"(^|\.)(module_list\.\d+\.(Conv2d|conv)|cls_convs\.\d+\.|yolo_(blocks|outputs)\.)",
        "weights of YOLO",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(
        r"^(vgg|loc|conf)\.\d+\.|(^|\.)class_predictors\.\d+\.|_cls_pred_conv_",
        "weights of SSD",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(
        r"^(retnet_|head\.(cls_score|cls_subnet|bbox_subnet)\.)",
        "weights of RetinaNet",
        TWO_STAGE_ONLY,
    ),
    ForeignCodebase(r"(^|\.)class_net\.predict\.", "weights of EfficientDet", TWO_STAGE_ONLY),
    ForeignCodebase(
        r"^kps_score|(^|\.)keypoint_(head|predictor)\.",
        "weights of Keypoint R-CNN",
        "this package finds boxes and masks, but no keypoints; take a Faster or Mask R-CNN",
    ),
    ForeignCodebase(
        r"(^|\.)(roi_heads\.box_(head|predictor)\.\d+|sem_seg_head|mask_head\.point_head)\.",
        "weights of Cascade R-CNN, Panoptic FPN or PointRend of Detectron2",
        "this package has the plain Faster and Mask R-CNN; take weights of one of these",
    ),
    ForeignCodebase(r"(^|\.)RCNN_(base|rpn|top)\.", "weights of faster-rcnn.pytorch", NO_TABLE),
    ForeignCodebase(
        r"^(extractor\.\d+|head\.cls_loc)\.", "weights of simple-faster-rcnn-pytorch", NO_TABLE
    ),
    ForeignCodebase(r"/kernel:0$", "weights of Keras", NO_TABLE),
    ForeignCodebase(
        r"^(FirstStage|SecondStage|FeatureExtractor/)",
        "weights of TensorFlow's Object Detection API",
        NO_TABLE,
    ),
    ForeignCodebase(
        r"^(rpn_conv_3x3_weight|stage\d_unit\d_conv\d_weight)$", "weights of mx-rcnn", NO_TABLE
    ),
    ForeignCodebase(r"^(extractor|rpn|head|mask_head)/", "weights of ChainerCV", NO_TABLE),
    ForeignCodebase(r"^(group\d/block\d|conv0/W|fastrcnn/)", "weights of Tensorpack", NO_TABLE),
    ForeignCodebase(
        r"\._(mean|variance)$|^StructuredToParameterName@@", "weights of PaddleDetection", NO_TABLE
    ),
    ForeignCodebase(
        r"_folded\d+$|_weight_and_\w+_weight$",
        "the weights of an export of this package, which fit its own graph alone",
        "give the export's PREFIX to deploy.Predictor; other uses need the checkpoint",
    ),
    ForeignCodebase(
        r"(^|\.)(resnet\.)?(embedder\.embedder|encoder\.stages\.\d+\.layers\.\d+)\.",
        "weights of a network of Hugging Face's transformers",
        NO_TABLE,
    ),
    ForeignCodebase(
        r"^((faster|mask)rcnn\d+_|resnetv\d\w?_(conv|layers\d_conv)\d+_weight$)",
        "names of MXNet's collect_params().save or export, which depend on the process",
        SAVE_PARAMETERS,
    ),
)


def describe_foreign(names: Iterable[str]) -> Optional[str]:
    """Recognize the program that wrote a file by the names in it.

    Parameters
    ----------
    names : iterable of str
        The names of the arrays in the file.

    Returns
    -------
    str or None
        What the file is, and what to do; None for an unknown file and for those of a source.

    Examples
    --------
    >>> describe_foreign(["RCNN_base.0.weight"]).split("; ")[0]
    'weights of faster-rcnn.pytorch'
    """
    all_names = list(names)
    for codebase in FOREIGN_CODEBASES:
        if any(re.search(codebase.pattern, name) for name in all_names):
            return f"{codebase.description}; {codebase.advice}"
    return None
