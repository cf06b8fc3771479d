"""From the heads' output to detections, inside the graph, so that it exports."""
from typing import Any, Tuple

from gluonnorm.ops.boxes import clip_boxes, split_coordinates
from gluonnorm.ops.coder import decode
from gluonnorm.ops.nms import best_pairs, suppress_pairs
from gluonnorm.ops.select import gather
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.types import Tensor


def detect(F: Any, logits: Tensor, deltas: Tensor, rois: Tensor, roi_scores: Tensor, extent: Tuple[Tensor, Tensor],
           num_classes: int, config: DetectorConfig) -> Tuple[Tensor, Tensor, Tensor]:
    """Decode, score and suppress.

    Parameters
    ----------
    logits : (B * R, C + 1), column 0 background
    deltas : (B * R, 4 C)
    rois, roi_scores : (B, R, 4), (B, R); a RoI with score -1 is padding and detects nothing
    extent : height and width of the image

    Returns
    -------
    ids, scores, boxes as :func:`gluonnorm.ops.nms.per_class_nms`
    """
    num_rois, convention, offset = config.rpn_test_post_nms, config.convention, config.convention.offset
    scores = F.slice_axis(F.softmax(logits, axis=-1), axis=-1, begin=1, end=None)
    scores = F.reshape(scores, (-1, num_rois, num_classes))
    scores = F.reshape(F.broadcast_mul(scores, F.expand_dims(roi_scores >= 0, axis=-1)), (0, -1))
    known = num_rois * num_classes
    candidates = max(min(config.max_candidates, known), config.max_detections)
    scores, pairs = best_pairs(F, scores, config.score_thresh, candidates, known)
    # Only the chosen are decoded: with a thousand classes there are a million pairs.
    of_roi = F.floor(pairs / num_classes)
    boxes = decode(F, gather(F, F.reshape(deltas, (-1, known, 4)), pairs), gather(F, rois, of_roi), config.box_stds,
                   config.delta_clip, offset)
    if convention.clip_detections:
        boxes = clip_boxes(F, boxes, *(side - offset for side in extent))
    if convention.min_detection_size:
        x1, y1, x2, y2 = (c.squeeze(axis=-1) for c in split_coordinates(F, boxes))
        scores = scores * (F.minimum(x2 - x1, y2 - y1) >= convention.min_detection_size)
    return suppress_pairs(F, pairs - of_roi * num_classes, scores, boxes, convention.iou_limit(config.nms_thresh),
                          config.score_thresh, config.max_detections, offset)
