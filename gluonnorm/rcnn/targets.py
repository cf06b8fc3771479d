"""What the network should have said: made on the device from its own output and the truth, outside the network."""
from typing import Any, NamedTuple, Tuple

from gluonnorm.ops.coder import encode
from gluonnorm.ops.select import gather
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.matcher import match
from gluonnorm.rcnn.rpn import RPN_STDS
from gluonnorm.rcnn.sampler import Sample, sample
from gluonnorm.types import Tensor


class RPNTargets(NamedTuple):
    """For S sampled anchors an image."""
    drawn: Sample
    deltas: Tensor  # (B, S, 4), meaningful for positive rows


class RoITargets(NamedTuple):
    """For S sampled RoIs an image; positives come first."""
    rois: Tensor  # (B, S, 4)
    labels: Tensor  # (B, S), 0 background, foreground class + 1
    deltas: Tensor  # (B, S, 4), meaningful for positive rows
    positive: Tensor  # (B, S), 1 for a positive row, 0 otherwise
    weight: Tensor  # (B, S), 0 for a row that only fills, 1 otherwise


def rpn_targets(F: Any, anchors: Tensor, truths: Tensor, config: DetectorConfig) -> RPNTargets:
    """Anchors (N, 4) against truths (B, G, 4), padded -1.

    Positive: IoU of at least ``rpn_pos_iou_thresh`` with some truth, or the best that some truth has (kept even
    below the negative threshold, so that no truth goes without). Negative: IoU below ``rpn_neg_iou_thresh``.
    """
    found = match(F, F.expand_dims(anchors, axis=0), truths)
    positive = F.maximum(found.iou >= config.rpn_pos_iou_thresh, found.best_of_truth)
    negative = (found.iou < config.rpn_neg_iou_thresh) * (1 - positive)
    size = config.rpn_num_sample
    drawn = sample(F, positive, negative, size, max(1, int(size * config.rpn_pos_ratio)))
    matched = gather(F, truths, gather(F, found.truth, drawn.indices))
    deltas = encode(F, matched, F.take(anchors, drawn.indices), RPN_STDS, config.convention.offset)
    return RPNTargets(drawn=drawn, deltas=deltas)


def max_positive_rois(config: DetectorConfig) -> int:
    """How many of an image's sampled RoIs may be positive; they are the first rows."""
    return max(1, int(config.num_sample * config.pos_ratio))


def roi_targets(F: Any, rois: Tensor, scores: Tensor, truths: Tensor, labels: Tensor,
                config: DetectorConfig) -> Tuple[RoITargets, Tensor]:
    """Sample RoIs from the proposals (B, R, 4) with scores (B, R) and the truths (B, G, 4) with labels (B, G).

    The truths join the proposals (Detectron), so that a young RPN still gives positives. Padding takes no part. The
    second result (B, S) says which truth a row belongs to; it is meaningful for positive rows.
    """
    candidates = F.concat(rois, truths, dim=1)
    valid = F.concat(scores >= 0, labels >= 0, dim=1)
    found = match(F, candidates, truths)
    positive = valid * (found.iou >= config.pos_iou_thresh)
    drawn = sample(F, positive, valid * (1 - positive), config.num_sample, max_positive_rois(config))
    sampled = gather(F, candidates, drawn.indices)
    truth = gather(F, found.truth, drawn.indices)
    deltas = encode(F, gather(F, truths, truth), sampled, config.box_stds, config.convention.offset)
    # Rows that only fill may be padding at -1: RoIAlign must not read outside the image.
    targets = RoITargets(rois=F.maximum(sampled, 0), labels=(gather(F, labels, truth) + 1) * drawn.positive,
                         deltas=deltas, positive=drawn.positive, weight=drawn.weight)
    return targets, truth
