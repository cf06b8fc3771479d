"""PyTorch's .pth files of versions 0.1.10 to 1.5, read without PyTorch.

The file is a sequence of pickles, then the storages. The pickles are a magic number, the version
1001, facts about the machine, the object with its tensors, and the keys of the storages in their
order. Each storage is its number of elements in 8 bytes and its raw elements, both little-endian on
every machine. Sources: torch/serialization.py, torch/_utils.py.
"""

import os
from typing import Any, BinaryIO, Dict, Optional

from gluonnorm.weight_files.content import Content, WeightFileError
from gluonnorm.weight_files.torch_pickle import Storage, Tensor, TorchUnpickler
from gluonnorm.weight_files.torch_tensors import fill_buffer, make_arrays
from gluonnorm.weight_files.unpickler import Unpickler
from gluonnorm.weight_files.weight_search import find_weights

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001
LENGTH_SIZE = 8  # bytes of the number of elements in front of each storage
LONGEST_TEXT = 40  # letters of a value in a message


def read_torch_legacy(path: str, entry: Optional[str] = None) -> Content:
    """Read the weights in a .pth file of PyTorch 0.1.10 to 1.5.

    Only the storages that the weights use are read.

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
        The file is damaged, names code, or holds no dictionary of tensors.
    """
    with open(path, "rb") as file:
        for expected in (MAGIC_NUMBER, VERSION):
            number = Unpickler(file, path, {}).read()
            if number != expected:
                raise WeightFileError(
                    f"{path}: begins as a PyTorch file but has {_in_words(number)} where "
                    f"{expected} belongs; the file is damaged, fetch it again"
                )
        # The next pickle describes the machine that wrote the file, which no longer matters.
        Unpickler(file, path, {}).read()
        unpickler = TorchUnpickler(file, path)
        tree = unpickler.read()
        keys = Unpickler(file, path, {}).read()
        _refuse_foreign_storages(path, unpickler.foreign_storages)
        offsets = _find_storages(file, path, keys, unpickler.storages)

        def read_storage(storage: Storage) -> np.ndarray:
            file.seek(offsets[storage.key])
            buffer = np.empty(storage.total_length * storage.dtype.itemsize, np.uint8)
            fill_buffer(file, buffer, path)
            return buffer.view(storage.dtype)

        found = find_weights(tree, path, entry, (Tensor,))
        arrays = make_arrays(path, found.arrays, read_storage)
        return Content(arrays, [*found.notes, *unpickler.notes()])


def _refuse_foreign_storages(path: str, foreign_storages: Dict[str, str]) -> None:
    """Refuse elements of unknown size, behind which no storage can be found."""
    for key, type_name in foreign_storages.items():
        raise WeightFileError(
            f"{path}: storage {_in_words(key)} holds {type_name}, whose elements are not known "
            "here; save the weights alone (a state_dict), in float32 (quantized ones after "
            "dequantize())"
        )


def _find_storages(
    file: BinaryIO, path: str, keys: Any, storages: Dict[str, Storage]
) -> Dict[str, int]:
    """Find where the elements of each storage begin; the file is open at the first storage."""
    offsets: Dict[str, int] = {}
    position = file.tell()
    file_size = os.path.getsize(path)
    for key in keys if isinstance(keys, list) else [keys]:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise WeightFileError(
                f"{path}: storage {_in_words(key)} belongs to no tensor; the file is damaged, "
                "fetch it again"
            )
        file.seek(position)
        stored_length = int.from_bytes(file.read(LENGTH_SIZE), "little")
        begin = position + LENGTH_SIZE
        offsets[storage.key] = begin
        position = begin + storage.total_length * storage.dtype.itemsize
        if position > file_size or stored_length != storage.total_length:
            raise WeightFileError(
                f"{path}: storage {storage.key} of {storage.total_length} elements is not where it "
                f"should be, before byte {position} of {file_size}; the file is cut or damaged, "
                "fetch it again"
            )
    missing = set(storages) - set(offsets)
    if missing:
        raise WeightFileError(
            f"{path}: {len(missing)} storages are missing; the file is cut or damaged, fetch it "
            "again"
        )
    return offsets


def _in_words(value: Any) -> str:
    """Write a number or a text on a part of a line; of other objects only the type.

    Lists in lists without end have no text.
    """
    if isinstance(value, (int, str)):
        return repr(value)[:LONGEST_TEXT]
    return f"a {type(value).__name__}"
