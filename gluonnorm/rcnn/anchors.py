"""Anchors, computed in the graph from the feature map at hand: no table limits the image, none is in the weights."""
import math
from typing import Any, List, Sequence

from gluonnorm.types import Tensor


def grid_anchors(F: Any, feature: Tensor, stride: int, sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Anchors of one level, centred on the multiples of its stride (Detectron2's convention, nothing rounded).

    Parameters
    ----------
    feature : (B, C, h, w), only its size matters
    stride : pixels between neighbouring cells
    sizes : square roots of the anchors' areas, in pixels
    ratios : height / width

    Returns
    -------
    (h * w * A, 4) float32 with A = len(sizes) * len(ratios); rows ordered by y, x, size, ratio
    """
    halves = [(0.5 * size / math.sqrt(ratio), 0.5 * size * math.sqrt(ratio)) for size in sizes for ratio in ratios]
    x = F.contrib.arange_like(feature, axis=3) * stride
    y = F.contrib.arange_like(feature, axis=2) * stride
    columns = F.expand_dims(F.stack(*[F.stack(x - half, x + half, axis=-1) for half, _ in halves], axis=1), axis=0)
    rows = F.expand_dims(F.stack(*[F.stack(y - half, y + half, axis=-1) for _, half in halves], axis=1), axis=1)
    columns, rows = (F.broadcast_add(columns, F.zeros_like(rows)), F.broadcast_add(F.zeros_like(columns), rows))
    left, right = (F.slice_axis(columns, axis=-1, begin=i, end=i + 1) for i in (0, 1))
    top, bottom = (F.slice_axis(rows, axis=-1, begin=i, end=i + 1) for i in (0, 1))
    return F.reshape(F.concat(left, top, right, bottom, dim=-1), (-1, 4))


def pyramid_anchors(F: Any, features: Sequence[Tensor], strides: Sequence[int], sizes: Sequence[Sequence[float]],
                    ratios: Sequence[float]) -> List[Tensor]:
    """:func:`grid_anchors` of each level, in the order of the RPN's logits."""
    return [grid_anchors(F, feature, stride, level_sizes, ratios)
            for feature, stride, level_sizes in zip(features, strides, sizes)]
