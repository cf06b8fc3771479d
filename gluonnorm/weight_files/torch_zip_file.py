"""PyTorch's .pth files since version 1.6, read without PyTorch.

The file is a zip. ``<name>/data.pkl`` is a pickle that describes tensors, ``<name>/data/<key>`` is
the raw content of each storage, and ``<name>/byteorder`` is their byte order (little-endian without
this member). Sources: torch/serialization.py, torch/_utils.py.
"""

import io
import os
import zipfile
from typing import List, Optional

from gluonnorm.errors import first_line
from gluonnorm.weight_files.content import Content, WeightFileError
from gluonnorm.weight_files.foreign_files import describe_archive
from gluonnorm.weight_files.torch_pickle import Storage, Tensor, TorchUnpickler
from gluonnorm.weight_files.torch_tensors import fill_buffer, make_arrays
from gluonnorm.weight_files.weight_search import find_weights

import numpy as np

PICKLE_NAME = "data.pkl"


def read_torch_zip(path: str, entry: Optional[str] = None) -> Content:
    """Read the weights in a .pth file of PyTorch 1.6 or later.

    Only the storages that the weights use are read, so a checkpoint's optimizer state costs
    nothing.

    Parameters
    ----------
    path : str
        The file.
    entry : str or None
        Where the weights are in a checkpoint, see ``find_weights``.

    Returns
    -------
    Content
        The arrays, bfloat16 as ``BFLOAT16``, and a note on entries that were left out.

    Raises
    ------
    WeightFileError
        The file is damaged, names code, is compressed, or holds no dictionary of tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(path, archive, entry)
    except WeightFileError:
        raise
    except Exception as error:
        # A damaged zip ends in errors of many classes.
        raise WeightFileError(
            f"{path}: not a readable .pth file, its zip is cut, damaged or altered "
            f"({first_line(error)}); fetch it again"
        ) from error


def _read_archive(path: str, archive: zipfile.ZipFile, entry: Optional[str]) -> Content:
    """Check the members of an open zip, and read the weights in it."""
    folder = _find_folder(path, archive.namelist())
    _refuse_inflation(path, archive.infolist())
    is_little_endian = _read_byte_order(path, archive, folder)
    members = {member.filename: member for member in archive.infolist()}

    def read_storage(storage: Storage) -> np.ndarray:
        member_name = f"{folder}data/{storage.key}"
        expected_size = storage.total_length * storage.dtype.itemsize
        member = members.get(member_name)
        if member is None or member.file_size != expected_size:
            actual = "missing" if member is None else f"{member.file_size} bytes"
            raise WeightFileError(
                f"{path}: storage {member_name} is {actual}, {expected_size} bytes are wanted; the "
                "file is damaged or altered, fetch it again"
            )
        buffer = np.empty(expected_size, np.uint8)
        with archive.open(member) as file:
            # zipfile compares the checksum when the last byte of the member is read.
            fill_buffer(file, buffer, path)
        stored_dtype = storage.dtype if is_little_endian else storage.dtype.newbyteorder(">")
        return buffer.view(stored_dtype)

    pickle_file = io.BytesIO(archive.read(f"{folder}{PICKLE_NAME}"))
    unpickler = TorchUnpickler(pickle_file, path)
    found = find_weights(unpickler.read(), path, entry, (Tensor,))
    arrays = make_arrays(path, found.arrays, read_storage)
    return Content(arrays, [*found.notes, *unpickler.notes()])


def _find_folder(path: str, names: List[str]) -> str:
    """Find the folder of ``data.pkl`` in the zip: its name with a slash at the end, or ""."""
    pickle_names = []
    for name in names:
        if f"/{name}".endswith(f"/{PICKLE_NAME}"):
            pickle_names.append(name)
        if "/code/" in f"/{name}":
            raise WeightFileError(
                f"{path}: a TorchScript program, not weights alone; load it with torch.jit.load "
                "and save its state_dict"
            )
    if not pickle_names:
        raise WeightFileError(f"{path}: {describe_archive(names)}")
    has_duplicates = len(set(names)) != len(names)
    if len(pickle_names) != 1 or has_duplicates:
        raise WeightFileError(
            f"{path}: a zip, but not of weights: {len(pickle_names)} members {PICKLE_NAME}, "
            "exactly one is wanted; give the .pth file itself, or an .npz"
        )
    return pickle_names[0][: -len(PICKLE_NAME)]


def _refuse_inflation(path: str, members: List[zipfile.ZipInfo]) -> None:
    """Refuse a zip whose members are larger than the file.

    PyTorch compresses nothing, so each member takes its own size in the file. Compressed members,
    or members that share the same bytes of the file, would make large arrays out of a small file.
    """
    total_size = 0
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise WeightFileError(
                f"{path}: member {member.filename} is compressed, which PyTorch does not do; "
                "unpack it and zip it again without compression"
            )
        total_size += member.file_size
    if total_size > os.path.getsize(path):
        raise WeightFileError(
            f"{path}: its members claim more bytes than the file has; the file is damaged or "
            "altered, fetch it again"
        )


def _read_byte_order(path: str, archive: zipfile.ZipFile, folder: str) -> bool:
    """Read whether the storages are little-endian."""
    member_name = f"{folder}byteorder"
    if member_name not in archive.namelist():
        return True
    order = archive.read(member_name)
    if order not in (b"little", b"big"):
        raise WeightFileError(
            f"{path}: byte order {order[:20]!r}, neither little nor big; the file is damaged, "
            "fetch it again"
        )
    return order == b"little"
