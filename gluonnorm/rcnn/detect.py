"""From the predictions for RoIs to detections, inside the graph, so that an export contains it."""

from typing import Any, Tuple

from gluonnorm.ops.boxes import clip_boxes, flat_coordinates
from gluonnorm.ops.coder import decode
from gluonnorm.ops.nms import best_pairs, suppress_pairs
from gluonnorm.ops.select import gather
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.types import Tensor


def detect(
    F: Any,
    logits: Tensor,
    deltas: Tensor,
    rois: Tensor,
    roi_scores: Tensor,
    extent: Tuple[Tensor, Tensor],
    num_classes: int,
    config: DetectorConfig,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Select detections from the class logits and box deltas of RoIs.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    logits : Tensor
        (B * R, C + 1); column 0 is the background. R is ``rpn_test_post_nms``.
    deltas : Tensor
        (B * R, 4 * C).
    rois : Tensor
        (B, R, 4) in pixels.
    roi_scores : Tensor
        (B, R); a RoI with score -1 is padding and detects nothing.
    extent : tuple of Tensor
        Height and width of the image in pixels.
    num_classes : int
        C, the foreground classes.
    config : DetectorConfig
        The detector's settings.

    Returns
    -------
    ids : Tensor
        (B, D, 1), the foreground class, from 0; -1 in padding. D is ``max_detections``.
    scores : Tensor
        (B, D, 1) in 0..1, best first; -1 in padding.
    boxes : Tensor
        (B, D, 4) in pixels; -1 in padding.
    """
    num_rois = config.rpn_test_post_nms
    num_pairs = num_rois * num_classes
    probabilities = F.softmax(logits, axis=-1)
    probabilities = F.slice_axis(probabilities, axis=-1, begin=1, end=None)
    probabilities = F.reshape(probabilities, (-1, num_rois, num_classes))
    # Pairs of a padded RoI get the score 0, which is above no threshold.
    is_roi = F.expand_dims(roi_scores >= 0, axis=-1)
    probabilities = F.broadcast_mul(probabilities, is_roi)
    if config.nms_topk > 0:
        probabilities = _with_topk(F, probabilities, num_rois, num_classes, config)
    pair_scores = F.reshape(probabilities, (0, -1))
    # The suppression returns as many rows as it gets, so it needs at least max_detections.
    num_candidates = max(min(config.max_candidates, num_pairs), config.max_detections)
    scores, pairs = best_pairs(F, pair_scores, config.score_thresh, num_candidates, num_pairs)
    roi_index = F.floor(pairs / num_classes)
    # Only the selected pairs are decoded: a thousand RoIs and a thousand classes make a million
    # pairs.
    pair_deltas = gather(F, F.reshape(deltas, (-1, num_pairs, 4)), pairs)
    pair_rois = gather(F, rois, roi_index)
    boxes = _decoded_boxes(F, pair_deltas, pair_rois, extent, config)
    scores = _without_small(F, scores, boxes, config)
    ids = pairs - roi_index * num_classes
    return suppress_pairs(
        F,
        ids,
        scores,
        boxes,
        config.convention.iou_limit(config.nms_thresh),
        config.score_thresh,
        config.max_detections,
        config.convention.offset,
        across_classes=config.force_nms,
    )


def _with_topk(
    F: Any, probabilities: Tensor, num_rois: int, num_classes: int, config: DetectorConfig
) -> Tensor:
    """Set all probabilities (B, R, C) but the ``nms_topk`` best of each class to 0."""
    if config.force_nms:
        # All classes count together, as if they were one.
        num_rois *= num_classes
        probabilities = F.reshape(probabilities, (0, -1, 1))
    if config.nms_topk >= num_rois:
        return probabilities
    best = F.topk(probabilities, axis=1, k=config.nms_topk, ret_typ="value")
    least = F.slice_axis(best, axis=1, begin=-1, end=None)
    return F.broadcast_mul(probabilities, F.broadcast_greater_equal(probabilities, least))


def _decoded_boxes(
    F: Any,
    deltas: Tensor,
    rois: Tensor,
    extent: Tuple[Tensor, Tensor],
    config: DetectorConfig,
) -> Tensor:
    """Decode deltas (B, K, 4) at RoIs, and clip the boxes if the convention does."""
    offset = config.convention.offset
    boxes = decode(F, deltas, rois, config.box_stds, config.delta_clip, offset)
    if not config.convention.clip_detections:
        return boxes
    return clip_boxes(F, boxes, extent, offset)


def _without_small(F: Any, scores: Tensor, boxes: Tensor, config: DetectorConfig) -> Tensor:
    """Set the scores (B, K) of boxes with a side below ``min_detection_size`` to 0."""
    smallest = config.convention.min_detection_size
    if not smallest:
        return scores
    x1, y1, x2, y2 = flat_coordinates(F, boxes)
    width = x2 - x1
    height = y2 - y1
    return scores * (F.minimum(width, height) >= smallest)
