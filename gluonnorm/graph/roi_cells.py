"""RoIAlign of some of a RoI's cells, from a map with many channels.

The functions take ``F``, as those of a Gluon block, and build a part of a graph.
"""

import math
from typing import Any, List, NamedTuple, Tuple

# ROIAlign takes one RoI after the other, and all channels of each. A part of the channels stays in
# the processor's cache while all RoIs are read from it. With few cells in a RoI, MXNet and
# onnxruntime both need half of the time.
CHANNEL_PARTS = 16
# MXNet's ROIAlign aborts the process on a cell without width or height. A cell is at least this
# many pixels wide and high, which float32 can express in images of up to 8192 pixels.
LEAST_CELL = 1e-3
# With an adaptive number of samples, a cell takes one for each cell of the map that it covers. A
# cell that covers exactly one must not seem to cover two because its corners were rounded, which in
# images of up to 2048 pixels changes its width by less than this share.
ADAPTIVE_SHRINKING = 2e-5


class RoISampling(NamedTuple):
    """Which cells of a RoI are sampled, and how.

    Attributes
    ----------
    grid : int
        Cells on a side of the RoI.
    step : int
        From a sampled cell to the next one, in cells of the grid.
    window : int
        Cells on a side of the grid that count as one; their samples are averaged.
    size : int
        Sampled cells on a side.
    sample_ratio : int
        Samples in a cell of the grid along each axis; 0 adapts the number to the RoI, and the
        window is then 1.
    stride : float
        Of the map, in pixels.
    aligned : bool
        Whether cell centers are at half coordinates.
    """

    grid: int
    step: int
    window: int
    size: int
    sample_ratio: int
    stride: float
    aligned: bool

    @property
    def samples(self) -> int:
        """Samples in a sampled cell along each axis; 0 adapts the number."""
        return self.sample_ratio * self.window

    @property
    def covers_roi(self) -> bool:
        """Whether the sampled cells are next to each other, from the first to the last."""
        return self.step == self.window


def read_cells(F: Any, features: Any, rois: Any, sampling: RoISampling, channels: int) -> Any:
    """Sample cells of each RoI.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    features : Tensor
        The map, (B, C, h, w).
    rois : Tensor
        (N, 5), the number of the image and four corners in pixels.
    sampling : RoISampling
        Which cells are sampled.
    channels : int
        C.

    Returns
    -------
    Tensor
        (N, C, size, size).
    """
    parts = math.gcd(channels, CHANNEL_PARTS)
    part_channels = channels // parts
    if parts > 1:
        features = F.reshape(features, (-1, part_channels, 0, 0))
    size = sampling.size
    if sampling.covers_roi:
        rows = _repeat_for_parts(F, rois, parts)
        sampled = _roi_align(F, features, rows, size, sampling, sampling.aligned)
        by_part = F.reshape(sampled, (parts, -1, part_channels * size * size))
        by_roi = F.transpose(by_part, (1, 0, 2))
    else:
        # Each cell is a RoI of its own, because ROIAlign samples all cells of a RoI.
        rows = _repeat_for_parts(F, _cell_rows(F, rois, sampling), parts)
        sampled = _roi_align(F, features, rows, 1, sampling, aligned=True)
        # OpenVINO fails on a Reshape of four axes to four of which the second has no known length,
        # before a Transpose and a Reshape.
        rows_of_channels = F.reshape(sampled, (-1, part_channels))
        by_part = F.reshape(rows_of_channels, (parts, -1, size * size, part_channels))
        by_roi = F.transpose(by_part, (1, 0, 3, 2))
    return F.reshape(by_roi, (-1, channels, size, size))


def _roi_align(
    F: Any, features: Any, rows: Any, size: int, sampling: RoISampling, aligned: bool
) -> Any:
    """Sample rows of RoIs with MXNet's operator."""
    return F.contrib.ROIAlign(
        features,
        rows,
        pooled_size=(size, size),
        spatial_scale=1 / sampling.stride,
        sample_ratio=sampling.samples,
        aligned=aligned,
    )


def _repeat_for_parts(F: Any, rows: Any, parts: int) -> Any:
    """Repeat rows (N, 5) for each part of the channels, which is an image of its own."""
    if parts == 1:
        return rows
    first_part = F.slice_axis(rows, axis=1, begin=0, end=1) * parts
    corners = F.slice_axis(rows, axis=1, begin=1, end=5)
    repeated = [F.concat(first_part + part, corners, dim=1) for part in range(parts)]
    return F.concat(*repeated, dim=0)


def _cell_rows(F: Any, rois: Any, sampling: RoISampling) -> Any:
    """Compute the sampled cells of RoIs (N, 5) as aligned RoIs, (N * size * size, 5)."""
    image, x1, y1, x2, y2 = [
        F.slice_axis(rois, axis=1, begin=column, end=column + 1) for column in range(5)
    ]
    lefts, rights = _bounds(F, x1, x2, sampling)
    tops, bottoms = _bounds(F, y1, y2, sampling)
    size = sampling.size
    # Cells of a RoI are in the order of reading, so the column changes fastest.
    columns = [
        F.repeat(image, repeats=size * size, axis=1),
        F.concat(*lefts * size, dim=1),
        F.concat(*[top for top in tops for _ in range(size)], dim=1),
        F.concat(*rights * size, dim=1),
        F.concat(*[bottom for bottom in bottoms for _ in range(size)], dim=1),
    ]
    return F.reshape(F.stack(*columns, axis=2), (-1, 5))


def _bounds(F: Any, low: Any, high: Any, sampling: RoISampling) -> Tuple[List[Any], List[Any]]:
    """Compute where the sampled cells begin and end along an axis of RoIs, (N, 1) each."""
    shift = 0.0
    if not sampling.aligned:
        # Here a RoI counts as at least one cell of the map, and is read half a cell further on.
        high = F.maximum(high, low + sampling.stride)
        shift = sampling.stride / 2
    cell = (high - low) * (1 / sampling.grid)
    begin_share = 0.0
    width = cell * sampling.window
    if sampling.samples == 0:
        begin_share = ADAPTIVE_SHRINKING / 2
        width = cell * (1 - ADAPTIVE_SHRINKING)
    width = F.maximum(width, LEAST_CELL)
    begins = []
    ends = []
    for number in range(sampling.size):
        begin = low + cell * (number * sampling.step + begin_share) + shift
        begins.append(begin)
        ends.append(begin + width)
    return begins, ends
