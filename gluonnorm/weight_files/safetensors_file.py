"""The safetensors format, read and written with NumPy.

A file is the length of the header in 8 bytes, the header as JSON, and the raw bytes of the arrays.
Source: the format's description in the README of huggingface/safetensors.
"""

import json
import os
from typing import Any, BinaryIO, Dict, List, Mapping, NamedTuple, Tuple

from gluonnorm.errors import first_line
from gluonnorm.weight_files.content import Content, WeightFileError, unreadable_file
from gluonnorm.weight_files.half_precision import BFLOAT16

import numpy as np

# Python needs up to twenty times the bytes of a header. The format allows ten times this limit, and
# an array takes about a hundred bytes of it.
LONGEST_HEADER = 10_000_000
LONGEST_NUMBER = 20  # digits
LENGTH_SIZE = 8  # bytes of the header's length
METADATA = "__metadata__"  # the one key of the header that is no array
DTYPES: Dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


class _Entry(NamedTuple):
    """The header's entry of one array; ``begin`` and ``end`` count bytes from the header's end."""

    begin: int
    end: int
    shape: Tuple[int, ...]
    dtype_name: str
    name: str


def read_safetensors(path: str) -> Content:
    """Read a .safetensors file.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    Content
        The arrays, bfloat16 as ``BFLOAT16``, and no notes.

    Raises
    ------
    WeightFileError
        The file is damaged, the header does not describe exactly the bytes that follow it, or an
        array is of a type that NumPy does not have.
    """
    try:
        with open(path, "rb") as file:
            return Content(_read_arrays(path, file, os.path.getsize(path)), [])
    except WeightFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__} {first_line(error)}"
        raise unreadable_file(path, ".safetensors", reason) from error


def write_safetensors(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a .safetensors file.

    Parameters
    ----------
    path : str
        The file.
    arrays : mapping of str to numpy.ndarray
        The arrays by name.

    Raises
    ------
    WeightFileError
        The format has no such dtype, or an array is named ``__metadata__``.
    """
    dtype_names = {dtype: dtype_name for dtype_name, dtype in DTYPES.items()}
    header: Dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        if name == METADATA:
            raise WeightFileError(f"{name}: safetensors reserves this name; rename the array")
        dtype_name = dtype_names.get(array.dtype.newbyteorder("<"))
        if dtype_name is None:
            raise WeightFileError(
                f"{name}: {array.dtype} cannot be stored in a .safetensors file; cast it to float32"
            )
        begin = end
        end = begin + array.nbytes
        header[name] = {
            "dtype": dtype_name,
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    header_bytes = json.dumps(header).encode("utf-8")
    # Spaces after the header align the arrays to 8 bytes.
    header_bytes += b" " * (-len(header_bytes) % 8)
    with open(path, "wb") as file:
        file.write(len(header_bytes).to_bytes(LENGTH_SIZE, "little"))
        file.write(header_bytes)
        for array in arrays.values():
            little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
            file.write(little_endian.tobytes())


def _read_arrays(path: str, file: BinaryIO, file_size: int) -> Dict[str, np.ndarray]:
    """Read the arrays of an open file; a damaged file raises nearly any error."""
    header_size = int.from_bytes(file.read(LENGTH_SIZE), "little")
    if header_size > min(LONGEST_HEADER, file_size - LENGTH_SIZE):
        raise ValueError(f"a header of {header_size} bytes in a file of {file_size}")
    header = json.loads(file.read(header_size).decode("utf-8"), parse_int=_short_int)
    header.pop(METADATA, None)
    data_size = file_size - LENGTH_SIZE - header_size
    arrays: Dict[str, np.ndarray] = {}
    position = 0
    for entry in _sorted_entries(path, header):
        dtype = DTYPES[entry.dtype_name]
        entry_size = dtype.itemsize
        for length in entry.shape:
            entry_size *= length
        # The format has no gaps and no overlaps, so no more bytes are ever read than the file has.
        is_adjacent = entry.begin == position
        has_size = entry.end - entry.begin == entry_size
        if not is_adjacent or not has_size or entry.end > data_size:
            raise ValueError(
                f"{entry.name} of shape {entry.shape}, {entry.dtype_name}, at bytes {entry.begin} "
                f"to {entry.end}"
            )
        raw = np.fromfile(file, np.uint8, entry_size)
        array = raw.view(dtype).reshape(entry.shape)
        arrays[entry.name] = array.astype(dtype.newbyteorder("="), copy=False)
        position = entry.end
    if position != data_size:
        raise ValueError(f"{data_size - position} bytes that belong to no array")
    return {name: arrays[name] for name in header}


def _short_int(digits: str) -> int:
    """Convert a number of the header; Python needs minutes for one of a million digits."""
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _sorted_entries(path: str, header: Dict[str, Any]) -> List[_Entry]:
    """Check the header's entry of each array, and sort the entries by their place in the file."""
    entries = []
    for name, fields in header.items():
        shape = fields["shape"]
        begin, end = fields["data_offsets"]
        dtype_name = fields["dtype"]
        for number in (*shape, begin, end):
            if type(number) is not int or number < 0:
                raise ValueError(f"shape {shape}, data_offsets {begin} to {end}")
        if dtype_name not in DTYPES:
            raise WeightFileError(
                f"{path}: holds arrays of {dtype_name!a:.20}, and only {', '.join(DTYPES)} are "
                "read here; save them as F32"
            )
        entries.append(_Entry(begin, end, tuple(shape), dtype_name, name))
    return sorted(entries)
