"""Boxes one at a time, in Python's own floats."""
import math

import numpy as np

LARGEST_GROWTH = math.log(1000 / 16)


def iou(box, other):
    """Intersection over union of two boxes; 0 where nothing is covered."""
    width = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
    union = area(box) + area(other) - width * height
    return width * height / union if union > 0 else 0.0


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def clip(box, height, width):
    x1, y1, x2, y2 = box
    return [min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height)]


def encode(box, anchor, stds):
    """R-CNN's appendix C, with the standard deviations of Fast R-CNN."""
    w, h, aw, ah = box[2] - box[0], box[3] - box[1], anchor[2] - anchor[0], anchor[3] - anchor[1]
    dx = ((box[0] + box[2]) - (anchor[0] + anchor[2])) / 2 / aw
    dy = ((box[1] + box[3]) - (anchor[1] + anchor[3])) / 2 / ah
    return [dx / stds[0], dy / stds[1], math.log(w / aw) / stds[2], math.log(h / ah) / stds[3]]


def decode(delta, anchor, stds, most=LARGEST_GROWTH):
    aw, ah = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = (anchor[0] + anchor[2]) / 2 + delta[0] * stds[0] * aw
    y = (anchor[1] + anchor[3]) / 2 + delta[1] * stds[1] * ah
    w, h = aw * math.exp(min(delta[2] * stds[2], most)), ah * math.exp(min(delta[3] * stds[3], most))
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def random_boxes(rng, count, extent=100.0, shortest=1.0):
    """(count, 4) float32 with sides from ``shortest`` to half the extent."""
    side = rng.uniform(shortest, extent / 2, (count, 2))
    corner = rng.uniform(0, 1, (count, 2)) * (extent - side)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def distinct_scores(rng, shape, low=0.0, high=1.0):
    """Numbers between the bounds, no two alike, so that their order is certain."""
    count = int(np.prod(shape))
    return (low + (high - low) * (rng.permutation(count) + 0.5) / count).reshape(shape).astype(np.float32)
