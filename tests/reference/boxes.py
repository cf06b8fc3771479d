"""Boxes one at a time, in Python's own floats."""

import math

import numpy as np

LARGEST_GROWTH = math.log(1000 / 16)


def iou(box, other, offset=0.0):
    """Compute the intersection over union of two boxes; 0 if both have no area.

    ``offset`` is 1 if the far corner of a box is its last pixel.
    """
    width = max(min(box[2], other[2]) - max(box[0], other[0]) + offset, 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]) + offset, 0)
    intersection = width * height
    union = area(box, offset) + area(other, offset) - intersection
    return intersection / union if union > 0 else 0.0


def area(box, offset=0.0):
    """Compute the area of a box; 0 if its corners are in the wrong order."""
    width = max(box[2] - box[0] + offset, 0)
    height = max(box[3] - box[1] + offset, 0)
    return width * height


def clip(box, height, width, offset=0.0):
    """Move the corners that are outside an image onto its border."""
    x1, y1, x2, y2 = box
    last_x = width - offset
    last_y = height - offset
    return [
        min(max(x1, 0), last_x),
        min(max(y1, 0), last_y),
        min(max(x2, 0), last_x),
        min(max(y2, 0), last_y),
    ]


def encode(box, anchor, stds, offset=0.0):
    """Compute the deltas of R-CNN's appendix C, divided by standard deviations (Fast R-CNN)."""
    width = box[2] - box[0] + offset
    height = box[3] - box[1] + offset
    anchor_width = anchor[2] - anchor[0] + offset
    anchor_height = anchor[3] - anchor[1] + offset
    center_x = box[0] + width / 2
    center_y = box[1] + height / 2
    anchor_x = anchor[0] + anchor_width / 2
    anchor_y = anchor[1] + anchor_height / 2
    return [
        (center_x - anchor_x) / anchor_width / stds[0],
        (center_y - anchor_y) / anchor_height / stds[1],
        math.log(width / anchor_width) / stds[2],
        math.log(height / anchor_height) / stds[3],
    ]


def decode(delta, anchor, stds, largest_growth=LARGEST_GROWTH, offset=0.0):
    """Apply deltas to an anchor; the inverse of :func:`encode`."""
    anchor_width = anchor[2] - anchor[0] + offset
    anchor_height = anchor[3] - anchor[1] + offset
    center_x = anchor[0] + anchor_width / 2 + delta[0] * stds[0] * anchor_width
    center_y = anchor[1] + anchor_height / 2 + delta[1] * stds[1] * anchor_height
    width = anchor_width * math.exp(min(delta[2] * stds[2], largest_growth))
    height = anchor_height * math.exp(min(delta[3] * stds[3], largest_growth))
    return [
        center_x - width / 2,
        center_y - height / 2,
        center_x + width / 2 - offset,
        center_y + height / 2 - offset,
    ]


def random_boxes(rng, count, extent=100.0, shortest=1.0):
    """Draw boxes (count, 4) float32 with sides from ``shortest`` to half the extent."""
    sides = rng.uniform(shortest, extent / 2, (count, 2))
    corners = rng.uniform(0, 1, (count, 2)) * (extent - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def distinct_scores(rng, shape, low=0.0, high=1.0):
    """Draw float32 numbers between two bounds, all different, so that their order is certain."""
    count = int(np.prod(shape))
    ranks = rng.permutation(count) + 0.5
    scores = low + (high - low) * ranks / count
    return scores.reshape(shape).astype(np.float32)
