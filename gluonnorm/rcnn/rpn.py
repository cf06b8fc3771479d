"""Region proposal network (Ren et al. 2015, arXiv 1506.01497): the head with weights, and proposals without."""
from typing import Any, List, Sequence, Tuple

from gluonnorm.ops.boxes import clip_boxes, split_coordinates
from gluonnorm.ops.coder import decode
from gluonnorm.ops.nms import nms
from gluonnorm.ops.select import FILL, gather, top_k
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn

RPN_STDS = (1.0, 1.0, 1.0, 1.0)


class RPNHead(mx.gluon.HybridBlock):
    """One 3x3 convolution, then objectness and box deltas; the same weights on every level.

    Parameters
    ----------
    in_channels, channels : of the feature maps and of the hidden layer
    num_anchors : A, anchors a cell

    A feature map (B, C, h, w) gives logits (B, h*w*A) and deltas (B, h*w*A, 4), in the anchors' order.
    """

    def __init__(self, in_channels: int, channels: int, num_anchors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        init = mx.init.Normal(0.01)
        with self.name_scope():
            self.conv = nn.Conv2D(channels, 3, padding=1, in_channels=in_channels, weight_initializer=init)
            self.score = nn.Conv2D(num_anchors, 1, in_channels=channels, weight_initializer=init)
            self.loc = nn.Conv2D(4 * num_anchors, 1, in_channels=channels, weight_initializer=init)

    def hybrid_forward(self, F: Any, feature: Tensor) -> Tuple[Tensor, Tensor]:
        hidden = F.Activation(self.conv(feature), act_type="relu")
        logits = F.reshape(F.transpose(self.score(hidden), (0, 2, 3, 1)), (0, -1))
        deltas = F.reshape(F.transpose(self.loc(hidden), (0, 2, 3, 1)), (0, -1, 4))
        return logits, deltas

    def over(self, features: Sequence[Tensor]) -> Tuple[List[Tensor], List[Tensor]]:
        """Logits and deltas of each of several maps."""
        logits, deltas = zip(*[self(feature) for feature in features])
        return list(logits), list(deltas)


def propose(F: Any, logits: Sequence[Tensor], deltas: Sequence[Tensor], anchors: Sequence[Tensor],
            extent: Tuple[Tensor, Tensor], config: DetectorConfig, training: bool) -> Tuple[Tensor, Tensor]:
    """Proposals from all levels: best of each level, suppressed within the level, best over all levels.

    Parameters
    ----------
    logits, deltas, anchors : per level (B, N), (B, N, 4), (N, 4)
    extent : height and width of the input, boxes are clipped to them
    training : which of the configuration's pre- and post-NMS counts to use

    Returns
    -------
    rois : (B, R, 4), zeros where there is no proposal
    scores : (B, R) objectness in 0..1, best first, -1 where there is no proposal
    """
    before = config.rpn_train_pre_nms if training else config.rpn_test_pre_nms
    after = config.rpn_train_post_nms if training else config.rpn_test_post_nms
    level_scores: List[Tensor] = []
    level_boxes: List[Tensor] = []
    for level_logits, level_deltas, level_anchors in zip(logits, deltas, anchors):
        scores, indices = top_k(F, F.sigmoid(level_logits), before)
        boxes = decode(F, gather(F, level_deltas, indices), F.take(level_anchors, indices), RPN_STDS, config.delta_clip)
        boxes = clip_boxes(F, boxes, *extent)
        x1, y1, x2, y2 = (c.squeeze(axis=-1) for c in split_coordinates(F, boxes))
        large = F.minimum(x2 - x1, y2 - y1) > config.rpn_min_size
        level_scores.append(F.where(large, scores, F.zeros_like(scores) + FILL))
        level_boxes.append(boxes)
    # Levels become a batch axis: five suppressions of k boxes cost a fifth of one over 5k.
    scores, boxes = nms(F, F.stack(*level_scores, axis=1), F.stack(*level_boxes, axis=1), config.rpn_nms_thresh)
    scores, indices = top_k(F, F.reshape(scores, (0, -1)), after)
    rois = gather(F, F.reshape(boxes, (0, -3, 4)), indices)
    return F.broadcast_mul(rois, F.expand_dims(scores >= 0, axis=-1)), scores
