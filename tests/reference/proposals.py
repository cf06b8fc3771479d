"""Region proposals of one image, level by level and box by box."""
import numpy as np
from reference.boxes import LARGEST_GROWTH, clip, decode
from reference.nms import suppress

UNIT = (1.0, 1.0, 1.0, 1.0)


def propose(logits, deltas, anchors, extent, before, after, nms_thresh, min_size, *, offset=0.0, min_size_offset=0.0,
            joint=False, at_threshold=False, most=LARGEST_GROWTH, order="logit"):
    """Of levels (N,), (N, 4), (N, 4): proposals (``after``, 4) padded with 0, scores (``after``,) padded with -1.

    ``joint``: all levels are one, and boxes that are too small are dropped before the ``before`` best are chosen.
    ``order``: what proposals are sorted by, "logit" or "sigmoid"; of equals the one of the finer level comes first.
    Those of a level are chosen by their logits all the same.
    """
    if joint:
        logits, deltas, anchors = [np.concatenate(logits)], [np.concatenate(deltas)], [np.concatenate(anchors)]
    found = []
    for level_logits, level_deltas, level_anchors in zip(logits, deltas, anchors):
        score = sigmoid if order == "sigmoid" else rank
        by = [-score(logit) for logit in level_logits] if joint else -level_logits
        best = [int(i) for i in np.argsort(by, kind="stable")]
        boxes = {i: clip(decode(level_deltas[i].tolist(), level_anchors[i].tolist(), UNIT, most, offset), *extent,
                         offset) for i in best}
        large = {i for i, box in boxes.items() if is_large(box, min_size, min_size_offset)}
        if joint:
            chosen = [i for i in best if i in large][:before]
        else:
            chosen = [i for i in best[:before] if i in large]
        scores = [score(level_logits[i]) for i in chosen]
        kept = suppress(scores, [boxes[i] for i in chosen], nms_thresh, offset, at_threshold)
        found += [(scores[k], boxes[chosen[k]]) for k in kept]
    found = sorted(found, key=lambda pair: -pair[0])[:after]
    rois, scores = np.zeros((after, 4)), np.full(after, -1.0)
    for i, (score, box) in enumerate(found):
        rois[i], scores[i] = box, score
    return rois, scores


def is_large(box, min_size, min_size_offset):
    side = min(box[2] - box[0], box[3] - box[1]) + min_size_offset
    return side > 0 and side >= min_size


def rank(logit):
    """0..1, rising with the logit, which does not saturate as a sigmoid does."""
    return (1 + logit / (1 + abs(logit))) / 2


def sigmoid(logit):
    """In float32, in which it is 1 from a logit of 17 on."""
    return np.float32(1 / (1 + np.exp(-np.float64(logit))))
