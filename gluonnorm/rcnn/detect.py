"""From the heads' output to detections, inside the graph, so that it exports."""
from typing import Any, Tuple

from gluonnorm.ops.boxes import clip_boxes, split_coordinates
from gluonnorm.ops.coder import decode
from gluonnorm.ops.nms import per_class_nms
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
    num_rois = config.rpn_test_post_nms
    scores = F.slice_axis(F.softmax(logits, axis=-1), axis=-1, begin=1, end=None)
    scores = F.reshape(scores, (-1, num_rois, num_classes))
    scores = F.broadcast_mul(scores, F.expand_dims(roi_scores >= 0, axis=-1))
    deltas = F.reshape(deltas, (-1, num_rois, num_classes, 4))
    convention, offset = config.convention, config.convention.offset
    boxes = decode(F, deltas, F.expand_dims(rois, axis=2), config.box_stds, config.delta_clip, offset)
    if convention.clip_detections:
        boxes = clip_boxes(F, boxes, *(side - offset for side in extent))
    if convention.min_detection_size:
        x1, y1, x2, y2 = (c.squeeze(axis=-1) for c in split_coordinates(F, boxes))
        scores = scores * (F.minimum(x2 - x1, y2 - y1) >= convention.min_detection_size)
    pairs = num_rois * num_classes
    return per_class_nms(F, scores, boxes, convention.iou_limit(config.nms_thresh), config.score_thresh,
                         config.max_detections, max(min(config.max_candidates, pairs), config.max_detections), offset)
