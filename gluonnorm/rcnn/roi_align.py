"""RoIAlign (He et al. 2017, arXiv 1703.06870) from one map or from the levels of a pyramid."""
import math
from typing import Any, List, Sequence, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.types import Tensor

FAR = -1e4  # pixels; a RoI there samples nothing and gives zeros (CPU ROIAlign corrupts memory for batch index -1)
FAR_AWAY = (FAR, FAR, FAR + 32, FAR + 32)  # it has a size on every map, and a small one: samples may grow with RoIs
SMALLEST = 1e-2  # pixels; the operator aborts on aligned RoIs without width or height
PARTS = 16  # of the channels; a map of 256 channels is too large for a cache, 16 of them are not
CANONICAL_SIZE, CANONICAL_LEVEL = 224.0, 4  # a RoI of 224 pixels reads the stride-16 map (Lin et al. 2017, FPN, eq. 1)


def roi_level(F: Any, rois: Tensor, lowest: int, highest: int, convention: BoxConvention) -> Tensor:
    """Pyramid level of each RoI: (..., 4) to (..., 1), whole numbers in ``lowest..highest`` (log2 of the stride)."""
    x1, y1, x2, y2 = split_coordinates(F, rois)
    width, height = (F.maximum(side + convention.level_offset, 0) for side in (x2 - x1, y2 - y1))
    size = F.maximum(F.sqrt(width * height) / CANONICAL_SIZE, 1e-6)
    level = F.floor(CANONICAL_LEVEL + F.log2(size + convention.level_eps_inside) + convention.level_eps)
    return F.clip(level, lowest, highest)


def roi_align(F: Any, features: Sequence[Tensor], rois: Tensor, strides: Sequence[int], size: int,
              sample_ratio: int, convention: BoxConvention, inside: bool = False, channels: int = 1) -> Tensor:
    """Features of each RoI on a ``size`` x ``size`` grid.

    Parameters
    ----------
    features : maps (B, C, h, w), finest first
    rois : (B, R, 4) in pixels of the input
    strides : of the maps, powers of two where there are several; maps coarser than stride 32 are not read
    sample_ratio : samples a bin and axis; 0 takes one a cell, so more for larger RoIs
    convention : which level a RoI reads, and where the centre of a cell lies
    inside : whether no RoI leaves the input; a pyramid is then read in one go
    channels : C where no gradient is wanted (MXNet cannot take a convolution's through the reshapes this needs); a
        pyramid of many channels is then read faster

    Returns
    -------
    (B * R, C, size, size), images in order
    """
    index = F.contrib.arange_like(rois, axis=0).reshape((-1, 1, 1))
    images = F.max(index, keepdims=True) + 1
    index = F.broadcast_like(index, F.slice_axis(rois, axis=-1, begin=0, end=1))
    strides = roi_strides(strides)
    levels = [int(math.log2(stride)) for stride in strides]
    x1, y1, x2, y2 = split_coordinates(F, rois)
    corners = (x1, y1, F.maximum(x2, x1 + SMALLEST), F.maximum(y2, y1 + SMALLEST))

    def read(feature: Tensor, index: Tensor, corners: Sequence[Tensor], stride: int, parts: int = 1) -> Tensor:
        rows = F.reshape(F.concat(index, *corners, dim=-1), (-1, 5))
        if parts > 1:
            feature, rows = _in_parts(F, feature, rows, channels, parts)
        pooled = F.contrib.ROIAlign(feature, rows, pooled_size=(size, size), spatial_scale=1.0 / stride,
                                    sample_ratio=sample_ratio, aligned=convention.roi_aligned)
        if parts > 1:
            pooled = F.reshape(F.reshape(pooled, (-4, parts, -1, 0, 0, 0)), (0, 0, -1))
            pooled = F.reshape(F.transpose(pooled, (1, 0, 2)), (0, -1, size, size))
        return pooled

    if len(levels) == 1:
        return read(features[0], index, corners, strides[0])
    parts = math.gcd(channels, PARTS)
    chosen = roi_level(F, rois, levels[0], levels[-1], convention)
    if inside:
        canvas, starts = _canvas(F, features[:len(levels)])
        scale = sum((chosen == level) * (1 / stride) for stride, level in zip(strides, levels))
        start = sum(F.broadcast_mul(chosen == level, row) for level, row in zip(levels, starts))
        x1, y1, x2, y2 = (corner * scale for corner in corners)
        index = index + F.broadcast_mul(chosen > levels[0], images)
        return read(canvas, index, (x1, y1 + start, x2, y2 + start), 1, parts)
    pooled = None
    for feature, stride, level in zip(features, strides, levels):
        here = chosen == level
        boxes = [corner * here + (1 - here) * far for corner, far in zip(corners, FAR_AWAY)]
        part = read(feature, index, boxes, stride, parts)
        pooled = part if pooled is None else F.elemwise_add(pooled, part)
    return pooled


