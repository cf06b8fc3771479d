"""Non-maximum suppression with a loop over boxes and a loop over classes."""

import numpy as np
from reference.boxes import iou


def suppress(scores, boxes, iou_thresh, offset=0.0, at_threshold=False):
    """List the indices of the boxes that are kept, best first.

    ``at_threshold``: whether an IoU of exactly ``iou_thresh`` suppresses as well.
    """
    kept = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        overlaps = [iou(boxes[index], boxes[better], offset) for better in kept]
        if not any(_suppresses(overlap, iou_thresh, at_threshold) for overlap in overlaps):
            kept.append(index)
    return kept


def _suppresses(overlap, iou_thresh, at_threshold):
    """Tell whether an IoU with a better box suppresses."""
    return overlap > iou_thresh or (at_threshold and overlap == iou_thresh)


def per_class_nms(
    scores, boxes, iou_thresh, score_thresh, max_detections, offset=0.0, at_threshold=False
):
    """Suppress the boxes (R, C, 4) with scores (R, C) of one image, class by class.

    Returns ids (D, 1), scores (D, 1) and boxes (D, 4), padded with -1.
    """
    rows = []
    for class_id in range(scores.shape[1]):
        candidates = np.flatnonzero(scores[:, class_id] > score_thresh)
        class_scores = scores[candidates, class_id]
        class_boxes = boxes[candidates, class_id]
        for index in suppress(class_scores, class_boxes, iou_thresh, offset, at_threshold):
            rows.append([class_id, class_scores[index], *class_boxes[index]])
    rows = sorted(rows, key=lambda row: -row[1])[:max_detections]
    table = np.full((max_detections, 6), -1, np.float32)
    table[: len(rows)] = np.reshape(rows, (-1, 6))
    return table[:, :1], table[:, 1:2], table[:, 2:]
