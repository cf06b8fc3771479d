"""Stand-ins for what PyTorch's pickles name: tensors, and the storages behind them."""

import pickle
from typing import Any, BinaryIO, Dict, NamedTuple, Tuple

from gluonnorm.weight_files.half_precision import BFLOAT16
from gluonnorm.weight_files.numpy_pickle import PLAIN_STAND_INS
from gluonnorm.weight_files.unpickler import Foreign, StandIn, Unpickler, spend_on_copy

import numpy as np

STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16,
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
POINTER_SIZE = 8  # bytes of an entry of a tuple


class Storage(NamedTuple):
    """A part of a storage, which is PyTorch's flat array behind one or more tensors.

    Attributes
    ----------
    key : str
        The name of the storage in the file.
    dtype : numpy.dtype
        The type of its elements, little-endian.
    total_length : int
        The number of elements of the complete storage.
    start : int
        The first element of the part.
    length : int
        The number of elements of the part.
    """

    key: str
    dtype: np.dtype
    total_length: int
    start: int
    length: int


class Tensor(StandIn):
    """A view of a storage. All numbers count elements.

    Attributes
    ----------
    storage : Storage
        The part of a storage that the tensor views.
    offset : int
        The first element, counted from the start of the part.
    shape : tuple of int
        The length of each axis.
    strides : tuple of int
        The elements from one position of each axis to the next.
    """

    __slots__ = ("storage", "offset", "shape", "strides")
    storage: Storage
    offset: int
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]


class _StorageType(StandIn):
    """Base of the stand-ins for ``torch.FloatStorage`` and so on, one class each."""

    __slots__ = ()
    dtype: np.dtype


class _RebuildTensor(StandIn):
    """Stand-in for ``torch._utils._rebuild_tensor`` and ``_rebuild_tensor_v2``.

    A tensor of a storage that is not known, or with metadata such as a conjugation, is foreign.
    """

    def __new__(
        cls,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any = False,
        hooks: Any = None,
        metadata: Any = None,
    ) -> Any:
        if isinstance(storage, Foreign) or metadata:
            return Foreign()
        shape = tuple(size)
        strides = tuple(stride)
        if not isinstance(storage, Storage) or len(shape) != len(strides):
            raise pickle.UnpicklingError("a tensor of an unknown kind")
        if not _are_counts(offset, *shape, *strides):
            raise pickle.UnpicklingError("a tensor whose size, stride or offset are no counts")
        last_element = offset
        for length, step in zip(shape, strides):
            last_element += (length - 1) * step
        if 0 not in shape and last_element >= storage.length:
            raise pickle.UnpicklingError(
                f"a tensor that ends at element {last_element} of a storage of {storage.length}"
            )
        tensor = Tensor()
        tensor.storage = storage
        tensor.offset = offset
        tensor.shape = shape
        tensor.strides = strides
        return tensor


class _RebuildParameter(StandIn):
    """Stand-in for ``torch._utils._rebuild_parameter``: the tensor of the parameter.

    Before version 1.0, PyTorch wrote ``torch.nn.parameter.Parameter`` instead. A parameter with
    attributes of its own is ``_rebuild_parameter_with_state``.
    """

    def __new__(
        cls, data: Any = None, requires_grad: Any = True, hooks: Any = None, state: Any = None
    ) -> Any:
        if not isinstance(data, (Tensor, Foreign)):
            raise pickle.UnpicklingError("a parameter without a tensor")
        return data


class _RebuildFromType(StandIn):
    """Stand-in for ``torch._tensor._rebuild_from_type_v2``: a tensor that has attributes."""

    def __new__(cls, rebuild: Any, tensor_type: Any, arguments: Any, state: Any) -> Any:
        if rebuild not in (_RebuildTensor, _RebuildParameter):
            return Foreign()
        return rebuild(*arguments)


class _Size(StandIn):
    """Stand-in for ``torch.Size``: a tuple of integers."""

    def __new__(cls, lengths: Any = ()) -> Any:
        spend_on_copy(POINTER_SIZE * len(lengths))
        if not _are_counts(*lengths):
            raise pickle.UnpicklingError("a size that is no row of counts")
        return tuple(lengths)


