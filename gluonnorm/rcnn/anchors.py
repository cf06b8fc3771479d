"""Anchors, computed inside the graph from the size of each feature map.

No table of anchors limits the size of an image, and none is stored among the weights.
"""

from typing import Any, List, Sequence, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.ops.boxes import image_extent
from gluonnorm.types import Tensor

import numpy as np

MODERN = BoxConvention()
Corners = Tuple[float, float, float, float]


def cell_anchors(
    stride: int,
    sizes: Sequence[float],
    ratios: Sequence[float],
    convention: BoxConvention = MODERN,
) -> np.ndarray:
    """Compute the anchors of the first cell of a feature map.

    Parameters
    ----------
    stride : int
        Stride of the map in pixels; only "legacy" anchors depend on it.
    sizes : sequence of float
        Square roots of the anchors' areas, in pixels.
    ratios : sequence of float
        Height divided by width.
    convention : BoxConvention
        Rounding, origin and order of the anchors.

    Returns
    -------
    numpy.ndarray
        (A, 4) float32 in pixels, where A is ``len(sizes) * len(ratios)``.

    Examples
    --------
    >>> cell_anchors(16, sizes=(32,), ratios=(0.25, 4.0)).tolist()
    [[-32.0, -8.0, 32.0, 8.0], [-8.0, -32.0, 8.0, 32.0]]
    """
    pairs = _size_ratio_pairs(sizes, ratios, convention.anchor_order)
    if convention.anchors == "legacy":
        corners = [_legacy_anchor(stride, size, ratio) for size, ratio in pairs]
    else:
        corners = [_centered_anchor(size, ratio) for size, ratio in pairs]
    anchors = np.array(corners, np.float32)
    return np.round(anchors) if convention.anchors == "rounded" else anchors


def _size_ratio_pairs(
    sizes: Sequence[float], ratios: Sequence[float], order: str
) -> List[Tuple[float, float]]:
    """List the (size, ratio) pairs of a cell; ``order`` names the one that varies slowest."""
    if order == "size":
        return [(size, ratio) for size in sizes for ratio in ratios]
    return [(size, ratio) for ratio in ratios for size in sizes]


def _centered_anchor(size: float, ratio: float) -> Corners:
    """Compute an anchor about the origin (Detectron2, torchvision)."""
    width = size / ratio**0.5
    height = size * ratio**0.5
    return -width / 2, -height / 2, width / 2, height / 2


def _legacy_anchor(window: int, size: float, ratio: float) -> Corners:
    """Compute an anchor with inclusive corners as py-faster-rcnn's ``generate_anchors`` does.

    Its sides are rounded on a square window as wide as the stride, and then scaled.
    """
    window_width = np.round(np.sqrt(window * window / ratio))
    window_height = np.round(window_width * ratio)
    half_width = (window_width * size / window - 1) / 2
    half_height = (window_height * size / window - 1) / 2
    center = (window - 1) / 2
    return center - half_width, center - half_height, center + half_width, center + half_height


def grid_anchors(
    F: Any, feature: Tensor, steps: Tuple[Tensor, Tensor], anchors_of_cell: np.ndarray
) -> Tensor:
    """Compute the anchors of every cell of a feature map.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    feature : Tensor
        (B, C, h, w); only its size is read.
    steps : tuple of Tensor
        Pixels from a cell to the next one down and to the next one right, (1,) each.
    anchors_of_cell : numpy.ndarray
        (A, 4), the anchors of the first cell, in pixels.

    Returns
    -------
    Tensor
        (h * w * A, 4) float32 in pixels; rows ordered by y, then x, then anchor.
    """
    step_down, step_right = steps
    y = F.broadcast_mul(F.contrib.arange_like(feature, axis=2), step_down)
    x = F.broadcast_mul(F.contrib.arange_like(feature, axis=3), step_right)
    left_sides, top_sides, right_sides, bottom_sides = anchors_of_cell.T
    x_pairs = F.expand_dims(_shifted_pairs(F, x, left_sides, right_sides), axis=0)
    y_pairs = F.expand_dims(_shifted_pairs(F, y, top_sides, bottom_sides), axis=1)
    x_grid = F.broadcast_add(x_pairs, F.zeros_like(y_pairs))
    y_grid = F.broadcast_add(F.zeros_like(x_pairs), y_pairs)
    left = F.slice_axis(x_grid, axis=-1, begin=0, end=1)
    right = F.slice_axis(x_grid, axis=-1, begin=1, end=2)
    top = F.slice_axis(y_grid, axis=-1, begin=0, end=1)
    bottom = F.slice_axis(y_grid, axis=-1, begin=1, end=2)
    return F.reshape(F.concat(left, top, right, bottom, dim=-1), (-1, 4))


def _shifted_pairs(
    F: Any, positions: Tensor, near_sides: np.ndarray, far_sides: np.ndarray
) -> Tensor:
    """Add the sides of A anchors, (A,) each, to the positions (n,) of cells: (n, A, 2)."""
    pairs = []
    for near_side, far_side in zip(near_sides, far_sides):
        near = positions + float(near_side)
        far = positions + float(far_side)
        pairs.append(F.stack(near, far, axis=-1))
    return F.stack(*pairs, axis=1)


def pyramid_anchors(
    F: Any,
    image: Tensor,
    features: Sequence[Tensor],
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
    convention: BoxConvention = MODERN,
) -> List[Tensor]:
    """Compute the anchors of every level, in the order of the RPN's logits.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    image : Tensor
        (B, 3, H, W), the padded images; only the size is read.
    features : sequence of Tensor
        The feature map of each level, (B, C, h, w).
    strides : sequence of int
        The stride of each level in pixels.
    sizes : sequence of sequence of float
        The anchor sizes of each level, as in :func:`cell_anchors`.
    ratios : sequence of float
        Height divided by width.
    convention : BoxConvention
        The geometry of the anchors.

    Returns
    -------
    list of Tensor
        The anchors of each level, (h * w * A, 4); see :func:`grid_anchors`.
    """
    anchors = []
    for feature, stride, level_sizes in zip(features, strides, sizes):
        # A feature map may be in oneDNN's blocked layout, and every operator that reads its size
        # first copies it to the plain layout. One channel is copied once instead.
        one_channel = F.slice_axis(feature, axis=1, begin=0, end=1)
        steps = _cell_steps(F, image, one_channel, stride, convention)
        anchors_of_cell = cell_anchors(stride, level_sizes, ratios, convention)
        anchors.append(grid_anchors(F, one_channel, steps, anchors_of_cell))
    return anchors


def _cell_steps(
    F: Any, image: Tensor, feature: Tensor, stride: int, convention: BoxConvention
) -> Tuple[Tensor, Tensor]:
    """Compute the pixels from cell to cell, down and right, (1,) each."""
    image_height, image_width = image_extent(F, image)
    map_height, map_width = image_extent(F, feature)
    if convention.anchor_stride == "nominal":
        return F.ones_like(image_height) * stride, F.ones_like(image_width) * stride
    # A quotient of integers may come out as 15.9999 instead of 16, and floor would return 15. Half
    # a pixel more prevents that.
    step_down = F.floor((image_height + 0.5) / map_height)
    step_right = F.floor((image_width + 0.5) / map_width)
    return step_down, step_right
