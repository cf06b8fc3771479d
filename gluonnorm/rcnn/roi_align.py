"""RoIAlign (He et al. 2017, arXiv 1703.06870) from one map or from the levels of a pyramid."""

import math
from typing import Any, List, NamedTuple, Sequence, Tuple

from gluonnorm.convention import BoxConvention
from gluonnorm.errors import InputError
from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.types import Tensor

# Strides of the maps that RoIs are read from. The coarser maps of a pyramid, such as FPN's stride
# 64, serve the RPN only (Lin et al. 2017, FPN, section 4.2).
ROI_STRIDES = (1, 2, 4, 8, 16, 32)
# A RoI of 224 pixels is read from level 4, the map of stride 16 (Lin et al. 2017, FPN, equation 1).
CANONICAL_SIZE = 224.0
CANONICAL_LEVEL = 4
LEAST_RELATIVE_SIZE = 1e-6  # of the canonical size; the logarithm of an empty RoI stays finite
# MXNet's ROIAlign aborts the process on an aligned RoI without width or height, so every RoI is
# made at least this many pixels wide and high.
LEAST_SIDE = 1e-2
# A RoI with these corners is far outside the image and reads zeros. Other codebases mark a RoI that
# reads nothing by a batch index of -1, for which the CPU operator of MXNet 1.9.1 returns
# uninitialized memory and sets a wrong element to 0. The RoI has some width on every map, because
# of the rule above, and only 32 pixels of it, because the number of samples may grow with the size.
OUTSIDE = (-1e4, -1e4, -1e4 + 32, -1e4 + 32)
# A map of 256 channels is too large for a processor's cache; a part of 16 channels fits.
CHANNEL_PARTS = 16

Corners = Sequence[Tensor]


class _Sampling(NamedTuple):
    """How each RoI is sampled.

    Attributes
    ----------
    size : int
        Cells on a side of the result.
    sample_ratio : int
        Samples in a cell along each axis; 0 adapts the number to the RoI.
    aligned : bool
        Whether cell centers are at half coordinates.
    channels : int
        Channels of the maps; 1 if they are not known.
    parts : int
        Into how many parts the channels are split.
    """

    size: int
    sample_ratio: int
    aligned: bool
    channels: int = 1
    parts: int = 1


def roi_strides(strides: Sequence[int]) -> List[int]:
    """Select from a backbone's strides those of the maps that RoIs are read from.

    Parameters
    ----------
    strides : sequence of int
        The strides of all maps in pixels, finest first.

    Returns
    -------
    list of int
        The strides that are at most the largest of ``ROI_STRIDES``.

    Raises
    ------
    InputError
        No stride is left, or :func:`roi_align` cannot read maps of these strides.

    Examples
    --------
    >>> roi_strides((4, 8, 16, 32, 64))
    [4, 8, 16, 32]
    """
    selected = [stride for stride in strides if stride <= ROI_STRIDES[-1]]
    # Without any selected stride, the message names a stride of the backbone.
    _check_strides(selected or strides)
    return selected


def _check_strides(strides: Sequence[int]) -> None:
    """Raise InputError unless all are ``ROI_STRIDES``, each twice the one before it."""
    accepted = ", ".join(str(stride) for stride in ROI_STRIDES)
    if not strides:
        raise InputError(f"RoIs need a map to be read from; give strides out of {accepted}")
    for stride in strides:
        if stride not in ROI_STRIDES:
            raise InputError(
                f"RoIs cannot be read from a map of stride {stride!r}; give one of {accepted}"
            )
    for finer, coarser in zip(strides, strides[1:]):
        if coarser != 2 * finer:
            raise InputError(
                f"RoIs cannot be read from maps of strides {finer} and {coarser} in a row; give "
                f"strides out of {accepted}, each twice the one before it"
            )


def roi_level(F: Any, rois: Tensor, lowest: int, highest: int, convention: BoxConvention) -> Tensor:
    """Compute the pyramid level that each RoI is read from (Lin et al. 2017, FPN, equation 1).

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    rois : Tensor
        (..., 4) in pixels.
    lowest, highest : int
        The finest and the coarsest level; a level is the binary logarithm of a stride.
    convention : BoxConvention
        The small numbers that codebases add to the formula.

    Returns
    -------
    Tensor
        (..., 1), integers in ``lowest``..``highest``.
    """
    x1, y1, x2, y2 = split_coordinates(F, rois)
    width = x2 - x1
    height = y2 - y1
    width = F.maximum(width + convention.level_offset, 0)
    height = F.maximum(height + convention.level_offset, 0)
    relative_size = F.sqrt(width * height) / CANONICAL_SIZE
    relative_size = F.maximum(relative_size, LEAST_RELATIVE_SIZE)
    octaves = F.log2(relative_size + convention.level_eps_inside)
    level = F.floor(CANONICAL_LEVEL + octaves + convention.level_eps)
    return F.clip(level, lowest, highest)


