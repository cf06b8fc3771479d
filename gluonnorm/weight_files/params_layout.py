"""Walk over a .params file without loading it, and refuse what its bytes cannot hold.

MXNet 1.9.1 allocates the shapes and counts that a file announces before it reads any data, so a few
bytes could use up the memory. Source: src/ndarray/ndarray.cc (NDArray::Save, NDArray::Load).
"""

import os
import struct
from typing import BinaryIO

HEADER_SIZE = 16  # bytes of the magic number and of a reserved number
MAGIC_V1 = 0xF993FAC8
MAGIC_V2 = 0xF993FAC9
MAGIC_V3 = 0xF993FACA
DENSE = 0
MOST_AXES = 32
# Bytes of an element by MXNet's number of the type: float32, float64, float16, uint8, int32, int8,
# int64, bool, int16, uint16, uint32, uint64, bfloat16.
ELEMENT_SIZES = (4, 8, 2, 1, 4, 1, 8, 1, 2, 2, 4, 8, 2)


def check_layout(path: str) -> None:
    """Check that all arrays and names of a .params file lie within it.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    ValueError
        An array, a name, or a count of either is larger than the file, or an array is sparse.
    """
    file_size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(HEADER_SIZE)
        array_count = _read_number(file, "<Q")
        # Each array takes at least its magic number.
        _check_size(file, 4 * array_count, file_size, f"{array_count} arrays")
        for _ in range(array_count):
            _skip_array(file, file_size)
        name_count = _read_number(file, "<Q")
        _check_size(file, 8 * name_count, file_size, f"{name_count} names")
        for _ in range(name_count):
            length = _read_number(file, "<Q")
            _check_size(file, length, file_size, f"a name of {length} letters")
            file.seek(length, os.SEEK_CUR)


def _skip_array(file: BinaryIO, file_size: int) -> None:
    """Step over one array."""
    magic = _read_number(file, "<I")
    dimension_format = "<q"
    if magic in (MAGIC_V2, MAGIC_V3):
        if _read_number(file, "<i") != DENSE:
            raise ValueError("a sparse array; save dense ones")
        axes = _read_number(file, "<i")
    elif magic == MAGIC_V1:
        axes = _read_number(file, "<i")
    else:
        # Files of MXNet before 0.11 have the number of axes in place of a magic number.
        axes = magic
        dimension_format = "<I"
    # Before version 3 of the format, no axes meant no array; in version 3 a negative number does.
    if axes < 0 or (axes == 0 and magic != MAGIC_V3):
        return
    if axes > MOST_AXES:
        raise ValueError(f"an array of {axes} axes")
    shape = [_read_number(file, dimension_format) for _ in range(axes)]
    _read_number(file, "<q")  # the device, two numbers of 4 bytes
    element_type = _read_number(file, "<i")
    if not 0 <= element_type < len(ELEMENT_SIZES):
        raise ValueError(f"an array of type {element_type}")
    size = ELEMENT_SIZES[element_type]
    for length in shape:
        if length < 0:
            raise ValueError(f"an array of shape {tuple(shape)}")
        size *= length
    _check_size(file, size, file_size, f"an array of shape {tuple(shape)}")
    file.seek(size, os.SEEK_CUR)


def _read_number(file: BinaryIO, number_format: str) -> int:
    """Read one number; ``number_format`` is that of ``struct``."""
    size = struct.calcsize(number_format)
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it ends early")
    number: int = struct.unpack(number_format, data)[0]
    return number


def _check_size(file: BinaryIO, size: int, file_size: int, description: str) -> None:
    """Refuse what is larger than the rest of the file."""
    remaining = file_size - file.tell()
    if size > remaining:
        raise ValueError(f"{description} in the last {remaining} bytes")
