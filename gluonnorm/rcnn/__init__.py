"""Everything two-stage: anchors, proposals, RoIs, heads, targets, losses, detections."""
from gluonnorm.rcnn.box_heads import BoxPredictor, ConvFCHead, Res5Head, TwoFCHead
from gluonnorm.rcnn.config import DetectorConfig, ModelSpec
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.faster_rcnn_loss import FasterRCNNLoss
from gluonnorm.rcnn.rpn import RPNHead

__all__ = ["BoxPredictor", "ConvFCHead", "DetectorConfig", "FasterRCNN", "FasterRCNNLoss", "ModelSpec", "RPNHead",
           "Res5Head", "TwoFCHead"]