def roi_align(
    F: Any,
    features: Sequence[Tensor],
    rois: Tensor,
    strides: Sequence[int],
    size: int,
    sample_ratio: int,
    convention: BoxConvention,
    inside: bool = False,
    channels: int = 1,
) -> Tensor:
    """Sample the features of each RoI on a square grid.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    features : sequence of Tensor
        The maps that RoIs are read from, (B, C, h, w), finest first.
    rois : Tensor
        (B, R, 4) in pixels of the network's input.
    strides : sequence of int
        The stride of each map in pixels; see :func:`roi_strides`.
    size : int
        Cells on a side of the grid.
    sample_ratio : int
        Samples in a cell along each axis. 0 takes one sample for each cell of the feature map, so
        more for a larger RoI.
    convention : BoxConvention
        Which level a RoI is read from, and where the center of a cell is.
    inside : bool
        Whether no RoI leaves the input. The levels of a pyramid are then read in one call.
    channels : int
        C in inference, so that a pyramid with many channels is read faster, in parts of them.
        1 in training: MXNet cannot pass the gradient of a convolution through the reshapes that
        the parts need.

    Returns
    -------
    Tensor
        (B * R, C, size, size), the RoIs of the first image first.

    Raises
    ------
    InputError
        RoIs cannot be read from maps of these strides, or there are not as many maps as strides.
    """
    _check_strides(strides)
    if len(features) != len(strides):
        raise InputError(
            f"RoIs are read from {len(strides)} maps of strides {tuple(strides)}, and there are "
            f"{len(features)} maps; give one map for each stride"
        )
    image, num_images = _image_numbers(F, rois)
    corners = widened_corners(F, rois)
    sampling = _Sampling(size, sample_ratio, convention.roi_aligned)
    if len(features) == 1:
        return _read_map(F, features[0], image, corners, strides[0], sampling)
    sampling = sampling._replace(channels=channels, parts=math.gcd(channels, CHANNEL_PARTS))
    levels = [int(math.log2(stride)) for stride in strides]
    chosen = roi_level(F, rois, levels[0], levels[-1], convention)
    if not inside:
        return _read_level_by_level(F, features, image, corners, levels, chosen, sampling)
    return _read_canvas(F, features, image, num_images, corners, levels, chosen, sampling)


