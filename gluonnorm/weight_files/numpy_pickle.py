"""Stand-ins for what pickles of NumPy arrays and plain containers name."""

import pickle
from typing import Any, Dict, Optional, Tuple, Union

from gluonnorm.weight_files.unpickler import Foreign, StandIn, spend_on_copy

import numpy as np

# Codes of plain numbers as numpy.dtype takes them: bool, integers, floats.
NUMBER_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
LATIN1_NAMES = ("latin1", "iso88591")  # without hyphens and underscores
ENTRY_SIZE = 100  # bytes of an entry of a dictionary


class PickledDict(dict):
    """Stand-in for ``OrderedDict`` and ``Counter`` that keeps the items and ignores attributes.

    PyTorch pickles the attribute ``_metadata`` of a ``state_dict`` as the state of an OrderedDict.
    """

    def __init__(self, items: Any = ()) -> None:
        spend_on_copy(ENTRY_SIZE * len(items))
        super().__init__(items)

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


class PickledArray(StandIn):
    """Stand-in for ``numpy.ndarray``.

    Attributes
    ----------
    value : numpy.ndarray or None
        The array; an empty one until the pickle sets the state. None if its elements are no plain
        numbers.
    """

    __slots__ = ("value",)
    value: Optional[np.ndarray]

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
    """Stand-in for ``numpy.dtype``.

    Attributes
    ----------
    value : numpy.dtype or None
        The type; None if it is none of plain numbers, such as that of text or Python objects.
    """

    __slots__ = ("value",)
    value: Optional[np.dtype]

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        is_number = isinstance(code, str) and code in NUMBER_CODES
        self.value = np.dtype(code) if is_number else None

    def __setstate__(self, state: Any) -> None:
        byte_orders: Dict[str, Any] = {"<": "<", ">": ">", "|": "=", "=": "="}
        if self.value is not None:
            self.value = self.value.newbyteorder(byte_orders[state[1]])


class _EncodedBytes(StandIn):
    """Stand-in for ``_codecs.encode``, with which Python 3 writes bytes in protocol 2."""

    def __new__(cls, text: str, encoding: str) -> Any:
        plain_name = encoding.lower().replace("-", "").replace("_", "")
        if plain_name not in LATIN1_NAMES:
            raise pickle.UnpicklingError(f"bytes written as {encoding}, not latin1")
        spend_on_copy(len(text))
        return text.encode("latin1")


class _EmptyBytes(StandIn):
    """Stand-in for ``bytes()``, with which Python 3 writes empty bytes in protocol 2."""

    def __new__(cls) -> Any:
        return b""


class _PickledDefaultDict(StandIn):
    """Stand-in for ``collections.defaultdict``: a dictionary without its default."""

    def __new__(cls, factory: Any = None, items: Any = ()) -> Any:
        return PickledDict(items)


class _GetAttribute(StandIn):
    """Stand-in for ``getattr``, with which enums and methods are pickled: an inert class."""

    def __new__(cls, owner: Any, name: Any) -> Any:
        return Foreign


class _Reconstruct(StandIn):
    """Stand-in for ``numpy.core.multiarray._reconstruct``: an empty array, which BUILD fills."""

    def __new__(cls, array_type: Any, shape: Any, dtype: Any) -> Any:
        return PickledArray() if array_type is PickledArray else Foreign()


class _Scalar(StandIn):
    """Stand-in for ``numpy.core.multiarray.scalar``: an array without axes."""

    def __new__(cls, dtype: Any, raw: Any) -> Any:
        return _wrap_array(_make_array(raw, dtype, (), "C"))


class _FromBuffer(StandIn):
    """Stand-in for ``numpy.core.numeric._frombuffer``, with which NumPy writes protocol 5."""

    def __new__(cls, raw: Any, dtype: Any, shape: Any, order: str) -> Any:
        return _wrap_array(_make_array(raw, dtype, shape, order))


def _wrap_array(value: Optional[np.ndarray]) -> PickledArray:
    """Keep an array in the stand-in, so that no operation of a pickle reaches NumPy's own."""
    array = PickledArray()
    array.value = value
    return array


def _make_array(
    raw: Union[bytes, bytearray, str], dtype: Any, shape: Any, order: str
) -> Optional[np.ndarray]:
    """Make the array of a ``_PickledDtype`` and a shape from raw data, in memory of its own.

    The result is None for elements that are no plain numbers.
    """
    if not isinstance(dtype, _PickledDtype):
        raise pickle.UnpicklingError("an array without a dtype")
    if dtype.value is None:
        return None
    if not isinstance(raw, (bytes, bytearray, str)):
        raise pickle.UnpicklingError("an array of Python objects, not of plain numbers")
    # Pickles of Python 2 hold bytes, which the unpickler decoded as latin1.
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    flat = np.frombuffer(data, dtype.value)
    count = 1
    for length in shape:
        count *= length
    has_lengths = all(type(length) is int and length >= 0 for length in shape)
    if not has_lengths or count != len(flat) or order not in ("C", "F"):
        raise pickle.UnpicklingError(f"{len(data)} bytes for an array of another shape")
    spend_on_copy(flat.nbytes)
    array = flat.reshape(shape, order=order)  # type: ignore[call-overload]
    return array.astype(dtype.value.newbyteorder("="), order="C")


# Plain types of Python. They are no weights, and not worth a note.
PLAIN_TYPES = (
    "bool bytearray complex dict float frozenset int list object range set slice str tuple"
)

PLAIN_STAND_INS: Dict[Tuple[str, str], type] = {
    ("collections", "OrderedDict"): PickledDict,
    ("collections", "Counter"): PickledDict,
    ("collections", "defaultdict"): _PickledDefaultDict,
    ("builtins", "getattr"): _GetAttribute,
    ("__builtin__", "getattr"): _GetAttribute,
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
for _module in ("builtins", "__builtin__"):
    for _type_name in PLAIN_TYPES.split():
        PLAIN_STAND_INS[_module, _type_name] = Foreign
