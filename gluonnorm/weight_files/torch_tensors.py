"""Arrays made of the tensors in a PyTorch file, with bounds on the memory they take."""

import os
from collections import Counter
from typing import Any, Callable, Dict

from gluonnorm.weight_files.content import WeightFileError
from gluonnorm.weight_files.torch_pickle import Storage, Tensor

import numpy as np
from numpy.lib.stride_tricks import as_strided

# Bytes that copies of tensors may take in addition to eight times the size of the file.
COPY_ALLOWANCE = 64 << 20
READ_SIZE = 1 << 22  # bytes read at once


def make_arrays(
    path: str, weights: Dict[str, Any], read_storage: Callable[[Storage], np.ndarray]
) -> Dict[str, np.ndarray]:
    """Make an array of each tensor. No two arrays share memory.

    Each storage is read for the first tensor that views it, and dropped after the last one. A
    tensor that is the only view of a storage, and covers all of it, takes over its memory. Any
    other tensor is copied.

    Parameters
    ----------
    path : str
        The file, which bounds the memory that copies may take.
    weights : dict of str to Tensor or numpy.ndarray
        The tensors by name. Arrays stay as they are.
    read_storage : callable
        Takes a complete ``Storage`` and returns its elements as a flat array.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays, C-contiguous and in native byte order, in the order of ``weights``.

    Raises
    ------
    WeightFileError
        A tensor is not possible, or its copy takes far more memory than the file has bytes.
    """
    storages = _StorageCache(weights, read_storage)
    # Strides of 0 make an array of any size out of a few bytes, so the size of all copies is
    # limited.
    allowance = COPY_ALLOWANCE + 8 * os.path.getsize(path)
    arrays: Dict[str, np.ndarray] = {}
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            arrays[name] = tensor
            continue
        is_only_user = storages.has_one_user(tensor.storage)
        elements = storages.take(tensor.storage)
        view = _view_tensor(path, name, elements, tensor)
        covers_storage = view.flags.c_contiguous and view.size == elements.size
        if not (is_only_user and covers_storage):
            allowance -= view.nbytes
            if allowance < 0:
                raise WeightFileError(
                    f"{path}: {name} of shape {view.shape} takes far more memory than the file "
                    "has bytes; refused. Save it with .contiguous(), or do not trust this file"
                )
            view = view.copy(order="C")
        arrays[name] = view.astype(view.dtype.newbyteorder("="), copy=False)
    return arrays


def fill_buffer(file: Any, buffer: np.ndarray, path: str) -> None:
    """Read exactly as many bytes as a buffer has.

    Parameters
    ----------
    file : binary file
        Open for reading, at the first byte.
    buffer : numpy.ndarray
        Flat array of uint8 that takes the bytes.
    path : str
        The name that the error message gives the file.

    Raises
    ------
    WeightFileError
        The file ends early.
    """
    filled = 0
    while filled < len(buffer):
        count = file.readinto(buffer[filled : filled + READ_SIZE])
        if not count:
            raise WeightFileError(
                f"{path}: ends {len(buffer) - filled} bytes early; the file is cut, fetch it again"
            )
        filled += count


class _StorageCache:
    """The storages in memory: each is read for its first tensor, and dropped after its last."""

    def __init__(
        self, weights: Dict[str, Any], read_storage: Callable[[Storage], np.ndarray]
    ) -> None:
        tensors = [value for value in weights.values() if isinstance(value, Tensor)]
        self._users = Counter(tensor.storage.key for tensor in tensors)
        self._remaining_users = Counter(self._users)
        self._loaded: Dict[str, np.ndarray] = {}
        self._read_storage = read_storage

    def has_one_user(self, storage: Storage) -> bool:
        """Whether a single tensor views the storage."""
        return self._users[storage.key] == 1

    def take(self, storage: Storage) -> np.ndarray:
        """Return the elements of a complete storage, for one tensor that views it."""
        key = storage.key
        if key not in self._loaded:
            complete = storage._replace(start=0, length=storage.total_length)
            self._loaded[key] = self._read_storage(complete)
        self._remaining_users[key] -= 1
        if self._remaining_users[key] > 0:
            return self._loaded[key]
        return self._loaded.pop(key)


def _view_tensor(path: str, name: str, elements: np.ndarray, tensor: Tensor) -> np.ndarray:
    """View a storage as a tensor, whose bounds the unpickler compared with the storage."""
    try:
        if 0 in tensor.shape:
            return np.empty(tensor.shape, elements.dtype)
        begin = tensor.storage.start + tensor.offset
        strides = []
        for length, stride in zip(tensor.shape, tensor.strides):
            # The stride of an axis of length 1 is never used, and may be too large in bytes.
            used_stride = stride if length > 1 else 1
            strides.append(elements.itemsize * used_stride)
        return as_strided(elements[begin:], tensor.shape, strides, subok=False, writeable=True)
    except ValueError as error:
        raise WeightFileError(
            f"{path}: {name} of size {tensor.shape} is no possible array ({error})"
        ) from error
