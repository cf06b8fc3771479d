"""The tables of anchors in GluonCV's files, which its RPN reads instead of computing anchors.

Source: gluoncv/model_zoo/rcnn/rpn/anchor.py.
"""

from typing import Dict, Sequence

import numpy as np

# The side of the table of the finest level of a pyramid; each further level has half of it.
FIRST_LEVEL_CELLS = 384
MIN_CELLS = 16
C4_CELLS = 128  # side of the table of a detector without a pyramid


def anchor_tables(
    strides: Sequence[int], sizes: Sequence[Sequence[float]], ratios: Sequence[float]
) -> Dict[str, np.ndarray]:
    """Compute the anchors of each level as GluonCV stores them.

    Parameters
    ----------
    strides : sequence of int
        The stride of each level, in pixels. A detector with one level has no pyramid.
    sizes : sequence of sequences of float
        The anchor sizes of each level, in pixels.
    ratios : sequence of float
        The ratios of height and width, on every level.

    Returns
    -------
    dict of str to numpy.ndarray
        GluonCV's name of each table -> (1, 1, cells, cells, 4 * A), float32: corners x1, y1, x2, y2
        of the A anchors of each cell, with the ratio varying slowest.
    """
    tables = {}
    for level, (stride, level_sizes) in enumerate(zip(strides, sizes)):
        if len(strides) == 1:
            name = "rpn.anchor_generator.anchors"
            cells = C4_CELLS
        else:
            name = f"rpn.anchor_generator.{level}.anchors"
            cells = max(FIRST_LEVEL_CELLS >> level, MIN_CELLS)
        tables[name] = _level_table(stride, level_sizes, ratios, cells)
    return tables


def stored_sizes(table: np.ndarray, ratios: Sequence[float]) -> np.ndarray:
    """Recover the anchor sizes of a level from the table in a file.

    Parameters
    ----------
    table : numpy.ndarray
        (1, 1, cells, cells, 4 * A), as GluonCV stores it.
    ratios : sequence of float
        The ratios of height and width; A is a multiple of their number.

    Returns
    -------
    numpy.ndarray
        (A / number of ratios,) float32, in pixels. The sides of the first ratio are rounded on the
        window of a cell, so a size is off by up to a tenth if that ratio is not 1.
    """
    cell = table[0, 0, 0, 0].reshape(len(ratios), -1, 4)
    # The ratio that is closest to 1 is rounded least.
    squarest = cell[np.argmin(np.abs(np.log(ratios)))]
    return squarest[:, 2] - squarest[:, 0] + 1


def _level_table(
    stride: int, sizes: Sequence[float], ratios: Sequence[float], cells: int
) -> np.ndarray:
    """Compute the table of one level, (1, 1, cells, cells, 4 * A)."""
    anchors = _cell_anchors(stride, sizes, ratios)
    y, x = np.mgrid[:cells, :cells] * stride
    corners = np.stack([x, y, x, y], axis=-1)
    table = corners[:, :, None] + anchors
    return table.reshape(1, 1, cells, cells, -1).astype(np.float32)


def _cell_anchors(stride: int, sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """Compute the anchors of the first cell, (A, 4).

    The sides are rounded for each ratio on a window as large as the stride, then scaled. Corners
    are inclusive, hence the 1 that is subtracted.
    """
    ratio_array = np.asarray(ratios, float)
    widths = np.round(np.sqrt(stride * stride / ratio_array))
    heights = np.round(widths * ratio_array)
    windows = np.stack([widths, heights], axis=-1)
    scales = np.asarray(sizes, float) / stride
    sides = (windows[:, None] * scales[:, None]).reshape(-1, 2)
    half_sides = (sides - 1) / 2
    center = (stride - 1) / 2
    return center + np.concatenate([-half_sides, half_sides], axis=-1)
