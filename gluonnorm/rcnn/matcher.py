"""Matching of boxes with ground-truth boxes by their overlap."""

from typing import Any, NamedTuple

from gluonnorm.ops.boxes import box_iou
from gluonnorm.types import Tensor


class Match(NamedTuple):
    """The ground truth of each box of an image, (B, N) each.

    Attributes
    ----------
    ground_truth_index : Tensor
        Index of the ground-truth box with the largest IoU. It has no meaning if that IoU is 0.
    iou : Tensor
        The largest IoU, in 0..1.
    is_best : Tensor
        1 if no box overlaps some ground-truth box more than this one does, else 0. Boxes that tie
        are all best. A ground-truth box that nothing overlaps has no best box.
    """

    ground_truth_index: Tensor
    iou: Tensor
    is_best: Tensor


def match(F: Any, boxes: Tensor, ground_truth_boxes: Tensor) -> Match:
    """Find for each box the ground-truth box that it overlaps most.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (B, N, 4) in pixels, or (1, N, 4) if all images share these boxes.
    ground_truth_boxes : Tensor
        (B, G, 4) in pixels. Boxes without area, such as padding with -1, match nothing.

    Returns
    -------
    Match
        (B, N) each.
    """
    iou = box_iou(F, boxes, ground_truth_boxes)
    best_iou = F.max(iou, axis=1, keepdims=True)
    reaches_best = F.broadcast_equal(iou, best_iou)
    overlaps = F.broadcast_greater(iou, F.zeros_like(best_iou))
    is_best_pair = reaches_best * overlaps
    return Match(
        ground_truth_index=F.argmax(iou, axis=2),
        iou=F.max(iou, axis=2),
        is_best=F.max(is_best_pair, axis=2),
    )
