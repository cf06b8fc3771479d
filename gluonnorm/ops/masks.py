"""Masks inside the graph."""
from typing import Any

from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.ops.select import gather
from gluonnorm.types import Tensor


def pick_class(F: Any, masks: Tensor, ids: Tensor) -> Tensor:
    """The map of each row's own class: (N, C, M, M) and (N,) class ids to (N, M, M); a negative id reads class 0."""
    rows = F.contrib.arange_like(ids, axis=0)
    return F.gather_nd(masks, F.stack(rows, F.maximum(ids, 0), axis=0))


def crop_targets(F: Any, masks: Tensor, boxes: Tensor, truth: Tensor, rois: Tensor, size: int) -> Tensor:
    """What a mask head should say of each RoI: its truth's mask, cut to the RoI.

    Parameters
    ----------
    masks : (B, G, S, S) in 0..1, each truth's mask on a grid over the truth's own box
    boxes : (B, G, 4) these boxes in pixels
    truth : (B, P) index of each RoI's truth
    rois : (B, P, 4)
    size : cells a side of the result

    Returns
    -------
    (B, P, size, size) of 0 and 1; a cell is 1 where at least half of it is mask. Outside the truth's box all is 0.
    """
    crops = F.expand_dims(F.reshape(gather(F, masks, truth), (-3, 0, 0)), axis=1)  # (B * P, 1, S, S)
    crops = F.Pad(crops, mode="constant", constant_value=0, pad_width=(0, 0, 0, 0, 1, 1, 1, 1))
    cells = F.max(F.contrib.arange_like(masks, axis=3)) + 1  # S
    bx1, by1, bx2, by2 = split_coordinates(F, gather(F, boxes, truth))
    x1, y1, x2, y2 = split_coordinates(F, rois)
    per_x, per_y = (F.broadcast_div(cells, F.maximum(side, 1e-3)) for side in (bx2 - bx1, by2 - by1))
    # Cell centres of the operator are whole numbers; the border of zeros moves the mask by one cell.
    x1, x2 = ((corner - bx1) * per_x + 0.5 for corner in (x1, x2))
    y1, y2 = ((corner - by1) * per_y + 0.5 for corner in (y1, y2))
    index = F.reshape(F.contrib.arange_like(F.reshape(x1, (-1,)), axis=0), (-1, 1))
    rows = F.concat(index, F.reshape(F.concat(x1, y1, x2, y2, dim=-1), (-1, 4)), dim=-1)
    cut = F.contrib.ROIAlign(crops, rows, pooled_size=(size, size), spatial_scale=1.0, sample_ratio=4)
    return F.reshape_like(cut, truth, lhs_begin=0, lhs_end=2, rhs_begin=0, rhs_end=2) >= 0.5
