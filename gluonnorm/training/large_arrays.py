"""Let the C library give the memory of large arrays back as soon as MXNet frees them."""

import ctypes
import os
import sys
from typing import Tuple

# Bytes. Arrays from this size on get pages of their own.
LARGE_ARRAY = 4 * 2**20
# Bytes. So much may lie unused at the end of a heap.
KEPT_HEAP = 64 * 2**20

# What glibc's mallopt calls each setting, and the environment variable of the same meaning.
SETTINGS: Tuple[Tuple[int, str, int], ...] = (
    (-3, "MALLOC_MMAP_THRESHOLD_", LARGE_ARRAY),
    (-1, "MALLOC_TRIM_THRESHOLD_", KEPT_HEAP),
)


def return_large_arrays() -> bool:
    """Let glibc place arrays of ``LARGE_ARRAY`` bytes and more outside of its heaps.

    MXNet asks the C library for every array of a training step, and frees it in another order than
    that of the requests. glibc starts with a limit of 128 KiB for its heaps, but raises it to
    32 MiB while such arrays are freed. Feature maps then leave holes in the heaps, which the next
    step's maps do not fit, and the process grows with the steps. A fixed limit ends that.

    Settings of the environment are left alone. It is called when a :class:`TrainStep` is made.

    Returns
    -------
    bool
        Whether the limits were set: False with another C library, and where the environment sets
        one of them.
    """
    if not sys.platform.startswith("linux"):
        return False
    if any(variable in os.environ for _, variable, _ in SETTINGS):
        return False
    c_library = ctypes.CDLL(None)
    # musl, the C library of Alpine Linux, has no such function.
    if not hasattr(c_library, "mallopt"):
        return False
    results = [c_library.mallopt(number, size) for number, _, size in SETTINGS]
    return all(results)