def _torch_stand_ins() -> Dict[Tuple[str, str], type]:
    """List what a pickle of PyTorch may name."""
    stand_ins = dict(PLAIN_STAND_INS)
    stand_ins["torch._utils", "_rebuild_tensor"] = _RebuildTensor
    stand_ins["torch._utils", "_rebuild_tensor_v2"] = _RebuildTensor
    stand_ins["torch._utils", "_rebuild_parameter"] = _RebuildParameter
    stand_ins["torch._utils", "_rebuild_parameter_with_state"] = _RebuildParameter
    stand_ins["torch._tensor", "_rebuild_from_type_v2"] = _RebuildFromType
    stand_ins["torch.nn.parameter", "Parameter"] = _RebuildParameter
    stand_ins["torch", "Size"] = _Size
    stand_ins["torch", "device"] = StandIn
    for type_name, dtype in STORAGE_DTYPES.items():
        attributes = {"__slots__": (), "dtype": dtype}
        stand_ins["torch", type_name] = type(type_name, (_StorageType,), attributes)
    return stand_ins


TORCH_STAND_INS = _torch_stand_ins()


class TorchUnpickler(Unpickler):
    """Reader of one pickle of tensors.

    Parameters
    ----------
    file : binary file
        Open for reading, at the start of the pickle.
    path : str
        The name that error messages give the file.

    Attributes
    ----------
    storages : dict of str to Storage
        Every storage that the pickle mentions, complete, by key.
    foreign_storages : dict of str to str
        The type of each storage of elements that are not known here, by key.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        super().__init__(file, path, TORCH_STAND_INS)
        self.storages: Dict[str, Storage] = {}
        self.foreign_storages: Dict[str, str] = {}

    def persistent_load(self, pid: Any) -> Any:
        """Make the storage, or the part of one, that a persistent id of the pickle describes.

        Parameters
        ----------
        pid : tuple
            ``("storage", type, key, location, total length)``; in old files also a view, which is
            None or ``(key, start, length)``. Or ``("module", class, file, program)``.

        Returns
        -------
        Storage or type
            The described part, or the stand-in for the class.

        Raises
        ------
        pickle.UnpicklingError
            The description is not of a storage, or differs from an earlier one of the same key.
        """
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            # The class of a network, with the text of its program; only old files have this.
            return pid[1] if _is_foreign(pid[1]) else Foreign
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise pickle.UnpicklingError("an object that is no storage of a tensor")
        _, storage_type, key, _, total_length, *views = pid
        start = 0
        length = total_length
        if views and views[0] is not None:
            view = views[0]
            start = view[1]
            length = view[2]
        if not isinstance(storage_type, type) or not issubclass(storage_type, StandIn):
            raise pickle.UnpicklingError("a storage without a type")
        if not isinstance(key, str) or not key.isprintable():
            raise pickle.UnpicklingError("a storage whose key is no text on one line")
        if issubclass(storage_type, Foreign):
            self.foreign_storages[key] = storage_type.source_name
            return Foreign()
        if not issubclass(storage_type, _StorageType) or storage_type is _StorageType:
            raise pickle.UnpicklingError("a storage of an unknown type")
        if not _are_counts(total_length, start, length) or start + length > total_length:
            raise pickle.UnpicklingError(
                f"a storage of {total_length} elements of which {length} from {start} on are wanted"
            )
        complete = Storage(key, storage_type.dtype, total_length, 0, total_length)
        known = self.storages.setdefault(complete.key, complete)
        if known != complete:
            raise pickle.UnpicklingError(f"storage {key} with two descriptions")
        return complete._replace(start=start, length=length)


def _is_foreign(value: Any) -> bool:
    """Whether a value is the stand-in for a class that is not known."""
    return isinstance(value, type) and issubclass(value, Foreign)


def _are_counts(*numbers: Any) -> bool:
    """Whether all numbers are integers of at least 0; bool and the subclasses of int are not."""
    return all(type(number) is int and number >= 0 for number in numbers)
