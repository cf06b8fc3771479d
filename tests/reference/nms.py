"""Suppression as the textbook tells it, a loop over boxes and a loop over classes."""
import numpy as np
from reference.boxes import iou


def suppress(scores, boxes, iou_thresh, offset=0.0, at_threshold=False):
    """Indices of the boxes kept, best first. ``at_threshold``: an IoU of just ``iou_thresh`` suppresses too."""
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        overlaps = [iou(boxes[i], boxes[j], offset) for j in kept]
        if not any(o > iou_thresh or (at_threshold and o == iou_thresh) for o in overlaps):
            kept.append(i)
    return kept


def per_class_nms(scores, boxes, iou_thresh, score_thresh, max_detections, offset=0.0, at_threshold=False):
    """One image, (R, C) and (R, C, 4): ids (D, 1), scores (D, 1) and boxes (D, 4), padded with -1."""
    rows = []
    for c in range(scores.shape[1]):
        candidates = np.flatnonzero(scores[:, c] > score_thresh)
        for i in suppress(scores[candidates, c], boxes[candidates, c], iou_thresh, offset, at_threshold):
            r = candidates[i]
            rows.append([c, scores[r, c], *boxes[r, c]])
    rows = sorted(rows, key=lambda row: -row[1])[:max_detections]
    table = np.full((max_detections, 6), -1, np.float32)
    table[:len(rows)] = np.reshape(rows, (-1, 6))
    return table[:, :1], table[:, 1:2], table[:, 2:]
