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
TINY = 1e-30  # the least side of a proposal, unless the convention counts one more


class RPNHead(mx.gluon.HybridBlock):
    """3x3 convolutions, then objectness and box deltas; the same weights on every level.

    Parameters
    ----------
    in_channels, channels : of the feature maps and of the hidden layers
    num_anchors : A, anchors a cell
    num_convs : 1, or 2 as in torchvision's second versions

    A feature map (B, C, h, w) gives logits (B, h*w*A) and deltas (B, h*w*A, 4), in the anchors' order.
    """

    def __init__(self, in_channels: int, channels: int, num_anchors: int, num_convs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        init = mx.init.Normal(0.01)
        with self.name_scope():
            self.conv = nn.Conv2D(channels, 3, padding=1, in_channels=in_channels, weight_initializer=init)
            self.conv2 = None
            if num_convs == 2:
                self.conv2 = nn.Conv2D(channels, 3, padding=1, in_channels=channels, weight_initializer=init)
            self.score = nn.Conv2D(num_anchors, 1, in_channels=channels, weight_initializer=init)
            self.loc = nn.Conv2D(4 * num_anchors, 1, in_channels=channels, weight_initializer=init)

    def hybrid_forward(self, F: Any, feature: Tensor) -> Tuple[Tensor, Tensor]:
        hidden = F.Activation(self.conv(feature), act_type="relu")
        if self.conv2 is not None:
            hidden = F.Activation(self.conv2(hidden), act_type="relu")
        logits = F.reshape(F.transpose(self.score(hidden), (0, 2, 3, 1)), (0, -1))
        deltas = F.reshape(F.transpose(self.loc(hidden), (0, 2, 3, 1)), (0, -1, 4))
        return logits, deltas

    def over(self, features: Sequence[Tensor]) -> Tuple[List[Tensor], List[Tensor]]:
        """Logits and deltas of each of several maps."""
        logits, deltas = zip(*[self(feature) for feature in features])
        return list(logits), list(deltas)


def propose(F: Any, logits: Sequence[Tensor], deltas: Sequence[Tensor], anchors: Sequence[Tensor],
            extent: Tuple[Tensor, Tensor], config: DetectorConfig, training: bool) -> Tuple[Tensor, Tensor]:
    """Proposals from all levels: the best, clipped, without small ones, suppressed, the best of what is left.

    Parameters
    ----------
    logits, deltas, anchors : per level (B, N), (B, N, 4), (N, 4)
    extent : height and width that boxes are clipped to
    training : which of the configuration's pre- and post-NMS counts to use

    Returns
    -------
    rois : (B, R, 4), zeros where there is no proposal
    scores : (B, R) in 0..1, rising with the logit, best first, -1 where there is no proposal
    """
    before = config.rpn_train_pre_nms if training else config.rpn_test_pre_nms
    after = config.rpn_train_post_nms if training else config.rpn_test_post_nms
    convention = config.convention
    if convention.proposal_nms == "joint":
        candidates = [_joint(F, logits, deltas, anchors, extent, config, before)]
    else:
        candidates = [_of_level(F, *level, extent, config, before) for level in zip(logits, deltas, anchors)]
    scores, boxes = zip(*candidates)
    # Levels become a batch axis: five suppressions of k boxes cost a fifth of one over 5k.
    scores, boxes = nms(F, F.stack(*scores, axis=1), F.stack(*boxes, axis=1),
                        convention.iou_limit(config.rpn_nms_thresh), convention.offset)
    scores, indices = top_k(F, F.reshape(scores, (0, -1)), after)
    rois = gather(F, F.reshape(boxes, (0, -3, 4)), indices)
    return F.broadcast_mul(rois, F.expand_dims(scores >= 0, axis=-1)), scores


def _of_level(F: Any, logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tuple[Tensor, Tensor],
              config: DetectorConfig, before: int) -> Tuple[Tensor, Tensor]:
    """The ``before`` best of a level, decoded; those too small are marked after the choice, and lost to it."""
    scores, indices = top_k(F, _rank(F, logits), before)
    boxes = _decode(F, gather(F, deltas, indices), F.take(anchors, indices), extent, config)
    if config.convention.proposal_scores == "sigmoid":  # they were chosen by their logits all the same
        scores = F.where(scores >= 0, F.sigmoid(gather(F, logits, indices)), scores)
    return _without_small(F, scores, boxes, config), boxes


def _joint(F: Any, logits: Sequence[Tensor], deltas: Sequence[Tensor], anchors: Sequence[Tensor],
           extent: Tuple[Tensor, Tensor], config: DetectorConfig, before: int) -> Tuple[Tensor, Tensor]:
    """The ``before`` best of all levels among the boxes that are large enough."""
    boxes = _decode(F, F.concat(*deltas, dim=1), F.expand_dims(F.concat(*anchors, dim=0), axis=0), extent, config)
    logits = F.concat(*logits, dim=1)
    scores = F.sigmoid(logits) if config.convention.proposal_scores == "sigmoid" else _rank(F, logits)
    scores, indices = top_k(F, _without_small(F, scores, boxes, config), before)
    return scores, gather(F, boxes, indices)


def _rank(F: Any, logits: Tensor) -> Tensor:
    """Logits to 0..1 in their order; a sigmoid would make all logits above 17 equal."""
    return 0.5 + 0.5 * F.softsign(logits)


def _decode(F: Any, deltas: Tensor, anchors: Tensor, extent: Tuple[Tensor, Tensor], config: DetectorConfig) -> Tensor:
    offset = config.convention.offset
    boxes = decode(F, deltas, anchors, RPN_STDS, config.delta_clip, offset)
    return clip_boxes(F, boxes, *(side - offset for side in extent))


def _without_small(F: Any, scores: Tensor, boxes: Tensor, config: DetectorConfig) -> Tensor:
    x1, y1, x2, y2 = (c.squeeze(axis=-1) for c in split_coordinates(F, boxes))
    large = F.minimum(x2 - x1, y2 - y1) + config.convention.min_size_offset >= max(config.rpn_min_size, TINY)
    return F.where(large, scores, F.zeros_like(scores) + FILL)
