"""bfloat16 as a dtype of NumPy, and the conversion of 16-bit arrays to float32."""

from collections import Counter
from typing import Dict

from gluonnorm.weight_files.content import Content

import numpy as np

# NumPy has no bfloat16. This record of one 16-bit field is how MXNet describes it to NumPy.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])


def to_single_precision(content: Content) -> Content:
    """Convert the float16 and bfloat16 arrays of a file to float32, which is exact.

    Parameters
    ----------
    content : Content
        Arrays of any dtype; bfloat16 as ``BFLOAT16``.

    Returns
    -------
    Content
        The arrays, where float16 and bfloat16 became float32 and other dtypes stay, and the notes
        with one more for each of the two dtypes that occurred.
    """
    arrays: Dict[str, np.ndarray] = {}
    counts: Dict[str, int] = Counter()
    for name, array in content.arrays.items():
        if array.dtype == BFLOAT16:
            # bfloat16 is the upper half of the bits of a float32.
            bits = array["bfloat16"].astype(np.uint32) << 16
            arrays[name] = bits.view(np.float32)
            counts["bfloat16"] += 1
        elif array.dtype == np.float16:
            arrays[name] = array.astype(np.float32)
            counts["float16"] += 1
        else:
            arrays[name] = array
    notes = list(content.notes)
    for dtype_name, count in counts.items():
        subject = "1 tensor was" if count == 1 else f"{count} tensors were"
        verb = "is" if count == 1 else "are"
        notes.append(f"{subject} {dtype_name} and {verb} read as float32")
    return Content(arrays, notes)
