"""Matching of boxes with ground-truth boxes by their overlap."""

from typing import Any, NamedTuple

from gluonnorm.ops.boxes import box_iou, split_coordinates
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


def match(F: Any, boxes: Tensor, ground_truth_boxes: Tensor, offset: float = 0.0) -> Match:
    """Find for each box the ground-truth box that it overlaps most.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (B, N, 4) in pixels, or (1, N, 4) if all images share these boxes.
    ground_truth_boxes : Tensor
        (B, G, 4) in pixels. Boxes with ``x2 = x1``, such as padding with -1, match nothing.
    offset : float
        1 if the far corner of a box is its last pixel (Detectron), so that areas and overlaps count
        one pixel more along each axis; else 0.

    Returns
    -------
    Match
        (B, N) each.
    """
    if offset:
        boxes = _with_last_pixel(F, boxes, offset)
        # The loader drops ground truth with x2 = x1, so only padding is that narrow. With an area
        # of one pixel it would match anchors that reach over the border of the image.
        x1, _, x2, _ = split_coordinates(F, ground_truth_boxes)
        ground_truth_boxes = _with_last_pixel(F, ground_truth_boxes, offset * (x2 > x1))
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


def _with_last_pixel(F: Any, boxes: Tensor, offset: Any) -> Tensor:
    """Add ``offset``, a number or (..., 1), to the far corners of boxes (..., 4)."""
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    return F.concat(x1, y1, x2 + offset, y2 + offset, dim=-1)
