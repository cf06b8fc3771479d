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


def roi_align(image, box, stride, size, samples):
    """(C, h, w) and one box in pixels: (C, size, size). The first cell's centre is at half a stride."""
    x1, y1, x2, y2 = (coordinate / stride - 0.5 for coordinate in box)
    bin_w, bin_h = max(x2 - x1, 1) / size, max(y2 - y1, 1) / size
    result = np.zeros((len(image), size, size))
    for row in range(size):
        for column in range(size):
            for i in range(samples):
                for j in range(samples):
                    y, x = y1 + (row + (i + 0.5) / samples) * bin_h, x1 + (column + (j + 0.5) / samples) * bin_w
                    result[:, row, column] += bilinear(image, y, x) / samples ** 2
    return result


def pyramid_level(box, lowest, highest):
    """Equation 1 of the FPN paper."""
    size = math.sqrt(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))
    return lowest if size == 0 else min(max(math.floor(4 + math.log2(size / 224)), lowest), highest)
