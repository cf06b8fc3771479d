"""PyTorch's .pth files, written without PyTorch in the format of ``torch_zip_file``."""

import struct
import zipfile
from typing import List, Mapping, Sequence, Tuple

from gluonnorm.errors import first_few
from gluonnorm.weight_files.content import WeightFileError
from gluonnorm.weight_files.torch_pickle import STORAGE_DTYPES

import numpy as np

# Pickle operations of protocol 2, as bytes.
EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
REBUILD_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
PROTOCOL = b"\x80\x02"
FALSE = b"\x89"
MARK = b"("
REDUCE = b"R"
PERSISTENT_ID = b"Q"
SET_ITEMS = b"u"
STOP = b"."


def write_torch(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file that ``torch.load(path, weights_only=True)`` reads as tensors on the CPU.

    Parameters
    ----------
    path : str
        The file.
    arrays : mapping of str to numpy.ndarray
        The arrays by name. They come back as an OrderedDict.

    Raises
    ------
    WeightFileError
        PyTorch has no such dtype.
    """
    type_names = {dtype: type_name for type_name, dtype in STORAGE_DTYPES.items()}
    refused = []
    storage_types = []
    for name, array in arrays.items():
        little_endian = array.dtype.newbyteorder("<")
        if little_endian in type_names:
            storage_types.append(type_names[little_endian])
        else:
            refused.append(f"{name} ({array.dtype})")
    if refused:
        raise WeightFileError(
            f"{first_few(refused, 3)} cannot be tensors of a .pth file; cast to float32 or int64"
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo has a constant date, so the same arrays always give the same file.
        pickled = _pickle_tensors(arrays, storage_types)
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickled)
        archive.writestr(zipfile.ZipInfo("archive/byteorder"), b"little")
        for index, array in enumerate(arrays.values()):
            elements = array.astype(array.dtype.newbyteorder("<"), copy=False)
            archive.writestr(zipfile.ZipInfo(f"archive/data/{index}"), elements.tobytes())
        archive.writestr(zipfile.ZipInfo("archive/version"), b"3\n")


def _pickle_tensors(arrays: Mapping[str, np.ndarray], storage_types: Sequence[str]) -> bytes:
    """Pickle an OrderedDict of contiguous tensors, each with a storage of its own."""
    parts = [PROTOCOL, EMPTY_ORDERED_DICT, MARK]
    for index, (name, array) in enumerate(arrays.items()):
        storage = _pickle_tuple(
            [
                _pickle_text("storage"),
                f"ctorch\n{storage_types[index]}\n".encode(),
                _pickle_text(str(index)),
                _pickle_text("cpu"),
                _pickle_integer(array.size),
            ]
        )
        tensor = _pickle_tuple(
            [
                storage + PERSISTENT_ID,
                _pickle_integer(0),  # offset
                _pickle_tuple([_pickle_integer(length) for length in array.shape]),
                _pickle_tuple(
                    [_pickle_integer(stride) for stride in _contiguous_strides(array.shape)]
                ),
                FALSE,  # requires_grad
                EMPTY_ORDERED_DICT,  # backward hooks
            ]
        )
        parts += [_pickle_text(name), REBUILD_TENSOR, tensor, REDUCE]
    return b"".join([*parts, SET_ITEMS, STOP])


def _contiguous_strides(shape: Tuple[int, ...]) -> List[int]:
    """Strides of a C-contiguous tensor in elements, as PyTorch has them.

    PyTorch multiplies the strides by 1 for an axis of length 0.
    """
    strides = []
    stride = 1
    for length in reversed(shape):
        strides.append(stride)
        stride *= max(length, 1)
    return strides[::-1]


def _pickle_text(text: str) -> bytes:
    """Pickle text as the operation BINUNICODE."""
    encoded = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _pickle_integer(number: int) -> bytes:
    """Pickle an integer of at least 0, as BININT if it fits in 32 bits, else as LONG1."""
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    encoded = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def _pickle_tuple(items: Sequence[bytes]) -> bytes:
    """Pickle a tuple of items that are pickled already."""
    return MARK + b"".join(items) + b"t"
