"""Region proposals of one image, level by level and box by box."""

import numpy as np
from reference.boxes import LARGEST_GROWTH, clip, decode
from reference.nms import suppress

UNIT_STDS = (1.0, 1.0, 1.0, 1.0)


def propose(
    logits,
    deltas,
    anchors,
    extent,
    pre_nms,
    post_nms,
    nms_thresh,
    min_size,
    *,
    offset=0.0,
    min_size_offset=0.0,
    joint=False,
    at_threshold=False,
    largest_growth=LARGEST_GROWTH,
    order="logit",
):
    """Select proposals from levels of logits (N,), deltas (N, 4) and anchors (N, 4).

    Parameters
    ----------
    extent : tuple of int
        (height, width) in pixels, to which boxes are clipped.
    pre_nms, post_nms : int
        How many boxes of a level enter the suppression; how many proposals are returned.
    nms_thresh : float
        An IoU above it suppresses; with ``at_threshold`` also an equal one.
    min_size : float
        Boxes with a shorter side, after adding ``min_size_offset``, are dropped; in pixels.
    offset : float
        1 if the far corner of a box is its last pixel, else 0.
    joint : bool
        Whether all levels are one, and small boxes are dropped before the ``pre_nms`` best boxes
        are selected.
    order : str
        What proposals are sorted by: "logit" or "sigmoid". Between equal scores, the finer level
        comes first. The ``pre_nms`` best boxes of a level are always selected by their logits.

    Returns
    -------
    proposals : numpy.ndarray
        (post_nms, 4), padded with 0.
    scores : numpy.ndarray
        (post_nms,), padded with -1.
    """
    if joint:
        logits = [np.concatenate(logits)]
        deltas = [np.concatenate(deltas)]
        anchors = [np.concatenate(anchors)]
    score_of = sigmoid if order == "sigmoid" else rank
    candidates = []
    for level_logits, level_deltas, level_anchors in zip(logits, deltas, anchors):
        boxes = []
        for delta, anchor in zip(level_deltas, level_anchors):
            box = decode(delta.tolist(), anchor.tolist(), UNIT_STDS, largest_growth, offset)
            boxes.append(clip(box, *extent, offset))
        large = {
            index for index, box in enumerate(boxes) if is_large(box, min_size, min_size_offset)
        }
        if joint:
            scores = [-score_of(logit) for logit in level_logits]
            by_score = np.argsort(scores, kind="stable")
            chosen = [index for index in by_score if index in large][:pre_nms]
        else:
            by_logit = np.argsort(-level_logits, kind="stable")
            chosen = [index for index in by_logit[:pre_nms] if index in large]
        scores = [score_of(level_logits[index]) for index in chosen]
        chosen_boxes = [boxes[index] for index in chosen]
        for kept in suppress(scores, chosen_boxes, nms_thresh, offset, at_threshold):
            candidates.append((scores[kept], chosen_boxes[kept]))
    candidates = sorted(candidates, key=lambda candidate: -candidate[0])[:post_nms]
    proposals = np.zeros((post_nms, 4))
    proposal_scores = np.full(post_nms, -1.0)
    for index, (score, box) in enumerate(candidates):
        proposals[index] = box
        proposal_scores[index] = score
    return proposals, proposal_scores


def is_large(box, min_size, min_size_offset):
    """Tell whether the shorter side of a box is at least ``min_size``."""
    side = min(box[2] - box[0], box[3] - box[1]) + min_size_offset
    return side > 0 and side >= min_size


def rank(logit):
    """Map a logit to 0..1; unlike a sigmoid this tells large logits apart."""
    return (1 + logit / (1 + abs(logit))) / 2


def sigmoid(logit):
    """Compute the sigmoid in float32, where it is 1 for logits of 17 and more."""
    return np.float32(1 / (1 + np.exp(-np.float64(logit))))
