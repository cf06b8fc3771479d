"""Bilinear resizing in NumPy, equal to OpenCV's on bytes and to torch's on floats.

Both place pixel centers at half coordinates. OpenCV computes in integers
(``modules/imgproc/src/resize.cpp`` of version 3.4, which MXNet 1.9.1 contains): weights have 11
bits, sums have 32. Networks that were trained on such pictures, GluonCV's among them, get the same
bytes from this module, and it needs no MXNet.
"""

from typing import NamedTuple

import numpy as np

WEIGHT_BITS = 11  # a weight of 1 is 2048
BLOCK_ROWS = 32  # rows computed at once: their sums fit into the processor's cache


class _Neighbors(NamedTuple):
    """The two source positions between which each result position lies, along one axis.

    Attributes
    ----------
    low, high : numpy.ndarray
        (L,) int64, indices of the two source positions.
    low_weight, high_weight : numpy.ndarray
        (L,), what each of the two contributes: int32 in 0..2048 for bytes, float32 in 0..1 for
        floats.
    """

    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray


def resize_bytes(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture of bytes like OpenCV's ``resize`` with ``INTER_LINEAR``.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8.
    height, width : int
        Size of the result in pixels, at least 1.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8, the same bytes as ``mx.image.imresize(image, width, height,
        interp=1)``.

    Examples
    --------
    >>> image = np.uint8([[[0, 0, 0], [100, 150, 200]]])
    >>> resize_bytes(image, 1, 4)[0].tolist()
    [[0, 0, 0], [25, 38, 50], [75, 113, 150], [100, 150, 200]]
    """
    source_height, source_width, channels = image.shape
    # OpenCV replaces linear interpolation by its area average where both sides are exactly halved.
    if (source_height, source_width) == (2 * height, 2 * width):
        return _halve(image)
    # OpenCV moves the weight of a position outside the picture to the border pixel along x, but not
    # along y. There it adds the border row twice, each time rounded down, which can make the sum
    # smaller by 1.
    columns = _byte_neighbors(source_width, width, merge_at_border=True)
    rows = _byte_neighbors(source_height, height, merge_at_border=False)
    columns = _repeat_for_channels(columns, channels)
    flat_image = image.reshape(source_height, source_width * channels)
    result = np.empty((height, width * channels), np.uint8)
    for start in range(0, height, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        block_rows = _Neighbors(*(values[block] for values in rows))
        result[block] = _interpolate_rows(flat_image, block_rows, columns)
    return result.reshape(height, width, channels)


def resize_floats(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture of floats like torch's ``interpolate`` with ``mode="bilinear"``.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) float32.
    height, width : int
        Size of the result in pixels, at least 1.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) float32.

    Examples
    --------
    >>> image = np.float32([[[0, 0, 0], [100, 150, 200]]])
    >>> resize_floats(image, 1, 4)[0].tolist()
    [[0.0, 0.0, 0.0], [25.0, 37.5, 50.0], [75.0, 112.5, 150.0], [100.0, 150.0, 200.0]]
    """
    columns = _float_neighbors(image.shape[1], width)
    horizontal = image.take(columns.low, axis=1)
    horizontal *= columns.low_weight[:, None]
    high_part = image.take(columns.high, axis=1)
    high_part *= columns.high_weight[:, None]
    horizontal += high_part

    result = np.empty((height, width, 3), np.float32)
    below = np.empty((width, 3), np.float32)
    rows = _float_neighbors(image.shape[0], height)
    # One row at a time stays in the processor's cache, which is faster than all rows at once.
    for result_row, low, high, low_weight, high_weight in zip(result, *rows):
        np.multiply(horizontal[low], low_weight, out=result_row)
        np.multiply(horizontal[high], high_weight, out=below)
        result_row += below
    return result


def _halve(image: np.ndarray) -> np.ndarray:
    """Average each square of 2 x 2 pixels, halves rounded up: (2h, 2w, 3) -> (h, w, 3) uint8."""
    values = image.astype(np.uint16)
    row_sums = values[0::2] + values[1::2]
    sums = row_sums[:, 0::2] + row_sums[:, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)


def _byte_neighbors(source_length: int, length: int, merge_at_border: bool) -> _Neighbors:
    """Find the two source positions around each position of the result, along one axis.

    ``merge_at_border`` gives all the weight to the border pixel where one of the two is outside the
    picture.
    """
    # Two divisions in double precision, then one rounding to single precision: as in OpenCV, whose
    # last bit counts.
    scale = 1.0 / (length / source_length)
    positions = ((np.arange(length) + 0.5) * scale - 0.5).astype(np.float32)
    floors = np.floor(positions)
    fractions = positions - floors
    low = floors.astype(np.int64)
    if merge_at_border:
        fractions[(low < 0) | (low >= source_length - 1)] = 0
    one = np.float32(1 << WEIGHT_BITS)
    return _Neighbors(
        low=np.clip(low, 0, source_length - 1),
        high=np.clip(low + 1, 0, source_length - 1),
        low_weight=np.rint((1 - fractions) * one).astype(np.int32),
        high_weight=np.rint(fractions * one).astype(np.int32),
    )


def _repeat_for_channels(columns: _Neighbors, channels: int) -> _Neighbors:
    """Turn neighbors of pixels into neighbors of single bytes in a row of interleaved channels."""
    offsets = np.arange(channels)
    return _Neighbors(
        low=(columns.low[:, None] * channels + offsets).ravel(),
        high=(columns.high[:, None] * channels + offsets).ravel(),
        low_weight=columns.low_weight.repeat(channels),
        high_weight=columns.high_weight.repeat(channels),
    )


def _interpolate_rows(image: np.ndarray, rows: _Neighbors, columns: _Neighbors) -> np.ndarray:
    """Compute some rows of the result: (H, W * 3) uint8 -> (rows, columns) int32 in 0..255.

    The shifts are OpenCV's: 4 bits after the horizontal pass make room for the vertical weights in
    32 bits, and 4 + 16 + 2 bits are the 22 bits of both weights.
    """
    needed, positions = np.unique(np.concatenate([rows.low, rows.high]), return_inverse=True)
    source = image[needed]
    # Indexing is four times as fast as ``take`` here. It returns a transposed layout; order="C"
    # restores the rows.
    horizontal = source[:, columns.low].astype(np.int32, order="C")
    horizontal *= columns.low_weight
    high_part = source[:, columns.high].astype(np.int32, order="C")
    high_part *= columns.high_weight
    horizontal += high_part
    horizontal >>= 4

    row_count = len(rows.low)
    result = horizontal[positions[:row_count]]
    result *= rows.low_weight[:, None]
    result >>= 16
    below = horizontal[positions[row_count:]]
    below *= rows.high_weight[:, None]
    below >>= 16
    result += below
    result += 2
    result >>= 2
    return result


def _float_neighbors(source_length: int, length: int) -> _Neighbors:
    """Find the two source positions around each position of the result, along one axis."""
    scale = float(np.float32(source_length) / np.float32(length))
    # torch uses a fused multiply-add: exact in between, and one rounding to float32 at the end.
    positions = (scale * (np.arange(length) + 0.5) - 0.5).astype(np.float32)
    positions = np.maximum(positions, 0)
    low = np.minimum(positions.astype(np.int64), source_length - 1)
    fractions = np.clip(positions - low, 0, 1).astype(np.float32)
    return _Neighbors(
        low=low,
        high=np.minimum(low + 1, source_length - 1),
        low_weight=1 - fractions,
        high_weight=fractions,
    )
