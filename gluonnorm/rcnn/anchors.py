"""Anchors, computed in the graph from the feature map at hand: no table limits the image, none is in the weights."""
from typing import Any, List, Sequence, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.ops.boxes import image_extent
from gluonnorm.types import Tensor

import numpy as np

MODERN = BoxConvention()


def cell_anchors(stride: int, sizes: Sequence[float], ratios: Sequence[float],
                 convention: BoxConvention = MODERN) -> np.ndarray:
    """The anchors of the cell whose origin is (0, 0): (A, 4) float32 with A = len(sizes) * len(ratios).

    ``sizes`` are the square roots of the areas in pixels, ``ratios`` are height / width. Rounding, origin and order
    are the convention's; ``stride`` matters to "legacy" anchors only.
    """
    if convention.anchor_order == "size":
        pairs = [(size, ratio) for size in sizes for ratio in ratios]
    else:
        pairs = [(size, ratio) for ratio in ratios for size in sizes]
    if convention.anchors == "legacy":
        return np.array([_legacy(stride, *pair) for pair in pairs], np.float32)
    sides = [(size / ratio ** 0.5, size * ratio ** 0.5) for size, ratio in pairs]
    corners = np.array([(-w / 2, -h / 2, w / 2, h / 2) for w, h in sides], np.float32)
    return np.round(corners) if convention.anchors == "rounded" else corners


def _legacy(window: int, size: float, ratio: float) -> Tuple[float, float, float, float]:
    """Sides rounded on a square window, then scaled; ends are inclusive (py-faster-rcnn's generate_anchors)."""
    width = np.round(np.sqrt(window * window / ratio))
    half_w = (width * size / window - 1) / 2
    half_h = (np.round(width * ratio) * size / window - 1) / 2
    centre = (window - 1) / 2
    return centre - half_w, centre - half_h, centre + half_w, centre + half_h


def grid_anchors(F: Any, feature: Tensor, steps: Tuple[Any, Any], cells: np.ndarray) -> Tensor:
    """The anchors of every cell of a map.

    Parameters
    ----------
    feature : (B, C, h, w), only its size matters
    steps : pixels from cell to cell, down and right, as tensors of shape (1,)
    cells : (A, 4), of the first cell

    Returns
    -------
    (h * w * A, 4) float32; rows ordered by y, x, anchor
    """
    down, right = steps
    y = F.broadcast_mul(F.contrib.arange_like(feature, axis=2), down)
    x = F.broadcast_mul(F.contrib.arange_like(feature, axis=3), right)
    columns = F.stack(*[F.stack(x + float(x1), x + float(x2), axis=-1) for x1, _, x2, _ in cells], axis=1)
    rows = F.stack(*[F.stack(y + float(y1), y + float(y2), axis=-1) for _, y1, _, y2 in cells], axis=1)
    columns, rows = F.expand_dims(columns, axis=0), F.expand_dims(rows, axis=1)
    columns, rows = (F.broadcast_add(columns, F.zeros_like(rows)), F.broadcast_add(F.zeros_like(columns), rows))
    left, right = (F.slice_axis(columns, axis=-1, begin=i, end=i + 1) for i in (0, 1))
    top, bottom = (F.slice_axis(rows, axis=-1, begin=i, end=i + 1) for i in (0, 1))
    return F.reshape(F.concat(left, top, right, bottom, dim=-1), (-1, 4))


def pyramid_anchors(F: Any, image: Tensor, features: Sequence[Tensor], strides: Sequence[int],
                    sizes: Sequence[Sequence[float]], ratios: Sequence[float],
                    convention: BoxConvention = MODERN) -> List[Tensor]:
    """:func:`grid_anchors` of each level of a (padded) image (B, 3, H, W), in the order of the RPN's logits."""
    anchors = []
    for feature, stride, level_sizes in zip(features, strides, sizes):
        # A map may lie in oneDNN's layout, and whoever asks for its size then pays for a plain copy: once is enough.
        feature = F.slice_axis(feature, axis=1, begin=0, end=1)
        steps = _steps(F, image, feature, stride, convention)
        anchors.append(grid_anchors(F, feature, steps, cell_anchors(stride, level_sizes, ratios, convention)))
    return anchors


def _steps(F: Any, image: Tensor, feature: Tensor, stride: int, convention: BoxConvention) -> Tuple[Tensor, Tensor]:
    pairs = zip(image_extent(F, image), image_extent(F, feature))
    if convention.anchor_stride == "nominal":
        return tuple(F.ones_like(side) * stride for side, _ in pairs)  # type: ignore[return-value]
    return tuple(F.floor((side + 0.5) / cells) for side, cells in pairs)  # type: ignore[return-value]
