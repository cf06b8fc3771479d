"""Mask R-CNN (He et al. 2017, arXiv 1703.06870): Faster R-CNN, and a mask for each box it returns."""
from typing import Any, Tuple

from gluonnorm.ops.masks import pick_class
from gluonnorm.rcnn.config import ModelSpec
from gluonnorm.rcnn.faster_rcnn import FasterRCNN
from gluonnorm.rcnn.mask_head import MaskHead
from gluonnorm.rcnn.roi_align import roi_align
from gluonnorm.rcnn.rpn import RPNHead
from gluonnorm.types import Tensor

import mxnet as mx


class MaskRCNN(FasterRCNN):
    """A :class:`FasterRCNN` with a mask head that sees the final detections only.

    ``net(x)`` returns ids, scores and boxes as there, and masks (B, D, M, M) in 0..1: how likely each cell of a grid
    over the box belongs to the object; zeros where there is no detection. M is twice the side of the map the head
    reads.
    """

    def __init__(self, backbone: mx.gluon.HybridBlock, rpn: RPNHead, box_head: mx.gluon.HybridBlock,
                 mask_head: MaskHead, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(backbone, rpn, box_head, spec, **kwargs)
        with self.name_scope():
            self.mask_head = mask_head

    @property
    def has_masks(self) -> bool:
        """Whether masks come back as the fourth output."""
        return True

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, ...]:
        config = self.config
        x, features, extent = self._maps(F, x)
        ids, scores, boxes = self._detect(F, x, features, extent)
        there = ids >= 0
        pooled = roi_align(F, features, F.broadcast_mul(boxes, there), self.backbone.strides, config.mask_roi_size,
                           config.roi_sample_ratio, config.convention, inside=config.convention.clip_detections,
                           channels=self.backbone.channels[0])
        logits = self.mask_head(self.box_head.shared(pooled))
        masks = F.sigmoid(pick_class(F, logits, F.reshape(ids, (-1,))))
        masks = F.reshape_like(masks, ids, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        return ids, scores, boxes, F.broadcast_mul(masks, F.expand_dims(there, axis=-1))
