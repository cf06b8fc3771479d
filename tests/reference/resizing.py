"""Bilinear resizing in double precision, pixel by pixel."""

import numpy as np


def bilinear(image, height, width):
    """Resize an image (H, W, C) to (height, width, C) float64 without averaging.

    Pixel centers are at half coordinates. Edges are repeated.
    """
    old_height, old_width, channels = image.shape
    rows = np.clip((np.arange(height) + 0.5) * old_height / height - 0.5, 0, old_height - 1)
    columns = np.clip((np.arange(width) + 0.5) * old_width / width - 0.5, 0, old_width - 1)
    result = np.zeros((height, width, channels))
    for y, row in enumerate(rows):
        top = int(row)
        bottom = min(top + 1, old_height - 1)
        down = row - top
        for x, column in enumerate(columns):
            left = int(column)
            right = min(left + 1, old_width - 1)
            across = column - left
            upper = (1 - across) * image[top, left] + across * image[top, right]
            lower = (1 - across) * image[bottom, left] + across * image[bottom, right]
            result[y, x] = (1 - down) * upper + down * lower
    return result


def antialiased(image, height, width):
    """Resize an image (H, W, C) to (height, width, C) float64 with averaging.

    The weights are a triangle as wide as the pixels that a new pixel covers, cut at the edges.
    """
    for axis, new_length in ((0, height), (1, width)):
        old_length = image.shape[axis]
        reach = max(old_length / new_length, 1)
        new_centers = (np.arange(new_length) + 0.5) * old_length / new_length
        old_centers = np.arange(old_length) + 0.5
        distances = np.abs(old_centers[None] - new_centers[:, None])
        weights = np.maximum(1 - distances / reach, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        image = np.tensordot(weights, image.astype(np.float64), axes=(1, axis))
        image = np.moveaxis(image, 0, axis)
    return image
