"""RoIAlign, one sample at a time."""

import math

import numpy as np


def bilinear(image, y, x):
    """Interpolate a map (C, h, w) whose cell centers are at integer coordinates.

    More than a cell outside the map the value is 0.
    """
    channels, height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(channels)
    y = min(max(y, 0), height - 1)
    x = min(max(x, 0), width - 1)
    top = int(y)
    left = int(x)
    bottom = min(top + 1, height - 1)
    right = min(left + 1, width - 1)
    down = y - top
    across = x - left
    upper = (1 - across) * image[:, top, left] + across * image[:, top, right]
    lower = (1 - across) * image[:, bottom, left] + across * image[:, bottom, right]
    return (1 - down) * upper + down * lower


def roi_align(image, box, stride, size, samples, aligned=True):
    """Sample a map (C, h, w) in a box given in pixels: (C, size, size).

    Parameters
    ----------
    samples : int
        Samples in a cell of the result along each axis; 0 takes one for each cell of the map.
    aligned : bool
        True: the center of the map's first cell is at half a stride, and a box has at least a
        hundredth of a pixel. False: that center is the origin, and a box is at least a cell wide.
    """
    x1, y1, x2, y2 = box
    x2 = max(x2, x1 + 0.01)
    y2 = max(y2, y1 + 0.01)
    shift = 0.5 if aligned else 0
    least_side = 0 if aligned else 1
    x1, y1, x2, y2 = (coordinate / stride - shift for coordinate in (x1, y1, x2, y2))
    cell_width = max(x2 - x1, least_side) / size
    cell_height = max(y2 - y1, least_side) / size
    samples_down = samples or math.ceil(cell_height)
    samples_across = samples or math.ceil(cell_width)
    result = np.zeros((len(image), size, size))
    for row, column in np.ndindex(size, size):
        for i, j in np.ndindex(samples_down, samples_across):
            y = y1 + (row + (i + 0.5) / samples_down) * cell_height
            x = x1 + (column + (j + 0.5) / samples_across) * cell_width
            result[:, row, column] += bilinear(image, y, x) / (samples_down * samples_across)
    return result


def pyramid_level(box, lowest, highest, offset=0.0, eps_inside=1e-8, eps=0.0):
    """Compute a RoI's level by equation 1 of the FPN paper.

    Codebases add ``offset`` to the sides, ``eps_inside`` within the logarithm, and ``eps`` to it.
    """
    width = max(box[2] - box[0] + offset, 0)
    height = max(box[3] - box[1] + offset, 0)
    size = math.sqrt(width * height)
    if size == 0:
        return lowest
    level = math.floor(4 + math.log2(size / 224 + eps_inside) + eps)
    return min(max(level, lowest), highest)
