"""RoIAlign as a sparse matrix: the weights with which each cell of a RoI reads the feature maps.

RoIAlign is linear in the feature maps. The matrix has a row for each cell of each RoI and a column
for each cell of the maps of an image. The product with the maps is the forward pass, and the
product of the transposed matrix with the gradient is the backward pass.
"""

from typing import NamedTuple, Sequence, Tuple

import numpy as np

# A sample up to one cell outside of a map reads the cell at the border (He et al. 2017).
REACH = 1.0


class SparseMatrix(NamedTuple):
    """A matrix by its nonzero entries, row by row, as MXNet's ``csr_matrix`` takes it.

    Attributes
    ----------
    values : numpy.ndarray
        (E,) float32, the entries.
    columns : numpy.ndarray
        (E,) int64, the column of each entry; ascending within a row.
    starts : numpy.ndarray
        (rows + 1,) int64, the first entry of each row, and E.
    shape : tuple of int
        Rows and columns.
    """

    values: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    shape: Tuple[int, int]

    def transpose(self) -> "SparseMatrix":
        """Return the transposed matrix.

        Returns
        -------
        SparseMatrix
            Its columns are ascending as well, so a product with it adds in a fixed order.
        """
        num_rows, num_columns = self.shape
        order = _stable_order(self.columns)
        row_of_entry = np.repeat(np.arange(num_rows), np.diff(self.starts))
        entries_per_column = np.bincount(self.columns, minlength=num_columns)
        return SparseMatrix(
            self.values[order],
            row_of_entry[order],
            _starts(entries_per_column),
            (num_columns, num_rows),
        )


class RoIGrid(NamedTuple):
    """How every RoI is sampled.

    Attributes
    ----------
    size : int
        P, the cells on a side of a RoI.
    sample_ratio : int
        Samples in a cell along each axis; 0 takes one sample for each cell of the map.
    aligned : bool
        Whether the center of a map's first cell is at half a stride. If not, it is the origin, and
        every RoI counts as at least one cell wide and high.
    """

    size: int
    sample_ratio: int
    aligned: bool


class _AxisWeights(NamedTuple):
    """The weights of map cells along one axis.

    The entries of one cell of a RoI are next to each other.

    Attributes
    ----------
    cells : numpy.ndarray
        (E,), the row or the column of the map.
    values : numpy.ndarray
        (E,) float32, its weight.
    starts : numpy.ndarray
        (R, P), the first entry of each cell of each RoI.
    counts : numpy.ndarray
        (R, P), the number of entries of each cell of each RoI.
    """

    cells: np.ndarray
    values: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


def roi_matrix(
    rois: np.ndarray,
    levels: np.ndarray,
    map_sizes: Sequence[Tuple[int, int]],
    strides: Sequence[int],
    grid: RoIGrid,
    num_columns: int,
) -> SparseMatrix:
    """Compute the matrix that reads RoIs from the maps of one image.

    Parameters
    ----------
    rois : numpy.ndarray
        (R, 4) float32 in pixels of the network's input, each with a width and a height.
    levels : numpy.ndarray
        (R,) integers, the position among the maps of the one that a RoI is read from.
    map_sizes : sequence of tuple of int
        (height, width) of each map.
    strides : sequence of int
        The stride of each map in pixels.
    grid : RoIGrid
        How the RoIs are sampled.
    num_columns : int
        Columns of the matrix: the cells of all maps, map by map and row by row within a map, and
        perhaps further ones that no RoI reads.

    Returns
    -------
    SparseMatrix
        (R * P * P, num_columns).
    """
    heights, widths = np.array(map_sizes).T
    scales = (1.0 / np.array(strides)).astype(np.float32)
    scaled = rois * scales[levels, None]
    across = _axis_weights(scaled[:, 0], scaled[:, 2], widths[levels], grid)
    down = _axis_weights(scaled[:, 1], scaled[:, 3], heights[levels], grid)
    # A row of a map becomes the number of its first cell.
    level = np.repeat(levels, down.counts.sum(axis=1))
    first_cells = _starts(heights * widths)[level] + down.cells * widths[level]
    return _outer_product(down._replace(cells=first_cells), across, num_columns)


