"""PyTorch's .pth files, written without PyTorch, in the zip format of PyTorch 1.6 and later (see ``torch_file``)."""
import os
import struct
import zipfile
from contextlib import contextmanager
from typing import Iterator, List, Mapping, Tuple

from gluonnorm.weight_files.torch_pickle import STORAGES
from gluonnorm.weight_files.weight_file_error import WeightFileError

import numpy as np

TABLE = b"ccollections\nOrderedDict\n)R"  # OrderedDict()
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


@contextmanager
def whole_file(path: str) -> Iterator[str]:
    """The name of a file beside ``path`` to write to; it becomes ``path`` at the end, or is removed after an error."""
    temporary = f"{path}.tmp"
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(folder):
        what = f"there is no folder {folder}; make it" if not os.path.isdir(folder) else "it is a folder; give a file"
        raise WeightFileError(f"{path}: cannot be written: {what}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.isfile(temporary):
            os.remove(temporary)
        if isinstance(error, OSError):
            raise WeightFileError(f"{path}: cannot be written ({error})") from error
        raise


def write_torch(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` so that ``torch.load(path, weights_only=True)`` gives an OrderedDict of tensors on the CPU.

    The file is there whole or not at all. Raises WeightFileError for a dtype PyTorch's format has not.
    """
    kinds = {dtype: name for name, dtype in STORAGES.items()}
    wrong = [f"{name} ({array.dtype})" for name, array in arrays.items() if array.dtype.newbyteorder("<") not in kinds]
    if wrong:
        raise WeightFileError(f"{path}: {', '.join(wrong[:3])} cannot be tensors of a .pth file; cast to "
                              "float32 or int64")
    entries = [(name, kinds[array.dtype.newbyteorder("<")], array.shape) for name, array in arrays.items()]
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        # The date is the format's earliest, so that the same arrays give the same file.
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), _pickle(entries))
        archive.writestr(zipfile.ZipInfo("archive/byteorder"), b"little")
        for index, array in enumerate(arrays.values()):
            data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            archive.writestr(zipfile.ZipInfo(f"archive/data/{index}"), data)
        archive.writestr(zipfile.ZipInfo("archive/version"), b"3\n")


def _pickle(entries: List[Tuple[str, str, Tuple[int, ...]]]) -> bytes:
    """Protocol 2 of an OrderedDict of contiguous tensors (name, type of storage, shape), each with its own storage."""
    parts = [b"\x80\x02", TABLE, b"("]
    for index, (name, kind, shape) in enumerate(entries):
        count, strides = 1, ()  # type: int, Tuple[int, ...]
        for length in reversed(shape):
            strides = (count, *strides)
            count *= max(length, 1)
        storage = _tuple(_text("storage"), f"ctorch\n{kind}\n".encode(), _text(str(index)), _text("cpu"),
                         _integer(0 if 0 in shape else count)) + b"Q"
        tensor = _tuple(storage, _integer(0), _tuple(*map(_integer, shape)), _tuple(*map(_integer, strides)),
                        b"\x89", TABLE)
        parts += [_text(name), REBUILD, tensor, b"R"]
    return b"".join([*parts, b"u."])


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(number: int) -> bytes:
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    data = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"
