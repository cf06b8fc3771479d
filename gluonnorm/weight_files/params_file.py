"""MXNet's .params files, read and written by MXNet."""

from typing import Dict, Mapping

from gluonnorm.errors import first_few, first_line
from gluonnorm.weight_files.content import Content, WeightFileError, unreadable_file
from gluonnorm.weight_files.params_layout import check_layout

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
        The file is damaged, its arrays have no names, or two names differ only in ``arg:`` and
        ``aux:``.
    """
    try:
        check_layout(path)
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
                f"{path}: arg:{name} and aux:{name} would both be {name}; save with "
                "net.save_parameters"
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
        The format cannot store a dtype, or an array without axes or elements; or the disk is full.
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
            f"{first_few(refused, 3)} cannot be stored in a .params file; want float16, 32, 64, "
            "int8, 32, 64, uint8 or bool, with at least one axis and one element"
        )
    try:
        mx.nd.save(path, tensors)
        # MXNet 1.9.1 closes a file without checking that its last bytes reached the disk, so a full
        # disk shows only when the file is read back.
        mx.nd.load(path)
    except mx.base.MXNetError as error:
        raise WeightFileError(
            f"cannot be written completely ({first_line(error)}); is the disk full?"
        ) from error
