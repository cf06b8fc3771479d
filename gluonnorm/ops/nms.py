"""Non-maximum suppression (NMS) with outputs of a fixed size.

The boxes that are kept come first, best first. The remaining rows are padding.
"""

from typing import Any, Optional, Tuple

from gluonnorm.errors import InputError
from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.ops.select import PAD_SCORE, gather, top_k
from gluonnorm.types import Tensor


def nms(
    F: Any, scores: Tensor, boxes: Tensor, iou_thresh: float, offset: float = 0.0
) -> Tuple[Tensor, Tensor]:
    """Suppress boxes that overlap a better one, whatever their classes.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    scores : Tensor
        (..., N) in 0..1; rows with ``PAD_SCORE`` are padding.
    boxes : Tensor
        (..., N, 4) in pixels.
    iou_thresh : float
        A box is dropped if its IoU with a better one is above this.
    offset : float
        What is added to ``x2 - x1`` to get a width: 1 if a box's far corner is its last pixel
        (Detectron), else 0.

    Returns
    -------
    scores : Tensor
        (..., N), ``PAD_SCORE`` in padding.
    boxes : Tensor
        (..., N, 4) in pixels; they have no meaning in padding.
    """
    rows = F.concat(F.expand_dims(scores, axis=-1), _move_far_corner(F, boxes, offset), dim=-1)
    # A threshold between PAD_SCORE and 0 drops the padding and keeps boxes with a score of 0.
    rows = F.contrib.box_nms(
        rows,
        overlap_thresh=iou_thresh,
        valid_thresh=0.5 * PAD_SCORE,
        topk=-1,
        coord_start=1,
        score_index=0,
        id_index=-1,
        force_suppress=True,
    )
    kept_boxes = _move_far_corner(F, F.slice_axis(rows, axis=-1, begin=1, end=5), -offset)
    kept_scores = F.slice_axis(rows, axis=-1, begin=0, end=1).squeeze(axis=-1)
    return kept_scores, kept_boxes