def widened_corners(F: Any, rois: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Split RoIs into their corners, and make each at least ``LEAST_SIDE`` wide and high.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    rois : Tensor
        (..., 4) in pixels.

    Returns
    -------
    tuple of Tensor
        x1, y1, x2 and y2, (..., 1) each.
    """
    x1, y1, x2, y2 = split_coordinates(F, rois)
    return x1, y1, F.maximum(x2, x1 + LEAST_SIDE), F.maximum(y2, y1 + LEAST_SIDE)


def _image_numbers(F: Any, rois: Tensor) -> Tuple[Tensor, Tensor]:
    """Compute the image number (B, R, 1) of each RoI (B, R, 4), and the number of images."""
    image = F.contrib.arange_like(rois, axis=0).reshape((-1, 1, 1))
    num_images = F.max(image, keepdims=True) + 1
    image = F.broadcast_like(image, F.slice_axis(rois, axis=-1, begin=0, end=1))
    return image, num_images


def _read_map(
    F: Any,
    feature: Tensor,
    image: Tensor,
    corners: Corners,
    stride: int,
    sampling: _Sampling,
) -> Tensor:
    """Sample RoIs on one map: image numbers and corners (B, R, 1) to (B * R, C, size, size)."""
    rows = F.reshape(F.concat(image, *corners, dim=-1), (-1, 5))
    size, parts = sampling.size, sampling.parts
    if parts > 1:
        feature, rows = _split_channels(F, feature, rows, sampling.channels, parts)
    pooled = F.contrib.ROIAlign(
        feature,
        rows,
        pooled_size=(size, size),
        spatial_scale=1.0 / stride,
        sample_ratio=sampling.sample_ratio,
        aligned=sampling.aligned,
    )
    if parts == 1:
        return pooled
    pooled = F.reshape(pooled, (-4, parts, -1, 0, 0, 0))
    pooled = F.transpose(F.reshape(pooled, (0, 0, -1)), (1, 0, 2))
    return F.reshape(pooled, (0, -1, size, size))


def _split_channels(
    F: Any, feature: Tensor, rows: Tensor, channels: int, parts: int
) -> Tuple[Tensor, Tensor]:
    """Split maps into parts of their channels, and repeat the RoIs for each part.

    MXNet's ROIAlign takes one RoI after the other, and all channels of each. Of a map with many
    channels the cache then keeps nothing until the next RoI. It keeps a part of the channels while
    all RoIs are read from it.

    Maps (B, C, h, w) become (B * parts, C / parts, h, w), and RoIs (N, 5) become (parts * N, 5).
    """
    feature = F.reshape(feature, (-1, channels // parts, 0, 0))
    rows = F.repeat(F.expand_dims(rows, axis=0), repeats=parts, axis=0)
    image = F.slice_axis(rows, axis=-1, begin=0, end=1)
    corners = F.slice_axis(rows, axis=-1, begin=1, end=5)
    first_part = image * parts
    part = F.contrib.arange_like(rows, axis=0).reshape((-1, 1, 1))
    image = F.broadcast_add(first_part, part)
    return feature, F.reshape(F.concat(image, corners, dim=-1), (-1, 5))


def _read_level_by_level(
    F: Any,
    features: Sequence[Tensor],
    image: Tensor,
    corners: Corners,
    levels: Sequence[int],
    chosen: Tensor,
    sampling: _Sampling,
) -> Tensor:
    """Sample each RoI on the map of its level, with one call of the operator for each level.

    Every call reads all RoIs. Those of other levels are moved outside the image, where they read
    zeros.
    """
    pooled = None
    for feature, level in zip(features, levels):
        is_here = chosen == level
        moved_corners = []
        for corner, outside in zip(corners, OUTSIDE):
            moved_corners.append(corner * is_here + (1 - is_here) * outside)
        level_pooled = _read_map(F, feature, image, moved_corners, 2**level, sampling)
        pooled = level_pooled if pooled is None else F.elemwise_add(pooled, level_pooled)
    return pooled


def _read_canvas(
    F: Any,
    features: Sequence[Tensor],
    image: Tensor,
    num_images: Tensor,
    corners: Corners,
    levels: Sequence[int],
    chosen: Tensor,
    sampling: _Sampling,
) -> Tensor:
    """Sample each RoI on the map of its level, with one call of the operator for all levels."""
    canvas, first_rows = _canvas(F, features)
    # Both sums start with 0. That adds an operator to the graph, but graphs stay equal to those
    # that version 0.1 exported.
    scale: Any = 0
    for level in levels:
        scale = scale + (chosen == level) * (1 / 2**level)
    first_row: Any = 0
    for level, level_first_row in zip(levels, first_rows):
        first_row = first_row + F.broadcast_mul(chosen == level, level_first_row)
    x1, y1, x2, y2 = (corner * scale for corner in corners)
    # The first planes of all images come before the second planes.
    plane = image + F.broadcast_mul(chosen > levels[0], num_images)
    corners_on_canvas = (x1, y1 + first_row, x2, y2 + first_row)
    return _read_map(F, canvas, plane, corners_on_canvas, 1, sampling)


def _canvas(F: Any, features: Sequence[Tensor]) -> Tuple[Tensor, List[Tensor]]:
    """Put the maps of all levels into one array.

    MXNet's ROIAlign needs as long for a RoI outside the image as for any other. With all maps in
    one array each RoI is read once, not once for each level.

    The array (2 * B, C, h + m, w) holds for each image two planes. The first plane has the finest
    map (B, C, h, w), below m rows of margin. The second plane has the other maps below each other.
    A frame around each map repeats its edge, because a RoI may read up to one cell outside its
    map. At the right and at the bottom of the finest map the array itself ends. There ROIAlign
    reads zeros for a RoI that is narrower than a cell and reaches outside; RoIs of the coarser
    levels are never that narrow.

    Returns the array, and the row in which the map of each level starts, (1, 1, 1).
    """
    # Halves that are rounded up, and the frames, need at most two rows for each level.
    margin = 2 * len(features)
    top_only = (0, 0, 0, 0, margin, 0, 0, 0)
    finest = F.Pad(features[0], mode="edge", pad_width=top_only)
    # slice_like keeps its second input for the backward pass. One channel holds little memory.
    plane = F.slice_axis(finest, axis=1, begin=0, end=1)
    wide_maps = []
    first_rows = []
    next_row: Any = 1.0
    for octave, feature in enumerate(features[1:], start=1):
        frame = (0, 0, 0, 0, 1, 1, 0, 1)
        framed = F.Pad(feature, mode="edge", pad_width=frame)
        wide_maps.append(_repeat_to_width(F, framed, plane, copies=2**octave))
        first_rows.append(next_row)
        last_row = F.max(F.contrib.arange_like(framed, axis=2)).reshape((1, 1, 1))
        next_row = next_row + last_row + 1
    # The last map is there twice, so that the column is at least as high as the plane.
    column = F.concat(*wide_maps, wide_maps[-1], dim=2)
    other_levels = F.slice_like(column, plane, axes=(2,))
    # The finest map starts below the margin, and the next map below its frame. These rows are plain
    # numbers so far, and become tensors here.
    one = F.ones_like(next_row)
    return F.concat(finest, other_levels, dim=0), [one * margin, one, *first_rows[1:]]


def _repeat_to_width(F: Any, framed: Tensor, plane: Tensor, copies: int) -> Tensor:
    """Make a map as wide as a plane by copies of itself; no RoI reads the copies."""
    row_of_copies = F.concat(*[framed] * copies, dim=3)
    return F.slice_like(row_of_copies, plane, axes=(3,))
