"""Stand-ins for what pickles of NumPy arrays and plain containers name."""

import pickle
from typing import Any, Dict, Tuple, Union

from gluonnorm.weight_files.unpickler import StandIn

import numpy as np

# Codes of plain numbers as numpy.dtype takes them: bool, integers, floats.
NUMBER_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
LATIN1_NAMES = ("latin1", "iso88591")  # without hyphens and underscores


class PickledDict(dict):
    """Stand-in for ``OrderedDict`` and ``Counter`` that keeps the items and ignores attributes.

    PyTorch pickles the attribute ``_metadata`` of a ``state_dict`` as the state of an OrderedDict.
    """

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


class PickledArray(StandIn):
    """Stand-in for ``numpy.ndarray``.

    Attributes
    ----------
    value : numpy.ndarray
        The array; an empty one until the pickle sets the state.
    """

    __slots__ = ("value",)
    value: np.ndarray

    def __new__(cls, *args: Any) -> Any:
        """Ignore the arguments, which describe the array that NumPy itself fills later."""
        instance = object.__new__(cls)
        instance.value = np.zeros(0, np.float32)
        return instance

    def __setstate__(self, state: Any) -> None:
        """Take the shape, dtype, order and raw data."""
        _, shape, dtype, is_fortran, raw = state
        order = "F" if is_fortran else "C"
        self.value = _make_array(raw, dtype, shape, order)


class _PickledDtype(StandIn):
    """Stand-in for ``numpy.dtype`` that takes plain numbers only; ``value`` is the dtype."""

    __slots__ = ("value",)
    value: np.dtype

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if code not in NUMBER_CODES:
            raise pickle.UnpicklingError(f"an array of {code!r}, not of plain numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        byte_orders: Dict[str, Any] = {"<": "<", ">": ">", "|": "=", "=": "="}
        self.value = self.value.newbyteorder(byte_orders[state[1]])


class _EncodedBytes(StandIn):
    """Stand-in for ``_codecs.encode``, with which Python 3 writes bytes in protocol 2."""

    def __new__(cls, text: str, encoding: str) -> Any:
        plain_name = encoding.lower().replace("-", "").replace("_", "")
        if plain_name not in LATIN1_NAMES:
            raise pickle.UnpicklingError(f"bytes written as {encoding}, not latin1")
        return text.encode("latin1")


class _EmptyBytes(StandIn):
    """Stand-in for ``bytes()``, with which Python 3 writes empty bytes in protocol 2."""

    def __new__(cls) -> Any:
        return b""


class _Reconstruct(StandIn):
    """Stand-in for ``numpy.core.multiarray._reconstruct``: an empty array, which BUILD fills."""

    def __new__(cls, array_type: Any, shape: Any, dtype: Any) -> Any:
        if array_type is not PickledArray:
            raise pickle.UnpicklingError("a kind of array that is no plain numpy.ndarray")
        return PickledArray()


class _Scalar(StandIn):
    """Stand-in for ``numpy.core.multiarray.scalar``: an array without axes."""

    def __new__(cls, dtype: Any, raw: Any) -> Any:
        return _make_array(raw, dtype, (), "C")


class _FromBuffer(StandIn):
    """Stand-in for ``numpy.core.numeric._frombuffer``, with which NumPy writes protocol 5."""

    def __new__(cls, raw: Any, dtype: Any, shape: Any, order: str) -> Any:
        return _make_array(raw, dtype, shape, order)


def _make_array(
    raw: Union[bytes, bytearray, str], dtype: Any, shape: Any, order: str
) -> np.ndarray:
    """Make the array of a ``_PickledDtype`` and a shape from raw data, in memory of its own."""
    if not isinstance(dtype, _PickledDtype) or not isinstance(raw, (bytes, bytearray, str)):
        raise pickle.UnpicklingError("an array of Python objects, not of plain numbers")
    # Pickles of Python 2 hold bytes, which the unpickler decoded as latin1.
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    flat = np.frombuffer(data, dtype.value)
    count = 1
    for length in shape:
        count *= length
    has_lengths = all(type(length) is int and length >= 0 for length in shape)
    if not has_lengths or count != len(flat) or order not in "CF":
        raise pickle.UnpicklingError(f"{len(data)} bytes for an array of shape {shape}")
    array = flat.reshape(shape, order=order)  # type: ignore[call-overload]
    return array.astype(dtype.value.newbyteorder("="), order="C")


PLAIN_STAND_INS: Dict[Tuple[str, str], type] = {
    ("collections", "OrderedDict"): PickledDict,
    ("collections", "Counter"): PickledDict,
    ("argparse", "Namespace"): StandIn,
    ("_codecs", "encode"): _EncodedBytes,
    ("builtins", "bytes"): _EmptyBytes,
    ("__builtin__", "bytes"): _EmptyBytes,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _PickledDtype,
    # NumPy 2 renamed numpy.core to numpy._core.
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "scalar"): _Scalar,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer,
}
