"""Boxes one at a time, in Python's own floats."""
import math

import numpy as np

LARGEST_GROWTH = math.log(1000 / 16)


def iou(box, other, offset=0.0):
    """Intersection over union of two boxes; 0 where nothing is covered. ``offset``: 1 where the corners are pixels."""
    width = max(min(box[2], other[2]) - max(box[0], other[0]) + offset, 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]) + offset, 0)
    union = area(box, offset) + area(other, offset) - width * height
    return width * height / union if union > 0 else 0.0


def area(box, offset=0.0):
    return max(box[2] - box[0] + offset, 0) * max(box[3] - box[1] + offset, 0)


def clip(box, height, width, offset=0.0):
    right, bottom = width - offset, height - offset
    x1, y1, x2, y2 = box
    return [min(max(x1, 0), right), min(max(y1, 0), bottom), min(max(x2, 0), right), min(max(y2, 0), bottom)]


def encode(box, anchor, stds, offset=0.0):
    """R-CNN's appendix C, with the standard deviations of Fast R-CNN."""
    w, h, aw, ah = (b[i + 2] - b[i] + offset for b in (box, anchor) for i in (0, 1))
    dx = (box[0] + w / 2 - (anchor[0] + aw / 2)) / aw
    dy = (box[1] + h / 2 - (anchor[1] + ah / 2)) / ah
    return [dx / stds[0], dy / stds[1], math.log(w / aw) / stds[2], math.log(h / ah) / stds[3]]


def decode(delta, anchor, stds, most=LARGEST_GROWTH, offset=0.0):
    aw, ah = anchor[2] - anchor[0] + offset, anchor[3] - anchor[1] + offset
    x = anchor[0] + aw / 2 + delta[0] * stds[0] * aw
    y = anchor[1] + ah / 2 + delta[1] * stds[1] * ah
    w, h = aw * math.exp(min(delta[2] * stds[2], most)), ah * math.exp(min(delta[3] * stds[3], most))
    return [x - w / 2, y - h / 2, x + w / 2 - offset, y + h / 2 - offset]


def random_boxes(rng, count, extent=100.0, shortest=1.0):
    """(count, 4) float32 with sides from ``shortest`` to half the extent."""
    side = rng.uniform(shortest, extent / 2, (count, 2))
    corner = rng.uniform(0, 1, (count, 2)) * (extent - side)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def distinct_scores(rng, shape, low=0.0, high=1.0):
    """Numbers between the bounds, no two alike, so that their order is certain."""
    count = int(np.prod(shape))
    return (low + (high - low) * (rng.permutation(count) + 0.5) / count).reshape(shape).astype(np.float32)
