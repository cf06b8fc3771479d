"""RoIAlign (He et al. 2017, arXiv 1703.06870) from one map or from the levels of a pyramid."""
import math
from typing import Any, List, Sequence

from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.rcnn.convention import BoxConvention
from gluonnorm.types import Tensor

FAR = -1e4  # pixels; a RoI there samples nothing and gives zeros (CPU ROIAlign corrupts memory for batch index -1)
FAR_AWAY = (FAR, FAR, FAR + 32, FAR + 32)  # it has a size on every map, and a small one: samples may grow with RoIs
SMALLEST = 1e-2  # pixels; the operator aborts on aligned RoIs without width or height
CANONICAL_SIZE, CANONICAL_LEVEL = 224.0, 4  # a RoI of 224 pixels reads the stride-16 map (Lin et al. 2017, FPN, eq. 1)


def roi_level(F: Any, rois: Tensor, lowest: int, highest: int, convention: BoxConvention) -> Tensor:
    """Pyramid level of each RoI: (..., 4) to (..., 1), whole numbers in ``lowest..highest`` (log2 of the stride)."""
    x1, y1, x2, y2 = split_coordinates(F, rois)
    width, height = (F.maximum(side + convention.level_offset, 0) for side in (x2 - x1, y2 - y1))
    size = F.maximum(F.sqrt(width * height) / CANONICAL_SIZE, 1e-6)
    level = F.floor(CANONICAL_LEVEL + F.log2(size + convention.level_eps_inside) + convention.level_eps)
    return F.clip(level, lowest, highest)


def roi_align(F: Any, features: Sequence[Tensor], rois: Tensor, strides: Sequence[int], size: int,
              sample_ratio: int, convention: BoxConvention) -> Tensor:
    """Features of each RoI on a ``size`` x ``size`` grid.

    Parameters
    ----------
    features : maps (B, C, h, w), finest first
    rois : (B, R, 4) in pixels of the input
    strides : of the maps, powers of two where there are several; maps coarser than stride 32 are not read
    sample_ratio : samples a bin and axis; 0 takes one a cell, so more for larger RoIs
    convention : which level a RoI reads, and where the centre of a cell lies

    Returns
    -------
    (B * R, C, size, size), images in order
    """
    index = F.contrib.arange_like(rois, axis=0).reshape((-1, 1, 1))
    index = F.broadcast_like(index, F.slice_axis(rois, axis=-1, begin=0, end=1))
    strides = roi_strides(strides)
    levels = [int(math.log2(stride)) for stride in strides]
    chosen = roi_level(F, rois, levels[0], levels[-1], convention) if len(levels) > 1 else None
    x1, y1, x2, y2 = split_coordinates(F, rois)
    corners = (x1, y1, F.maximum(x2, x1 + SMALLEST), F.maximum(y2, y1 + SMALLEST))
    pooled = None
    for feature, stride, level in zip(features, strides, levels):
        boxes = corners
        if chosen is not None:
            here = chosen == level
            boxes = tuple(corner * here + (1 - here) * far for corner, far in zip(corners, FAR_AWAY))
        rows = F.reshape(F.concat(index, *boxes, dim=-1), (-1, 5))
        part = F.contrib.ROIAlign(feature, rows, pooled_size=(size, size), spatial_scale=1.0 / stride,
                                  sample_ratio=sample_ratio, aligned=convention.roi_aligned)
        pooled = part if pooled is None else F.elemwise_add(pooled, part)
    return pooled


def roi_strides(strides: Sequence[int]) -> List[int]:
    """The strides of the maps RoIs are read from: the pyramid's extra level, above 32, serves the RPN only."""
    return [stride for stride in strides if stride <= 32]
