"""Region proposals of one image, level by level and box by box."""
import numpy as np
from reference.boxes import clip, decode
from reference.nms import suppress

UNIT = (1.0, 1.0, 1.0, 1.0)


def propose(logits, deltas, anchors, extent, before, after, nms_thresh, min_size):
    """Of levels (N,), (N, 4), (N, 4): proposals (``after``, 4) padded with 0, scores (``after``,) padded with -1."""
    found = []
    for level_logits, level_deltas, level_anchors in zip(logits, deltas, anchors):
        best = np.argsort(-level_logits, kind="stable")[:before]
        boxes = [clip(decode(level_deltas[i], level_anchors[i], UNIT), *extent) for i in best]
        scores = [1 / (1 + np.exp(-level_logits[i])) for i in best]
        large = [i for i, box in enumerate(boxes) if min(box[2] - box[0], box[3] - box[1]) > min_size]
        kept = suppress([scores[i] for i in large], [boxes[i] for i in large], nms_thresh)
        found += [(scores[large[i]], boxes[large[i]]) for i in kept]
    found = sorted(found, key=lambda pair: -pair[0])[:after]
    rois, scores = np.zeros((after, 4)), np.full(after, -1.0)
    for i, (score, box) in enumerate(found):
        rois[i], scores[i] = box, score
    return rois, scores