def _in_parts(F: Any, feature: Tensor, rows: Tensor, channels: int, parts: int) -> Tuple[Tensor, Tensor]:
    """Maps (B, C, h, w) as (B * parts, C / parts, h, w), and RoIs (N, 5) for each part in turn, (parts * N, 5).

    The operator takes one RoI after the other, and of each all channels. A part of the channels of a large map is one
    that the processor's cache holds while all RoIs are read from it.
    """
    feature = F.reshape(feature, (-1, channels // parts, 0, 0))
    rows = F.repeat(F.expand_dims(rows, axis=0), repeats=parts, axis=0)
    index, corners = (F.slice_axis(rows, axis=-1, begin=begin, end=end) for begin, end in ((0, 1), (1, 5)))
    index = F.broadcast_add(index * parts, F.contrib.arange_like(rows, axis=0).reshape((-1, 1, 1)))
    return feature, F.reshape(F.concat(index, corners, dim=-1), (-1, 5))


def _canvas(F: Any, features: Sequence[Tensor]) -> Tuple[Tensor, List[Tensor]]:
    """All levels in one array, for one call of an operator that takes as long for a RoI that lies elsewhere.

    The finest map (B, C, h, w) fills one image of (2 * B, C, h + m, w), the others stand below each other in a second
    one. Every map is framed with its own edge, so that what lies up to a cell outside reads as it does on a map that
    ends there. Right and lower end of the finest are the array's own: there the operator makes of a RoI narrower than
    a cell one that reads beyond, zeros (RoIs of the coarser levels are never that narrow).

    Returns the canvas and, of each level, the row it starts in, (1, 1, 1).
    """
    margin = 2 * len(features)  # what halves rounded up and edges need at most, in rows
    finest = F.Pad(features[0], mode="edge", pad_width=(0, 0, 0, 0, margin, 0, 0, 0))
    like = F.slice_axis(finest, axis=1, begin=0, end=1)  # for its size alone: it is held for the backward pass
    column, starts, row = [], [], 1.0
    for times, feature in enumerate(features[1:], start=1):
        framed = F.Pad(feature, mode="edge", pad_width=(0, 0, 0, 0, 1, 1, 0, 1))
        # What comes behind a map's frame is never read; copies are at hand.
        column.append(F.slice_like(F.concat(*[framed] * 2 ** times, dim=3), like, axes=(3,)))
        starts.append(row)
        row = row + F.max(F.contrib.arange_like(framed, axis=2)).reshape((1, 1, 1)) + 1
    others = F.slice_like(F.concat(*column, column[-1], dim=2), like, axes=(2,))
    first = F.ones_like(row)
    return F.concat(finest, others, dim=0), [first * margin, first, *starts[1:]]


def roi_strides(strides: Sequence[int]) -> List[int]:
    """The strides of the maps RoIs are read from: the pyramid's extra level, above 32, serves the RPN only."""
    return [stride for stride in strides if stride <= 32]
