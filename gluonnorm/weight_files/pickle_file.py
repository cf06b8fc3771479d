"""Pickles of NumPy arrays and plain containers (Detectron, Detectron2), and where in a checkpoint the weights are."""
import pickle
from typing import Any, Dict, List, Optional, Tuple, Union

from gluonnorm.weight_files.unpickler import Inert, Unpickler
from gluonnorm.weight_files.weight_file_error import WeightFileError

import numpy as np

WRAPPERS = ("model", "state_dict", "model_state_dict", "blobs")  # under which programs keep weights in a checkpoint
DEEPEST = 4  # dictionaries inside each other that are searched for weights
NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class Table(dict):
    """``OrderedDict`` and ``Counter``: the items only, since BUILD gives a ``state_dict`` its ``_metadata``."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


class _Latin1(Inert):
    """``_codecs.encode``, by which Python 3 writes bytes in protocol 2."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding.lower().replace("-", "").replace("_", "") not in ("latin1", "iso88591"):
            raise pickle.UnpicklingError(f"bytes written as {encoding}, not latin1")
        return text.encode("latin1")


class _NoBytes(Inert):
    """``bytes()``, by which Python 3 writes empty bytes in protocol 2."""

    def __new__(cls) -> Any:
        return b""


class _Dtype(Inert):
    """``numpy.dtype``: plain numbers only; ``value`` is the real one."""
    __slots__ = ("value",)
    value: np.dtype

    def __init__(self, name: Any, align: Any = False, copy: Any = False) -> None:
        if name not in NUMBERS:
            raise pickle.UnpicklingError(f"an array of {name!r}, not of plain numbers")
        self.value = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        self.value = self.value.newbyteorder({"<": "<", ">": ">", "|": "=", "=": "="}[state[1]])  # type: ignore[arg-type]


class _Array(Inert):
    """``numpy.ndarray``, empty until its state comes; ``value`` is the real one."""
    __slots__ = ("value",)
    value: np.ndarray

    def __new__(cls, *args: Any) -> Any:
        made = object.__new__(cls)
        made.value = np.zeros(0, np.float32)
        return made

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, "F" if fortran else "C")


class _Reconstruct(Inert):
    """``numpy.core.multiarray._reconstruct``: the empty array that BUILD then fills."""

    def __new__(cls, kind: Any, shape: Any, dtype: Any) -> Any:
        if kind is not _Array:
            raise pickle.UnpicklingError("a kind of array that is no plain numpy.ndarray")
        return _Array()


class _Scalar(Inert):
    """``numpy.core.multiarray.scalar``, as an array without dimensions."""

    def __new__(cls, dtype: Any, raw: Any) -> Any:
        return _array(raw, dtype, (), "C")


class _FromBuffer(Inert):
    """``numpy.core.numeric._frombuffer``, by which NumPy writes arrays in protocol 5."""

    def __new__(cls, raw: Any, dtype: Any, shape: Any, order: str) -> Any:
        return _array(raw, dtype, shape, order)


PLAIN: Dict[Tuple[str, str], type] = {
    ("collections", "OrderedDict"): Table, ("collections", "Counter"): Table, ("argparse", "Namespace"): Inert,
    ("_codecs", "encode"): _Latin1, ("builtins", "bytes"): _NoBytes, ("__builtin__", "bytes"): _NoBytes,
    ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
}


def read_pickle(path: str) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """The weights in a pickle of arrays (Detectron, Detectron2) and notes on what was left out.

    Layouts: the dictionary of arrays itself, or inside another as ``weights_of`` finds it. Raises WeightFileError.
    """
    with open(path, "rb") as file:
        tree = Unpickler(file, path, PLAIN).read()
    return weights_of(tree, path)


def weights_of(tree: Any, path: str, more: Tuple[type, ...] = ()) -> Tuple[Dict[str, Any], List[str]]:
    """The dictionary of arrays (NumPy's, or of a type in ``more``) in a checkpoint, and notes.

    It is the dictionary under a name in ``WRAPPERS``, else ``tree`` itself, else the only dictionary of arrays in it.
    Left out of it: None (Detectron has such blobs) silently, anything else with a note. Raises WeightFileError if
    there is none, or more than one.
    """
    kinds = (np.ndarray, _Array, *more)
    found = _search(tree, kinds, path, DEEPEST)
    if found is None:
        what = (f"a dictionary of {_some(tree) or 'nothing'}" if isinstance(tree, dict)
                else f"a {type(tree).__name__.lower()}")
        raise WeightFileError(f"{path}: holds no dictionary of arrays by name, but {what}; save a state_dict, or a "
                              "dictionary of arrays")
    unnamed = [name for name, leaf in found.items() if isinstance(leaf, kinds) and not isinstance(name, str)]
    if unnamed:
        raise WeightFileError(f"{path}: holds arrays without names (key {unnamed[0]!r}); save a dictionary whose keys "
                              "are text")
    weights = {name: leaf.value if isinstance(leaf, _Array) else leaf for name, leaf in found.items()
               if isinstance(leaf, kinds)}
    others = [name for name, leaf in found.items() if not isinstance(leaf, kinds) and leaf is not None]
    return weights, [f"{len(others)} of the entries are no arrays and are left out: {_some(others)}"] if others else []


def _search(tree: Any, kinds: Tuple[type, ...], path: str, depth: int) -> Optional[Dict[Any, Any]]:
    if not isinstance(tree, dict) or depth == 0:
        return None
    for name in WRAPPERS:
        found = _search(tree.get(name), kinds, path, depth - 1)
        if found is not None:
            return found
    if any(isinstance(leaf, kinds) for leaf in tree.values()):
        return tree
    holders = [name for name, value in tree.items()
               if isinstance(value, dict) and any(isinstance(leaf, kinds) for leaf in value.values())]
    if len(holders) > 1:
        raise WeightFileError(f"{path}: holds {len(holders)} dictionaries of arrays ({_some(holders)}); save the one "
                              f"that is meant alone, or under {WRAPPERS[0]!r}")
    return tree[holders[0]] if holders else None


def _some(names: Any) -> str:
    """The first names of a list, short and on one line."""
    shown = [(name if isinstance(name, str) and name.isprintable() else repr(name))[:40] for name in list(names)[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")


def _array(raw: Union[bytes, bytearray, str], dtype: Any, shape: Any, order: str) -> np.ndarray:
    """The array of ``dtype`` (a ``_Dtype``) and ``shape`` that ``raw`` holds, in memory of its own."""
    if not isinstance(dtype, _Dtype) or not isinstance(raw, (bytes, bytearray, str)):
        raise pickle.UnpicklingError("an array of Python objects, not of plain numbers")
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    array = np.frombuffer(data, dtype.value)
    count = 1
    for length in shape:
        count *= length
    if not all(type(length) is int and length >= 0 for length in shape) or count != len(array) or order not in "CF":
        raise pickle.UnpicklingError(f"{len(data)} bytes for an array of shape {shape}")
    return array.reshape(shape, order=order).astype(dtype.value.newbyteorder("="), order="C")  # type: ignore[call-overload]
