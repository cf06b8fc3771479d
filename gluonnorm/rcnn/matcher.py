"""Matching: which truth, if any, does each box belong to?"""
from typing import Any, NamedTuple

from gluonnorm.ops.boxes import box_iou
from gluonnorm.types import Tensor


class Match(NamedTuple):
    """For N boxes an image: (B, N) each."""
    truth: Tensor  # index of the truth with the largest IoU; meaningless where no truth exists
    iou: Tensor  # that IoU, in 0..1
    best_of_truth: Tensor  # 1 where the box is (one of) the best of some truth that anything overlaps, else 0


def match(F: Any, boxes: Tensor, truths: Tensor) -> Match:
    """Compare boxes (B or 1, N, 4) with truths (B, G, 4); padded truths (any box without area) match nothing."""
    iou = box_iou(F, boxes, truths)
    best = F.max(iou, axis=1, keepdims=True)
    is_best = F.broadcast_equal(iou, best) * F.broadcast_greater(iou, F.zeros_like(best))
    return Match(truth=F.argmax(iou, axis=2), iou=F.max(iou, axis=2), best_of_truth=F.max(is_best, axis=2))
