"""Masks pasted and cut out a pixel at a time."""
import math

import numpy as np


def bilinear(mask, y, x):
    """The value at a place between the cells; outside of the mask are zeros."""
    value = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(mask) and 0 <= column < len(mask[0]):
                value += (1 - abs(y - row)) * (1 - abs(x - column)) * float(mask[row][column])
    return value


def paste_sample(mask, box, height, width):
    """Detectron2's way, values before the threshold."""
    x1, y1, x2, y2 = map(float, box)
    image = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            across, down = (x + 0.5 - x1) / (x2 - x1), (y + 0.5 - y1) / (y2 - y1)  # 0..1 within the box
            image[y, x] = bilinear(mask, down * len(mask) - 0.5, across * len(mask[0]) - 0.5)
    return image


def paste_expand(mask, box, height, width):
    """torchvision's and Detectron's way, values before the threshold."""
    cells = len(mask)
    padded = np.pad(mask, 1)
    x1, y1, x2, y2 = map(float, box)
    half_w, half_h = (x2 - x1) / 2 * (cells + 2) / cells, (y2 - y1) / 2 * (cells + 2) / cells
    left, right = math.trunc((x1 + x2) / 2 - half_w), math.trunc((x1 + x2) / 2 + half_w)
    top, bottom = math.trunc((y1 + y2) / 2 - half_h), math.trunc((y1 + y2) / 2 + half_h)
    resized_w, resized_h = max(1, right - left + 1), max(1, bottom - top + 1)
    image = np.zeros((height, width))
    for y in range(max(0, top), min(height, bottom + 1)):
        for x in range(max(0, left), min(width, right + 1)):
            row = min(max((y - top + 0.5) * (cells + 2) / resized_h - 0.5, 0), cells + 1)
            column = min(max((x - left + 0.5) * (cells + 2) / resized_w - 0.5, 0), cells + 1)
            image[y, x] = bilinear(padded, row, column)
    return image


def coverage(mask, box, cells):
    """The part of each cell that the mask covers, on a grid of cells by cells over the box."""
    x1, y1, x2, y2 = map(float, box)
    down, across = overlaps(y1, y2, cells, len(mask)), overlaps(x1, x2, cells, len(mask[0]))
    result = np.zeros((cells, cells))
    for i in range(cells):
        for j in range(cells):
            area = sum(down[i][y] * across[j][x] * float(mask[y][x]) for y in down[i] for x in across[j])
            result[i, j] = area / ((y2 - y1) * (x2 - x1)) * cells ** 2
    return result


def overlaps(low, high, cells, length):
    """For each cell {pixel: length of what both cover}."""
    side = (high - low) / cells
    return [{pixel: min(low + (i + 1) * side, pixel + 1) - max(low + i * side, pixel)
             for pixel in range(length) if low + i * side < pixel + 1 and low + (i + 1) * side > pixel}
            for i in range(cells)]
