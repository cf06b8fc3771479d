"""Non-maximum suppression with outputs of fixed size: kept rows first, best first, the rest -1."""
from typing import Any, Optional, Tuple

from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.ops.select import FILL, gather, top_k
from gluonnorm.types import Tensor


def nms(F: Any, scores: Tensor, boxes: Tensor, iou_thresh: float, offset: float = 0.0) -> Tuple[Tensor, Tensor]:
    """Class-agnostic suppression over the last row axis.

    Parameters
    ----------
    scores : (..., N) probabilities; rows of ``FILL`` are no boxes
    boxes : (..., N, 4)
    offset : 1 where a box's far corner is its last pixel (Detectron)

    Returns
    -------
    scores : (..., N), boxes : (..., N, 4)
    """
    rows = F.concat(F.expand_dims(scores, axis=-1), _widened(F, boxes, offset), dim=-1)
    rows = F.contrib.box_nms(rows, overlap_thresh=iou_thresh, valid_thresh=0.5 * FILL, topk=-1, coord_start=1,
                             score_index=0, id_index=-1, force_suppress=True)
    boxes = _widened(F, F.slice_axis(rows, axis=-1, begin=1, end=5), -offset)
    return F.slice_axis(rows, axis=-1, begin=0, end=1).squeeze(axis=-1), boxes


def per_class_nms(F: Any, scores: Tensor, boxes: Tensor, iou_thresh: float = 0.5, score_thresh: float = 0.05,
                  max_detections: int = 100, max_candidates: int = 1000,
                  offset: float = 0.0) -> Tuple[Tensor, Tensor, Tensor]:
    """Suppression within each class, at a cost that does not grow with the classes.

    The ``max_candidates`` best of all (RoI, class) pairs go through one suppression that only compares boxes of
    one class. The result is that of a loop over the classes whenever no more pairs than that exceed
    ``score_thresh``; :func:`best_pairs` says how a graph shows whether they do.

    Parameters
    ----------
    scores : (B, R, C) probabilities of the foreground classes
    boxes : (B, R, C, 4)
    iou_thresh : a box is dropped if its IoU with a better one of its class is above this
    score_thresh : pairs at or below are not considered
    max_detections : D, rows returned
    max_candidates : pairs that enter the suppression; at least D
    offset : 1 where a box's far corner is its last pixel (Detectron)

    Returns
    -------
    ids : (B, D, 1), scores : (B, D, 1), boxes : (B, D, 4); -1 where there is no detection
    """
    if max_candidates < max_detections:
        raise ValueError(f"max_candidates is {max_candidates}, less than max_detections {max_detections}; raise it")
    values, pairs = best_pairs(F, F.reshape(scores, (0, -1)), score_thresh, max_candidates)
    num_classes = (F.max(F.contrib.arange_like(scores, axis=2)) + 1).reshape((1, 1))
    ids = pairs - F.broadcast_mul(F.floor(F.broadcast_div(pairs, num_classes)), num_classes)
    return suppress_pairs(F, ids, values, gather(F, F.reshape(boxes, (0, -3, 4)), pairs), iou_thresh, score_thresh,
                          max_detections, offset)


def best_pairs(F: Any, scores: Tensor, score_thresh: float, max_candidates: int,
               known: Optional[int] = None) -> Tuple[Tensor, Tensor]:
    """The ``max_candidates`` best of all pairs.

    One value more than these is taken, in a node of its own: ``<prefix>candidates_output`` among a graph's internals,
    (B, max_candidates + 1), ``FILL`` where no pair exceeds ``score_thresh``. Where its last column is above that,
    the choice has cut pairs off.

    Parameters
    ----------
    scores : (B, N) probabilities
    known : N where the caller knows it

    Returns
    -------
    values : (B, max_candidates), best first, ``FILL`` where there is none
    pairs : (B, max_candidates) positions in the row
    """
    # Equal scores cost a partial sort nothing, so that a great many bad pairs in an unlucky order are no trouble.
    values, pairs = top_k(F, F.maximum(scores, score_thresh), max_candidates + 1, known)
    values = F.where(values > score_thresh, values, F.zeros_like(values) + FILL, name="candidates")
    values, pairs = (F.slice_axis(column, axis=1, begin=0, end=max_candidates) for column in (values, pairs))
    return values, pairs


def suppress_pairs(F: Any, ids: Tensor, scores: Tensor, boxes: Tensor, iou_thresh: float, score_thresh: float,
                   max_detections: int, offset: float = 0.0) -> Tuple[Tensor, Tensor, Tensor]:
    """Suppression within each class of K chosen boxes: ids (B, K), scores (B, K) and boxes (B, K, 4), K at least D.

    The settings and the result are those of :func:`per_class_nms`.
    """
    rows = F.concat(F.expand_dims(ids, axis=-1), F.expand_dims(scores, axis=-1), _widened(F, boxes, offset), dim=-1)
    rows = F.contrib.box_nms(rows, overlap_thresh=iou_thresh, valid_thresh=score_thresh, topk=-1, coord_start=2,
                             score_index=1, id_index=0, force_suppress=False)
    rows = F.slice_axis(rows, axis=1, begin=0, end=max_detections)
    ids, scores = (F.slice_axis(rows, axis=-1, begin=i, end=i + 1) for i in (0, 1))
    boxes = F.slice_axis(rows, axis=-1, begin=2, end=6)
    if offset:  # the padding stays -1
        boxes = F.where(F.broadcast_like(ids >= 0, boxes), _widened(F, boxes, -offset), boxes)
    return ids, scores, boxes


def _widened(F: Any, boxes: Tensor, by: float) -> Tensor:
    if not by:
        return boxes
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    return F.concat(x1, y1, x2 + by, y2 + by, dim=-1)
