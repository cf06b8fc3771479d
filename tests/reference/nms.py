"""Suppression as the textbook tells it, a loop over boxes and a loop over classes."""
import numpy as np
from reference.boxes import iou


def suppress(scores, boxes, iou_thresh):
    """Indices of the boxes kept, best first."""
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j]) <= iou_thresh for j in kept):
            kept.append(i)
    return kept


def per_class_nms(scores, boxes, iou_thresh, score_thresh, max_detections):
    """One image, (R, C) and (R, C, 4): ids (D, 1), scores (D, 1) and boxes (D, 4), padded with -1."""
    rows = []
    for c in range(scores.shape[1]):
        candidates = np.flatnonzero(scores[:, c] > score_thresh)
        for i in suppress(scores[candidates, c], boxes[candidates, c], iou_thresh):
            r = candidates[i]
            rows.append([c, scores[r, c], *boxes[r, c]])
    rows = sorted(rows, key=lambda row: -row[1])[:max_detections]
    table = np.full((max_detections, 6), -1, np.float32)
    table[:len(rows)] = np.reshape(rows, (-1, 6))
    return table[:, :1], table[:, 1:2], table[:, 2:]