def _outer_product(down: _AxisWeights, across: _AxisWeights, num_columns: int) -> SparseMatrix:
    """Multiply the weights of both axes for each cell of each RoI.

    The cells of ``down`` are those at which the rows of a map start.
    """
    num_rois, size = down.counts.shape
    # A cell of a RoI has an entry for each pair of a row and a column of the map. It is repeated
    # for each row first, which gives lines, and each line is repeated for each column.
    line_counts = np.repeat(down.counts, size, axis=1).ravel()
    lines = _ranges(np.repeat(down.starts, size, axis=1).ravel(), line_counts)
    column_counts = np.tile(across.counts, size).ravel()
    column_starts = np.tile(across.starts, size).ravel()
    entry_counts = np.repeat(column_counts, line_counts)
    entries = _ranges(np.repeat(column_starts, line_counts), entry_counts)
    values = np.repeat(down.values[lines], entry_counts) * across.values[entries]
    columns = np.repeat(down.cells[lines], entry_counts) + across.cells[entries]
    shape = (num_rois * size**2, num_columns)
    return SparseMatrix(values, columns, _starts(line_counts * column_counts), shape)


def _axis_weights(
    low: np.ndarray, high: np.ndarray, lengths: np.ndarray, grid: RoIGrid
) -> _AxisWeights:
    """Compute the weights along one axis of RoIs from ``low`` to ``high``, in cells of their maps.

    ``lengths`` are the cells of the maps along the axis; all are (R,).
    """
    positions, roi, roi_cell = _sample_positions(low, high, grid)
    first, second_weight = _interpolate(positions, lengths[roi])
    second = np.minimum(first + 1, lengths[roi] - 1)
    is_inside = (positions >= -REACH) & (positions <= lengths[roi])
    samples_per_cell = np.bincount(roi_cell)[roi_cell]
    weight = is_inside / samples_per_cell

    # Neighboring samples of a cell share cells of the map, whose weights are added up.
    longest = int(lengths.max())
    keys = np.concatenate([roi_cell * longest + first, roi_cell * longest + second])
    weights = np.concatenate([weight * (1 - second_weight), weight * second_weight])
    unique_keys, positions_of_keys = np.unique(keys, return_inverse=True)
    sums = np.bincount(positions_of_keys, weights)
    is_read = sums > 0
    unique_keys = unique_keys[is_read]
    counts = np.bincount(unique_keys // longest, minlength=len(low) * grid.size)
    return _AxisWeights(
        unique_keys % longest,
        sums[is_read].astype(np.float32),
        _starts(counts)[:-1].reshape(-1, grid.size),
        counts.reshape(-1, grid.size),
    )


def _interpolate(positions: np.ndarray, lengths: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Compute the cell before each position, and the weight of the cell after it."""
    nearest = np.clip(positions, np.float32(0), (lengths - 1).astype(np.float32))
    first = nearest.astype(int)
    return first, nearest - first


def _sample_positions(
    low: np.ndarray, high: np.ndarray, grid: RoIGrid
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the positions of all samples along one axis, in cells of the map.

    All arithmetic is in float32 and in the order of MXNet's ROIAlign, because a sample at the
    border of the reach counts or does not.

    Returns the positions, the RoI of each, and the number of its cell over all RoIs, (N,) each.
    """
    shift, least_side = (0.5, 0.0) if grid.aligned else (0.0, 1.0)
    low = low - np.float32(shift)
    high = high - np.float32(shift)
    step = np.maximum(high - low, np.float32(least_side)) / np.float32(grid.size)
    num_samples = np.full(len(low), grid.sample_ratio)
    if grid.sample_ratio <= 0:
        num_samples = np.ceil(step).astype(int)
    samples_per_roi = num_samples * grid.size
    roi = np.repeat(np.arange(len(low)), samples_per_roi)
    number = _ranges(np.zeros_like(samples_per_roi), samples_per_roi)
    cell = number // num_samples[roi]
    within = (number % num_samples[roi]).astype(np.float32)
    offset = (within + np.float32(0.5)) * step[roi] / num_samples[roi].astype(np.float32)
    positions = low[roi] + cell.astype(np.float32) * step[roi] + offset
    return positions, roi, roi * grid.size + cell


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Join the ranges of ``counts`` integers from each of ``starts``."""
    offsets = starts - _starts(counts)[:-1]
    return np.arange(counts.sum()) + np.repeat(offsets, counts)


def _starts(counts: np.ndarray) -> np.ndarray:
    """Compute where each of several lists starts if they are joined, and where the last ends."""
    return np.concatenate([[0], np.cumsum(counts)])


def _stable_order(keys: np.ndarray) -> np.ndarray:
    """Sort integers in 0..2 ** 32 - 1, equal ones in their order; NumPy is fast for 16 bits."""
    order = np.argsort((keys & 0xFFFF).astype(np.uint16), kind="stable")
    high = (keys >> 16).astype(np.uint16)
    return order[np.argsort(high[order], kind="stable")]
