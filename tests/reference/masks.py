"""Masks pasted and cropped one pixel at a time."""

import math

import numpy as np


def bilinear(mask, y, x):
    """Interpolate a mask whose cell centers are at integer coordinates; it is 0 outside."""
    value = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(mask) and 0 <= column < len(mask[0]):
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                value += weight * float(mask[row][column])
    return value


def paste_sample(mask, box, height, width):
    """Paste a mask into an image as Detectron2 does; values before the threshold."""
    x1, y1, x2, y2 = map(float, box)
    rows = len(mask)
    columns = len(mask[0])
    image = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        down = (y + 0.5 - y1) / (y2 - y1)
        across = (x + 0.5 - x1) / (x2 - x1)
        image[y, x] = bilinear(mask, down * rows - 0.5, across * columns - 0.5)
    return image


def paste_expand(mask, box, height, width):
    """Paste a mask into an image as torchvision and Detectron do; values before the threshold."""
    cells = len(mask)
    padded_cells = cells + 2
    padded = np.pad(mask, 1)
    x1, y1, x2, y2 = map(float, box)
    center_x = (x1 + x2) / 2
    center_y = (y1 + y2) / 2
    half_width = (x2 - x1) / 2 * padded_cells / cells
    half_height = (y2 - y1) / 2 * padded_cells / cells
    left = math.trunc(center_x - half_width)
    right = math.trunc(center_x + half_width)
    top = math.trunc(center_y - half_height)
    bottom = math.trunc(center_y + half_height)
    pasted_width = max(1, right - left + 1)
    pasted_height = max(1, bottom - top + 1)
    image = np.zeros((height, width))
    for y in range(max(0, top), min(height, bottom + 1)):
        row = (y - top + 0.5) * padded_cells / pasted_height - 0.5
        row = min(max(row, 0), padded_cells - 1)
        for x in range(max(0, left), min(width, right + 1)):
            column = (x - left + 0.5) * padded_cells / pasted_width - 0.5
            column = min(max(column, 0), padded_cells - 1)
            image[y, x] = bilinear(padded, row, column)
    return image


def coverage(mask, box, cells):
    """Compute which part of each cell of a grid over a box an image's mask covers."""
    x1, y1, x2, y2 = map(float, box)
    rows = overlaps(y1, y2, cells, len(mask))
    columns = overlaps(x1, x2, cells, len(mask[0]))
    box_area = (y2 - y1) * (x2 - x1)
    result = np.zeros((cells, cells))
    for i, j in np.ndindex(cells, cells):
        covered = 0.0
        for y, length_y in rows[i].items():
            for x, length_x in columns[j].items():
                covered += length_y * length_x * float(mask[y][x])
        result[i, j] = covered / box_area * cells**2
    return result


def overlaps(low, high, cells, length):
    """Measure along one axis how far each cell of a grid covers each pixel.

    Returns for each cell a dictionary from the pixels that it covers to the covered lengths.
    """
    side = (high - low) / cells
    covered = []
    for cell in range(cells):
        start = low + cell * side
        end = low + (cell + 1) * side
        lengths = {}
        for pixel in range(length):
            if start < pixel + 1 and end > pixel:
                lengths[pixel] = min(end, pixel + 1) - max(start, pixel)
        covered.append(lengths)
    return covered
