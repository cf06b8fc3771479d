"""The run lengths in which Label Studio stores what a brush has painted.

Label Studio packs the bytes of an RGBA picture with the format of the JavaScript package rle-pack
(https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack): a header, then for each run one
bit (1: the value is repeated), two bits that choose among four lengths of the next number, the
number of values less one, and the value.
"""

from typing import List

from gluonnorm.cropped_masks import Crop

import numpy as np

CHANNELS = 4  # red, green, blue, alpha
VALUE_BITS = 8
COUNT_BITS = (3, 4, 8, 16)  # of the number of values in a run
LONGEST_RUN = 1 << COUNT_BITS[-1]
PAINTED = 255


def brush_runs(crop: Crop, height: int, width: int) -> List[int]:
    """Pack a mask as Label Studio does.

    Parameters
    ----------
    crop : Crop
        The part of the mask that may hold pixels.
    height, width : int
        Size of the photo in pixels.

    Returns
    -------
    list of int
        Bytes, for ``rle`` in a region with ``"format": "rle"``.
    """
    header = f"{CHANNELS * height * width:032b}{VALUE_BITS - 1:05b}"
    parts = [header, *(f"{bits - 1:04b}" for bits in COUNT_BITS)]
    value = 0
    for length in _run_lengths(crop, height, width):
        remaining = CHANNELS * length
        while remaining > 0:
            count = min(remaining, LONGEST_RUN)
            parts.append(_packed_run(count, value))
            remaining -= count
        value = PAINTED - value
    bits = "".join(parts)
    num_bytes = -(-len(bits) // 8)
    return list(int(bits.ljust(8 * num_bytes, "0"), 2).to_bytes(num_bytes, "big"))


def _packed_run(count: int, value: int) -> str:
    """Write a run as bits."""
    choice = next(number for number, bits in enumerate(COUNT_BITS) if count <= 1 << bits)
    return f"1{choice:02b}{count - 1:0{COUNT_BITS[choice]}b}{value:0{VALUE_BITS}b}"


def _run_lengths(crop: Crop, height: int, width: int) -> List[int]:
    """Count the pixels between changes along the rows of the photo; the first run is not painted.

    Only the rows of the crop are looked at.
    """
    rows, columns = crop.region
    # A pixel before the strip and one after it end the runs at its ends.
    pixels = np.zeros((rows.stop - rows.start) * width + 2, bool)
    pixels[1:-1].reshape(-1, width)[:, columns] = crop.pixels
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + rows.start * width
    return np.diff(np.concatenate([[0], changes, [height * width]])).tolist()
