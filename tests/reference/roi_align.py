"""RoIAlign, one sample at a time."""
import math

import numpy as np


def bilinear(image, y, x):
    """(C, h, w) read between its cells, whose centres are the whole numbers; 0 more than a cell outside."""
    height, width = image.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    y, x = y - top, x - left
    return ((1 - y) * (1 - x) * image[:, top, left] + (1 - y) * x * image[:, top, right]
            + y * (1 - x) * image[:, bottom, left] + y * x * image[:, bottom, right])


def roi_align(image, box, stride, size, samples, aligned=True):
    """(C, h, w) and one box in pixels: (C, size, size).

    ``aligned``: the first cell's centre is at half a stride, and a box may be as small as a hundredth of a pixel; else
    that centre counts as the origin, and a box is at least a cell wide. ``samples`` 0: one for each cell of a bin.
    """
    x1, y1, x2, y2 = box
    x2, y2 = max(x2, x1 + 0.01), max(y2, y1 + 0.01)
    shift, least = (0.5, 0) if aligned else (0, 1)
    x1, y1, x2, y2 = (coordinate / stride - shift for coordinate in (x1, y1, x2, y2))
    bin_w, bin_h = max(x2 - x1, least) / size, max(y2 - y1, least) / size
    down, across = (samples, samples) if samples else (math.ceil(bin_h), math.ceil(bin_w))
    result = np.zeros((len(image), size, size))
    for row in range(size):
        for column in range(size):
            for i in range(down):
                for j in range(across):
                    y, x = y1 + (row + (i + 0.5) / down) * bin_h, x1 + (column + (j + 0.5) / across) * bin_w
                    result[:, row, column] += bilinear(image, y, x) / (down * across)
    return result


def pyramid_level(box, lowest, highest, offset=0.0, inside=1e-8, eps=0.0):
    """Equation 1 of the FPN paper, with what codebases add to the sides, within the logarithm and to it."""
    size = math.sqrt(max(box[2] - box[0] + offset, 0) * max(box[3] - box[1] + offset, 0))
    return lowest if size == 0 else min(max(math.floor(4 + math.log2(size / 224 + inside) + eps), lowest), highest)
