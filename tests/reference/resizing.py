"""Bilinear resizing in double precision, pixel by pixel."""
import numpy as np


def bilinear(image, height, width):
    """(H, W, C) -> (height, width, C) float64: pixel centres at half coordinates, edges repeated, nothing averaged."""
    rows = np.clip((np.arange(height) + 0.5) * image.shape[0] / height - 0.5, 0, image.shape[0] - 1)
    columns = np.clip((np.arange(width) + 0.5) * image.shape[1] / width - 0.5, 0, image.shape[1] - 1)
    result = np.zeros((height, width, image.shape[2]))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            top, left = int(row), int(column)
            bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            a, b = row - top, column - left
            result[y, x] = ((1 - a) * ((1 - b) * image[top, left] + b * image[top, right])
                            + a * ((1 - b) * image[bottom, left] + b * image[bottom, right]))
    return result


def antialiased(image, height, width):
    """(H, W, C) -> (height, width, C) float64: a triangle as wide as what one new pixel covers, cut at the edges."""
    for axis, after in ((0, height), (1, width)):
        before = image.shape[axis]
        reach = max(before / after, 1)
        centres = (np.arange(after) + 0.5) * before / after
        weights = np.maximum(1 - np.abs((np.arange(before) + 0.5)[None] - centres[:, None]) / reach, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image.astype(np.float64), axes=(1, axis)), 0, axis)
    return image
