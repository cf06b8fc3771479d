"""Training targets of the RPN and of the heads, from proposals and ground truth.

They are made on the device, inside a graph of their own. The data loader knows no anchors.
"""

from typing import Any, Tuple

from gluonnorm.ops.coder import encode
from gluonnorm.ops.select import gather
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.matcher import match
from gluonnorm.rcnn.rpn import RPN_STDS
from gluonnorm.rcnn.sampler import sample
from gluonnorm.rcnn.target_records import GroundTruth, RoITargets, RPNTargets
from gluonnorm.types import Tensor


def max_positive_anchors(config: DetectorConfig) -> int:
    """Compute how many of an image's sampled anchors may be positive.

    Parameters
    ----------
    config : DetectorConfig
        The detector's settings.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, int(config.rpn_num_sample * config.rpn_pos_ratio))


def max_positive_rois(config: DetectorConfig) -> int:
    """Compute how many of an image's sampled RoIs may be positive; they are the first rows.

    Parameters
    ----------
    config : DetectorConfig
        The detector's settings.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, int(config.num_sample * config.pos_ratio))


def rpn_targets(
    F: Any, anchors: Tensor, ground_truth_boxes: Tensor, config: DetectorConfig
) -> RPNTargets:
    """Sample anchors, and compute their labels and deltas (Ren et al. 2015, section 3.1.2).

    An anchor is positive if its IoU with some ground-truth box is at least ``rpn_pos_iou_thresh``,
    or if it is the best anchor of some ground-truth box, so that every box has one. All other
    anchors with an IoU below ``rpn_neg_iou_thresh`` are negative.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    anchors : Tensor
        (N, 4) in pixels, of all levels.
    ground_truth_boxes : Tensor
        (B, G, 4) in pixels, padded with -1.
    config : DetectorConfig
        The detector's settings.

    Returns
    -------
    RPNTargets
        For ``rpn_num_sample`` anchors of each image.
    """
    offset = config.convention.offset
    matches = match(F, F.expand_dims(anchors, axis=0), ground_truth_boxes, offset)
    is_close = matches.iou >= config.rpn_pos_iou_thresh
    positive = F.maximum(is_close, matches.is_best)
    is_far = matches.iou < config.rpn_neg_iou_thresh
    negative = is_far * (1 - positive)
    sampled = sample(F, positive, negative, config.rpn_num_sample, max_positive_anchors(config))
    ground_truth_index = gather(F, matches.ground_truth_index, sampled.indices)
    matched_boxes = gather(F, ground_truth_boxes, ground_truth_index)
    sampled_anchors = F.take(anchors, sampled.indices)
    deltas = encode(F, matched_boxes, sampled_anchors, RPN_STDS, offset)
    return RPNTargets(sampled=sampled, deltas=deltas)


def roi_targets(
    F: Any,
    proposals: Tensor,
    scores: Tensor,
    ground_truth: GroundTruth,
    config: DetectorConfig,
) -> Tuple[RoITargets, Tensor]:
    """Sample RoIs from proposals and ground truth, and compute their labels and deltas.

    The ground-truth boxes are candidates as well (Detectron), so an RPN that has just begun to
    learn still gives positive RoIs. A RoI is positive if its IoU with some ground-truth box is at
    least ``pos_iou_thresh``, and negative otherwise. Padding is neither.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    proposals : Tensor
        (B, R, 4) in pixels.
    scores : Tensor
        (B, R), negative in padding.
    ground_truth : GroundTruth
        The labeled objects; masks are not read.
    config : DetectorConfig
        The detector's settings.

    Returns
    -------
    targets : RoITargets
        For ``num_sample`` RoIs of each image.
    ground_truth_index : Tensor
        (B, num_sample), the index of the object that each RoI belongs to; it has a meaning for
        positive RoIs only.
    """
    candidates = F.concat(proposals, ground_truth.boxes, dim=1)
    is_proposal = scores >= 0
    is_object = ground_truth.labels >= 0
    valid = F.concat(is_proposal, is_object, dim=1)
    offset = config.convention.offset
    matches = match(F, candidates, ground_truth.boxes, offset)
    is_close = matches.iou >= config.pos_iou_thresh
    positive = valid * is_close
    negative = valid * (1 - positive)
    sampled = sample(F, positive, negative, config.num_sample, max_positive_rois(config))
    rois = gather(F, candidates, sampled.indices)
    ground_truth_index = gather(F, matches.ground_truth_index, sampled.indices)
    matched_boxes = gather(F, ground_truth.boxes, ground_truth_index)
    deltas = encode(F, matched_boxes, rois, config.box_stds, offset)
    # Padding may be a box at -1, and RoIAlign must not read outside the image.
    rois_inside = F.maximum(rois, 0)
    matched_labels = gather(F, ground_truth.labels, ground_truth_index)
    targets = RoITargets(
        rois=rois_inside,
        labels=(matched_labels + 1) * sampled.positive,
        deltas=deltas,
        positive=sampled.positive,
        weight=sampled.weight,
    )
    return targets, ground_truth_index
