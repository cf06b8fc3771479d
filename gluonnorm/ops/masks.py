"""Selection and cropping of masks inside the graph."""

from typing import Any, Tuple

from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.ops.select import gather
from gluonnorm.types import Tensor

SAMPLES = 4  # samples of a mask in each cell of a crop, along each axis
# A box of padding has sides of 0 pixels. With this many pixels as the shortest side its scale stays
# finite.
LEAST_SIDE = 1e-3


def pick_class(F: Any, masks: Tensor, ids: Tensor) -> Tensor:
    """Select from the masks of all classes that of each row's own class.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    masks : Tensor
        (N, C, M, M), a mask for each class.
    ids : Tensor
        (N,), the class of each row; a negative id, as padding has it, selects class 0.

    Returns
    -------
    Tensor
        (N, M, M).
    """
    rows = F.contrib.arange_like(ids, axis=0)
    return F.gather_nd(masks, F.stack(rows, F.maximum(ids, 0), axis=0))


def crop_targets(
    F: Any, masks: Tensor, boxes: Tensor, ground_truth_index: Tensor, rois: Tensor, size: int
) -> Tensor:
    """Crop ground-truth masks to RoIs: the targets of a mask head (He et al. 2017, Mask R-CNN).

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    masks : Tensor
        (B, G, S, S) in 0..1, the mask of each ground-truth object on a grid over its box.
    boxes : Tensor
        (B, G, 4), the ground-truth boxes in pixels.
    ground_truth_index : Tensor
        (B, P), the index in 0..G - 1 of the object that each of P RoIs belongs to.
    rois : Tensor
        (B, P, 4) in pixels.
    size : int
        Cells on a side of the result.

    Returns
    -------
    Tensor
        (B, P, size, size) of 0 and 1. A cell is 1 if the mask covers at least half of it. Outside
        the ground-truth box every cell is 0.
    """
    crops = F.expand_dims(F.reshape(gather(F, masks, ground_truth_index), (-3, 0, 0)), axis=1)
    # ROIAlign repeats the edge of a map up to a cell beyond it. With a border of zeros a mask ends
    # at its box.
    border = (0, 0, 0, 0, 1, 1, 1, 1)
    crops = F.Pad(crops, mode="constant", constant_value=0, pad_width=border)
    matched_boxes = gather(F, boxes, ground_truth_index)
    x1, y1, x2, y2 = _in_mask_cells(F, masks, matched_boxes, rois)
    crop_index = F.contrib.arange_like(F.reshape(x1, (-1,)), axis=0)
    crop_index = F.reshape(crop_index, (-1, 1))
    corners = F.reshape(F.concat(x1, y1, x2, y2, dim=-1), (-1, 4))
    rows = F.concat(crop_index, corners, dim=-1)
    covered = F.contrib.ROIAlign(
        crops, rows, pooled_size=(size, size), spatial_scale=1.0, sample_ratio=SAMPLES
    )
    covered = F.reshape_like(
        covered, ground_truth_index, lhs_begin=0, lhs_end=2, rhs_begin=0, rhs_end=2
    )
    return covered >= 0.5


def _in_mask_cells(
    F: Any, masks: Tensor, boxes: Tensor, rois: Tensor
) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Convert RoIs (B, P, 4) from pixels to cells of the masks over the boxes (B, P, 4).

    Returns x1, y1, x2 and y2 as ROIAlign counts on masks with a border, (B, P, 1) each.
    """
    mask_cells = F.max(F.contrib.arange_like(masks, axis=3)) + 1
    box_x1, box_y1, box_x2, box_y2 = split_coordinates(F, boxes)
    x1, y1, x2, y2 = split_coordinates(F, rois)
    box_width = box_x2 - box_x1
    box_height = box_y2 - box_y1
    scale_x = F.broadcast_div(mask_cells, F.maximum(box_width, LEAST_SIDE))
    scale_y = F.broadcast_div(mask_cells, F.maximum(box_height, LEAST_SIDE))
    # In ROIAlign the center of the first cell has the coordinate 0, not 0.5, and the border moves
    # the mask by one cell: the coordinates change by 1 - 0.5.
    x1 = (x1 - box_x1) * scale_x + 0.5
    x2 = (x2 - box_x1) * scale_x + 0.5
    y1 = (y1 - box_y1) * scale_y + 0.5
    y2 = (y2 - box_y1) * scale_y + 0.5
    return x1, y1, x2, y2
