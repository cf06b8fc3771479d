"""RoIAlign (He et al. 2017, arXiv 1703.06870) from one map or from the levels of a pyramid."""
import math
from typing import Any, List, Sequence

from gluonnorm.ops.boxes import box_area
from gluonnorm.types import Tensor

FAR = -1e4  # pixels; a RoI there samples nothing and gives zeros (CPU ROIAlign corrupts memory for batch index -1)
CANONICAL_SIZE, CANONICAL_LEVEL = 224.0, 4  # a RoI of 224 pixels reads the stride-16 map (Lin et al. 2017, FPN, eq. 1)


def roi_level(F: Any, rois: Tensor, lowest: int, highest: int) -> Tensor:
    """Pyramid level of each RoI: (..., 4) to (..., 1), whole numbers in ``lowest..highest`` (log2 of the stride)."""
    size = F.sqrt(box_area(F, rois))
    level = F.floor(CANONICAL_LEVEL + F.log2(size / CANONICAL_SIZE + 1e-8))
    return F.clip(level, lowest, highest)


def roi_align(F: Any, features: Sequence[Tensor], rois: Tensor, strides: Sequence[int], size: int,
              sample_ratio: int) -> Tensor:
    """Features of each RoI on a ``size`` x ``size`` grid, sampled with half-pixel centres.

    Parameters
    ----------
    features : maps (B, C, h, w), finest first
    rois : (B, R, 4) in pixels of the input
    strides : of the maps, powers of two where there are several; maps coarser than stride 32 are not read
    sample_ratio : samples a bin and axis

    Returns
    -------
    (B * R, C, size, size), images in order
    """
    index = F.contrib.arange_like(rois, axis=0).reshape((-1, 1, 1))
    index = F.broadcast_like(index, F.slice_axis(rois, axis=-1, begin=0, end=1))
    strides = roi_strides(strides)
    levels = [int(math.log2(stride)) for stride in strides]
    chosen = roi_level(F, rois, levels[0], levels[-1]) if len(levels) > 1 else None
    pooled = None
    for feature, stride, level in zip(features, strides, levels):
        boxes = rois - 0.5 * stride  # the operator reads cell centres at whole numbers
        if chosen is not None:
            here = chosen == level
            boxes = F.broadcast_add(F.broadcast_mul(boxes, here), (1 - here) * FAR)
        rows = F.reshape(F.concat(index, boxes, dim=-1), (-1, 5))
        part = F.contrib.ROIAlign(feature, rows, pooled_size=(size, size), spatial_scale=1.0 / stride,
                                  sample_ratio=sample_ratio)
        pooled = part if pooled is None else F.elemwise_add(pooled, part)
    return pooled


def roi_strides(strides: Sequence[int]) -> List[int]:
    """The strides of the maps RoIs are read from: the pyramid's extra level, above 32, serves the RPN only."""
    return [stride for stride in strides if stride <= 32]
