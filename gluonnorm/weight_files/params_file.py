"""MXNet's .params files, read and written by MXNet."""

from typing import Dict, Mapping

from gluonnorm.errors import first_few, first_line
from gluonnorm.weight_files.content import Content
from gluonnorm.weight_files.weight_file_error import WeightFileError, unreadable_file

import mxnet as mx
import numpy as np

# Module and the symbol API mark a name as that of an argument or of an auxiliary state.
SYMBOL_PREFIXES = ("arg:", "aux:")
STORABLE_DTYPES = tuple(map(np.dtype, ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "?")))


def read_params(path: str) -> Content:
    """Read a .params file of Gluon, Module or the symbol API.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    Content
        The arrays without the ``arg:`` and ``aux:`` in front of their names; bfloat16 as
        ``BFLOAT16``. No notes.

    Raises
    ------
    WeightFileError
        The file is damaged, has arrays without names, or names that differ in ``arg:`` and ``aux:``
        only.
    """
    try:
        stored = mx.nd.load(path)
    except Exception as error:
        # MXNet raises errors of several classes, with a stack trace of many lines as their message.
        raise unreadable_file(path, ".params", first_line(error)) from error
    if not isinstance(stored, dict):
        raise WeightFileError(f"{path}: holds arrays without names; save with net.save_parameters")
    arrays: Dict[str, np.ndarray] = {}
    for stored_name, array in stored.items():
        is_prefixed = stored_name.startswith(SYMBOL_PREFIXES)
        name = stored_name[len("arg:") :] if is_prefixed else stored_name
        if name in arrays:
            raise WeightFileError(
                f"{path}: names that differ in arg: and aux: only; save with net.save_parameters"
            )
        arrays[name] = array.asnumpy()
    return Content(arrays, [])


def write_params(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a .params file that ``mx.nd.load`` and ``net.load_parameters`` read.

    Parameters
    ----------
    path : str
        The file.
    arrays : mapping of str to numpy.ndarray
        The arrays by name.

    Raises
    ------
    WeightFileError
        The format has no such dtype, no array without axes or elements, or the disk is full.
    """
    refused = []
    tensors: Dict[str, mx.nd.NDArray] = {}
    for name, array in arrays.items():
        native_dtype = array.dtype.newbyteorder("=")
        # MXNet 1.9.1 saves an array of shape () in a file that it cannot load. A 0 in the shape of
        # a parameter means a length that is not known yet, so empty arrays are refused as well.
        is_empty = array.size == 0 or array.ndim == 0
        if native_dtype not in STORABLE_DTYPES or is_empty:
            refused.append(f"{name} {array.dtype}{array.shape}")
            continue
        native = array.astype(native_dtype, copy=False)
        tensors[name] = mx.nd.array(native, dtype=native_dtype)
    if refused:
        raise WeightFileError(
            f"{first_few(refused, 3)} cannot be arrays of a .params file: float16, 32, 64, int8, "
            "32, 64, uint8 and bool with at least one axis and element can"
        )
    try:
        mx.nd.save(path, tensors)
        # MXNet closes a file without asking whether its last bytes reached the disk. Reading it
        # back finds out.
        mx.nd.load(path)
    except mx.base.MXNetError as error:
        last_line = str(error).strip().splitlines()[-1]
        raise WeightFileError(
            f"cannot be written completely ({last_line}); is the disk full?"
        ) from error
