"""Region proposal network (RPN; Ren et al. 2015, arXiv 1506.01497): its head, and the proposals."""

from typing import Any, List, NamedTuple, Sequence, Tuple

from gluonnorm.ops.boxes import clip_boxes, flat_coordinates
from gluonnorm.ops.coder import decode
from gluonnorm.ops.nms import nms
from gluonnorm.ops.select import PAD_SCORE, gather, top_k
from gluonnorm.rcnn.anchors import pyramid_anchors
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn

RPN_STDS = (1.0, 1.0, 1.0, 1.0)
LEAST_SIDE = 1e-30  # a proposal without width or height is dropped, even if rpn_min_size is 0

Extent = Tuple[Tensor, Tensor]


class RPNOutputs(NamedTuple):
    """What the RPN says of the anchors of a batch, level by level.

    Attributes
    ----------
    logits : sequence of Tensor
        (B, N) of each level, the logit of each anchor.
    deltas : sequence of Tensor
        (B, N, 4) of each level, from the anchor to the object.
    anchors : sequence of Tensor
        (N, 4) of each level, in pixels.
    """

    logits: Sequence[Tensor]
    deltas: Sequence[Tensor]
    anchors: Sequence[Tensor]


class RPNHead(mx.gluon.HybridBlock):
    """Predict objectness and box deltas at every anchor; all levels share the weights.

    One or two 3x3 convolutions are followed by two 1x1 convolutions, for logits and deltas.

    Parameters
    ----------
    in_channels : int
        Channels of the feature maps.
    channels : int
        Channels of the hidden layers.
    num_anchors : int
        A, the anchors of each cell.
    num_convs : int
        3x3 convolutions: 1, or 2 as in torchvision's second versions.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Examples
    --------
    >>> import mxnet as mx
    >>> head = RPNHead(in_channels=8, channels=16, num_anchors=3)
    >>> head.initialize()
    >>> logits, deltas = head(mx.nd.ones((1, 8, 4, 5)))
    >>> logits.shape, deltas.shape
    ((1, 60), (1, 60, 4))
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_anchors: int,
        num_convs: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        init = mx.init.Normal(0.01)
        with self.name_scope():
            self.conv = nn.Conv2D(
                channels, 3, padding=1, in_channels=in_channels, weight_initializer=init
            )
            self.conv2 = None
            if num_convs == 2:
                self.conv2 = nn.Conv2D(
                    channels, 3, padding=1, in_channels=channels, weight_initializer=init
                )
            self.score = nn.Conv2D(num_anchors, 1, in_channels=channels, weight_initializer=init)
            self.loc = nn.Conv2D(4 * num_anchors, 1, in_channels=channels, weight_initializer=init)

    def hybrid_forward(self, F: Any, feature: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict the logits and deltas of one feature map.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        feature : Tensor
            (B, C, h, w).

        Returns
        -------
        logits : Tensor
            (B, h * w * A), in the order of the anchors.
        deltas : Tensor
            (B, h * w * A, 4), in the same order.
        """
        hidden = F.Activation(self.conv(feature), act_type="relu")
        if self.conv2 is not None:
            hidden = F.Activation(self.conv2(hidden), act_type="relu")
        logits = F.transpose(self.score(hidden), (0, 2, 3, 1))
        logits = F.reshape(logits, (0, -1))
        deltas = F.transpose(self.loc(hidden), (0, 2, 3, 1))
        deltas = F.reshape(deltas, (0, -1, 4))
        return logits, deltas

    def over(self, features: Sequence[Tensor]) -> Tuple[List[Tensor], List[Tensor]]:
        """Predict the logits and deltas of several feature maps.

        Parameters
        ----------
        features : sequence of Tensor
            The feature map of each level, (B, C, h, w).

        Returns
        -------
        logits, deltas : list of Tensor
            Of each level, (B, h * w * A) and (B, h * w * A, 4).
        """
        all_logits = []
        all_deltas = []
        for feature in features:
            logits, deltas = self(feature)
            all_logits.append(logits)
            all_deltas.append(deltas)
        return all_logits, all_deltas


def level_anchors(
    F: Any,
    padded: Tensor,
    features: Sequence[Tensor],
    strides: Sequence[int],
    config: DetectorConfig,
) -> List[Tensor]:
    """Compute the anchors of a detector, in the order of its logits.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    padded : Tensor
        (B, 3, H, W), the padded images; only their size is read.
    features : sequence of Tensor
        The feature map of each level, (B, C, h, w); only their sizes are read.
    strides : sequence of int
        The stride of each level in pixels.
    config : DetectorConfig
        The detector's settings.

    Returns
    -------
    list of Tensor
        The anchors of each level, (h * w * A, 4) in pixels.
    """
    return pyramid_anchors(
        F,
        padded,
        features,
        strides,
        config.anchor_sizes,
        config.anchor_ratios,
        config.convention,
    )


