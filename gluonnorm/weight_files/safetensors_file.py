"""The safetensors format: 8 bytes with the header's length, the header as JSON, then the arrays' raw bytes in a row.

Source: the format's description in the README of huggingface/safetensors.
"""
import json
import os
from typing import Any, BinaryIO, Dict, List, Mapping, Tuple

from gluonnorm.errors import first_line
from gluonnorm.weight_files.torch_pickle import BFLOAT16
from gluonnorm.weight_files.weight_file_error import WeightFileError

import numpy as np

LONGEST_HEADER = 100_000_000  # bytes, the format's own limit
DTYPES: Dict[str, np.dtype] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": BFLOAT16, "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"), "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}


def read_safetensors(path: str) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """The arrays of a .safetensors file, and no notes; bfloat16 comes as ``BFLOAT16``. Raises WeightFileError."""
    try:
        with open(path, "rb") as file:
            return _read(file, os.path.getsize(path)), []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightFileError(f"{path}: not a readable .safetensors file ({type(error).__name__} {first_line(error)}); "
                              "cut or damaged? Fetch it again") from error


def write_safetensors(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` to an open file. Raises WeightFileError for a dtype the format has not."""
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    header, end = {}, 0
    for name, array in arrays.items():
        kind = kinds.get(array.dtype.newbyteorder("<"))
        if kind is None or name == "__metadata__":
            raise WeightFileError(f"{name}: {array.dtype} does not go into a .safetensors file; cast it to float32")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays.values():
        file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def _read(file: BinaryIO, size: int) -> Dict[str, np.ndarray]:
    """The arrays of an open file of ``size`` bytes. Raises nearly anything if it is not as it should be."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(LONGEST_HEADER, size - 8):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = json.loads(file.read(length).decode("utf-8"))
    header.pop("__metadata__", None)
    entries = sorted((*_entry(fields), name) for name, fields in header.items())
    end, arrays = 0, {}
    for begin, stop, shape, kind, name in entries:
        dtype, count = DTYPES[kind], 1
        for axis in shape:
            count *= axis
        # The format wants no holes and no overlaps, so the bytes of the file are all that is ever read.
        if begin != end or stop - begin != count * dtype.itemsize or stop > size - 8 - length:
            raise ValueError(f"{name} of shape {shape}, {kind}, at bytes {begin} to {stop}")
        raw = np.fromfile(file, np.uint8, stop - begin)
        arrays[name] = raw.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"{size - 8 - length - end} bytes that belong to no array")
    return {name: arrays[name] for name in header}


def _entry(fields: Dict[str, Any]) -> Tuple[int, int, Tuple[int, ...], str]:
    shape, (begin, stop), kind = fields["shape"], fields["data_offsets"], fields["dtype"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, stop)):
        raise ValueError(f"shape {shape}, data_offsets {begin} to {stop}")
    if kind not in DTYPES:
        raise ValueError(f"dtype {kind}, known are {', '.join(DTYPES)}")
    return begin, stop, tuple(shape), kind