def per_class_nms(
    F: Any,
    scores: Tensor,
    boxes: Tensor,
    iou_thresh: float = 0.5,
    score_thresh: float = 0.05,
    max_detections: int = 100,
    max_candidates: int = 1000,
    offset: float = 0.0,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Suppress boxes that overlap a better one of the same class.

    The cost does not grow with the number of classes: the ``max_candidates`` best of all (RoI,
    class) pairs go through one suppression that compares only boxes of one class. A loop over the
    classes gives the same result, unless more than ``max_candidates`` pairs exceed
    ``score_thresh``. ``ops.nms.best_pairs`` describes how a graph exposes whether they do.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    scores : Tensor
        (B, R, C) in 0..1, the probabilities of the foreground classes.
    boxes : Tensor
        (B, R, C, 4) in pixels.
    iou_thresh : float
        A box is dropped if its IoU with a better one of its class is above this.
    score_thresh : float
        Only pairs above it are considered.
    max_detections : int
        D, the number of rows that are returned.
    max_candidates : int
        The number of pairs that enter the suppression; at least D.
    offset : float
        What is added to ``x2 - x1`` to get a width: 1 if a box's far corner is its last pixel
        (Detectron), else 0.

    Returns
    -------
    ids : Tensor
        (B, D, 1), the foreground class, from 0; -1 in padding.
    scores : Tensor
        (B, D, 1), best first; -1 in padding.
    boxes : Tensor
        (B, D, 4); -1 in padding.

    Raises
    ------
    InputError
        ``max_candidates`` is less than ``max_detections``.
    """
    if max_candidates < max_detections:
        raise InputError(
            f"max_candidates is {max_candidates}, less than max_detections {max_detections}; "
            "raise it"
        )
    pair_scores = F.reshape(scores, (0, -1))
    best_scores, pairs = best_pairs(F, pair_scores, score_thresh, max_candidates)
    # The number of classes is counted inside the graph, because a symbol has no shape.
    num_classes = (F.max(F.contrib.arange_like(scores, axis=2)) + 1).reshape((1, 1))
    roi_index = F.floor(F.broadcast_div(pairs, num_classes))
    ids = pairs - F.broadcast_mul(roi_index, num_classes)
    pair_boxes = gather(F, F.reshape(boxes, (0, -3, 4)), pairs)
    return suppress_pairs(
        F, ids, best_scores, pair_boxes, iou_thresh, score_thresh, max_detections, offset
    )


def best_pairs(
    F: Any,
    scores: Tensor,
    score_thresh: float,
    max_candidates: int,
    row_length: Optional[int] = None,
) -> Tuple[Tensor, Tensor]:
    """Select the best (RoI, class) pairs, and expose in the graph whether any were left out.

    The graph has a node whose output is named ``<prefix>candidates_output``. It holds the scores
    of one pair more than are selected, (B, ``max_candidates`` + 1), with ``PAD_SCORE`` for pairs
    that do not exceed ``score_thresh``. If its last column is above ``score_thresh``, pairs were
    left out.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    scores : Tensor
        (B, N) in 0..1, the probability of each pair.
    score_thresh : float
        Only pairs above it are selected.
    max_candidates : int
        The number of pairs that are returned.
    row_length : int, optional
        N, if the caller knows it. A long row is then not copied.

    Returns
    -------
    scores : Tensor
        (B, max_candidates), best first; ``PAD_SCORE`` in padding.
    pairs : Tensor
        (B, max_candidates), the positions in the row of N pairs.
    """
    # All bad pairs get the same score. A partial sort of equal scores is cheap; in an unlucky
    # order a great many different ones would not be.
    leveled_scores = F.maximum(scores, score_thresh)
    best_scores, pairs = top_k(F, leveled_scores, max_candidates + 1, row_length)
    is_above = best_scores > score_thresh
    padding = F.zeros_like(best_scores) + PAD_SCORE
    best_scores = F.where(is_above, best_scores, padding, name="candidates")
    best_scores = F.slice_axis(best_scores, axis=1, begin=0, end=max_candidates)
    pairs = F.slice_axis(pairs, axis=1, begin=0, end=max_candidates)
    return best_scores, pairs


def suppress_pairs(
    F: Any,
    ids: Tensor,
    scores: Tensor,
    boxes: Tensor,
    iou_thresh: float,
    score_thresh: float,
    max_detections: int,
    offset: float = 0.0,
    across_classes: bool = False,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Suppress selected boxes that overlap a better one of the same class.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    ids : Tensor
        (B, K), the class of each box; K is at least ``max_detections``.
    scores : Tensor
        (B, K) in 0..1, or ``PAD_SCORE``.
    boxes : Tensor
        (B, K, 4) in pixels.
    iou_thresh, score_thresh, max_detections, offset
        As in :func:`per_class_nms`.
    across_classes : bool
        Whether a better box of another class suppresses as well.

    Returns
    -------
    ids, scores, boxes : Tensor
        As in :func:`per_class_nms`.
    """
    id_column = F.expand_dims(ids, axis=-1)
    score_column = F.expand_dims(scores, axis=-1)
    rows = F.concat(id_column, score_column, _move_far_corner(F, boxes, offset), dim=-1)
    rows = F.contrib.box_nms(
        rows,
        overlap_thresh=iou_thresh,
        valid_thresh=score_thresh,
        topk=-1,
        coord_start=2,
        score_index=1,
        id_index=0,
        force_suppress=across_classes,
    )
    rows = F.slice_axis(rows, axis=1, begin=0, end=max_detections)
    kept_ids = F.slice_axis(rows, axis=-1, begin=0, end=1)
    kept_scores = F.slice_axis(rows, axis=-1, begin=1, end=2)
    kept_boxes = F.slice_axis(rows, axis=-1, begin=2, end=6)
    if offset:
        # Only detections are narrowed again: the boxes of padding stay -1.
        is_detection = F.broadcast_like(kept_ids >= 0, kept_boxes)
        kept_boxes = F.where(is_detection, _move_far_corner(F, kept_boxes, -offset), kept_boxes)
    return kept_ids, kept_scores, kept_boxes


def _move_far_corner(F: Any, boxes: Tensor, amount: float) -> Tensor:
    """Move the far corner of boxes (..., 4) outward by an amount in pixels."""
    if not amount:
        return boxes
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    return F.concat(x1, y1, x2 + amount, y2 + amount, dim=-1)
