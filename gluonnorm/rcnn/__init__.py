"""Two-stage detection: anchors, proposals, RoIs, heads, targets, losses, detections and masks."""

from gluonnorm.convention import CONVENTIONS, BoxConvention
from gluonnorm.rcnn.box_heads import BlockHead, ConvFCHead, Res5Head, TwoFCHead
from gluonnorm.rcnn.box_predictor import BoxPredictor
from gluonnorm.rcnn.class_losses import (
    ClassLoss,
    ClassLossSetting,
    WeightedClassLoss,
    focal_class_loss,
    softmax_class_loss,
)
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.double_head import DoubleHead
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.faster_rcnn_loss import FasterRCNNLoss
from gluonnorm.rcnn.gluoncv_batchify import RPNTargetBatchify
from gluonnorm.rcnn.losses import BoxLoss, BoxLossSetting, smooth_l1_box_loss
from gluonnorm.rcnn.mask_head import MaskHead
from gluonnorm.rcnn.mask_rcnn import MaskRCNN
from gluonnorm.rcnn.mask_rcnn_loss import MaskRCNNLoss, make_loss
from gluonnorm.rcnn.model_spec import ModelSpec
from gluonnorm.rcnn.rpn import RPNHead
from gluonnorm.rcnn.training_dtype import (
    TRAINING_DTYPES,
    check_training_dtype,
    slow_dtype,
)

__all__ = [
    "BlockHead",
    "BoxConvention",
    "BoxLoss",
    "BoxLossSetting",
    "BoxPredictor",
    "CONVENTIONS",
    "ClassLoss",
    "ClassLossSetting",
    "ConvFCHead",
    "DetectorConfig",
    "DoubleHead",
    "FasterRCNN",
    "FasterRCNNLoss",
    "MaskHead",
    "MaskRCNN",
    "MaskRCNNLoss",
    "ModelSpec",
    "RPNHead",
    "RPNTargetBatchify",
    "Res5Head",
    "TRAINING_DTYPES",
    "TwoFCHead",
    "WeightedClassLoss",
    "check_training_dtype",
    "focal_class_loss",
    "make_loss",
    "slow_dtype",
    "smooth_l1_box_loss",
    "softmax_class_loss",
]