def propose(
    F: Any,
    outputs: RPNOutputs,
    extent: Extent,
    config: DetectorConfig,
    training: bool,
) -> Tuple[Tensor, Tensor]:
    """Select proposals from the RPN's predictions on all levels.

    The best boxes are decoded and clipped, boxes that are too small are dropped, each level is
    suppressed on its own, and the best of all levels are kept.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    outputs : RPNOutputs
        The RPN's predictions.
    extent : tuple of Tensor
        Height and width, in pixels, to which boxes are clipped.
    config : DetectorConfig
        The detector's settings.
    training : bool
        Whether the numbers of boxes before and after NMS are those of training or of inference.

    Returns
    -------
    proposals : Tensor
        (B, R, 4) in pixels, 0 in padding.
    scores : Tensor
        (B, R) in 0..1, best first, -1 in padding. They grow with the logit.
    """
    post_nms = config.rpn_train_post_nms if training else config.rpn_test_post_nms
    convention = config.convention
    stacked_scores, stacked_boxes = candidates(F, outputs, extent, config, training)
    iou_limit = convention.iou_limit(config.rpn_nms_thresh)
    kept_scores, kept_boxes = nms(F, stacked_scores, stacked_boxes, iou_limit, convention.offset)
    scores, indices = top_k(F, F.reshape(kept_scores, (0, -1)), post_nms)
    proposals = gather(F, F.reshape(kept_boxes, (0, -3, 4)), indices)
    is_proposal = F.expand_dims(scores >= 0, axis=-1)
    return F.broadcast_mul(proposals, is_proposal), scores


def candidates(
    F: Any, outputs: RPNOutputs, extent: Extent, config: DetectorConfig, training: bool
) -> Tuple[Tensor, Tensor]:
    """Select the boxes that enter the NMS of the proposals.

    Parameters
    ----------
    F, outputs, extent, config, training
        As for :func:`propose`.

    Returns
    -------
    scores : Tensor
        (B, L, K) in 0..1, K boxes of each of L suppressions, -1 in padding.
    boxes : Tensor
        (B, L, K, 4) in pixels.
    """
    pre_nms = config.rpn_train_pre_nms if training else config.rpn_test_pre_nms
    level_scores = []
    level_boxes = []
    if config.convention.proposal_nms == "joint":
        scores, boxes = _joint_candidates(F, outputs, extent, config, pre_nms)
        level_scores.append(scores)
        level_boxes.append(boxes)
    else:
        for level in zip(*outputs):
            scores, boxes = _level_candidates(F, *level, extent, config, pre_nms)
            level_scores.append(scores)
            level_boxes.append(boxes)
    # The cost of a suppression grows with the square of the number of boxes. As a batch axis, five
    # levels of k boxes cost a fifth of one suppression of 5 * k boxes.
    return F.stack(*level_scores, axis=1), F.stack(*level_boxes, axis=1)


def _level_candidates(
    F: Any,
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    extent: Extent,
    config: DetectorConfig,
    pre_nms: int,
) -> Tuple[Tensor, Tensor]:
    """Decode the ``pre_nms`` best boxes of a level: scores (B, k) and boxes (B, k, 4).

    Small boxes are dropped after top-k, so each still uses up one of its k places.
    """
    scores, indices = top_k(F, _ranking_score(F, logits), pre_nms)
    best_deltas = gather(F, deltas, indices)
    best_anchors = F.take(anchors, indices)
    boxes = _decoded_boxes(F, best_deltas, best_anchors, extent, config)
    if config.convention.proposal_scores == "sigmoid":
        # Only the NMS sorts by sigmoids; top-k has sorted by logits.
        probabilities = F.sigmoid(gather(F, logits, indices))
        scores = F.where(scores >= 0, probabilities, scores)
    return _without_small(F, scores, boxes, config), boxes


def _joint_candidates(
    F: Any, outputs: RPNOutputs, extent: Extent, config: DetectorConfig, pre_nms: int
) -> Tuple[Tensor, Tensor]:
    """Decode all boxes, and select the ``pre_nms`` best of those that are large enough."""
    all_deltas = F.concat(*outputs.deltas, dim=1)
    all_anchors = F.expand_dims(F.concat(*outputs.anchors, dim=0), axis=0)
    boxes = _decoded_boxes(F, all_deltas, all_anchors, extent, config)
    all_logits = F.concat(*outputs.logits, dim=1)
    if config.convention.proposal_scores == "sigmoid":
        scores = F.sigmoid(all_logits)
    else:
        scores = _ranking_score(F, all_logits)
    scores, indices = top_k(F, _without_small(F, scores, boxes, config), pre_nms)
    return scores, gather(F, boxes, indices)


def _ranking_score(F: Any, logits: Tensor) -> Tensor:
    """Map logits to 0..1 without changing their order.

    A sigmoid in float32 is 1 for all logits above 17. Softsign still tells them apart.
    """
    return 0.5 + 0.5 * F.softsign(logits)


def _decoded_boxes(
    F: Any, deltas: Tensor, anchors: Tensor, extent: Extent, config: DetectorConfig
) -> Tensor:
    """Decode deltas (B, N, 4) at anchors, and clip the boxes to the image."""
    offset = config.convention.offset
    boxes = decode(F, deltas, anchors, RPN_STDS, config.delta_clip, offset)
    return clip_boxes(F, boxes, extent, offset)


def _without_small(F: Any, scores: Tensor, boxes: Tensor, config: DetectorConfig) -> Tensor:
    """Replace the scores (B, N) of boxes that are too small by ``PAD_SCORE``."""
    x1, y1, x2, y2 = flat_coordinates(F, boxes)
    width = x2 - x1
    height = y2 - y1
    shorter_side = F.minimum(width, height) + config.convention.min_size_offset
    is_large = shorter_side >= max(config.rpn_min_size, LEAST_SIDE)
    return F.where(is_large, scores, F.zeros_like(scores) + PAD_SCORE)
