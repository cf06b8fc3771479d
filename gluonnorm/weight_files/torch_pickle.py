"""The pickle inside PyTorch's files, read into records of tensors and of the storages they look into."""
import pickle
from typing import Any, BinaryIO, Dict, NamedTuple, Tuple

from gluonnorm.weight_files.pickle_file import PLAIN
from gluonnorm.weight_files.unpickler import Inert, Unpickler

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has none; MXNet describes it in the same way
STORAGES = {"FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"), "BFloat16Storage": BFLOAT16,
            "DoubleStorage": np.dtype("<f8"), "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"),
            "ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1"),
            "BoolStorage": np.dtype("?")}


class _StorageType(Inert):
    """Base of the stand-ins for ``torch.FloatStorage`` and so on, one class each."""
    __slots__ = ()
    dtype: np.dtype


class Storage(NamedTuple):
    """``length`` elements from ``start`` on of the storage ``key``, which has ``whole`` elements of ``dtype``."""
    key: str
    dtype: np.dtype
    whole: int
    start: int
    length: int


class Tensor(Inert):
    """A look into a storage; sizes, strides and offset are counted in elements."""
    __slots__ = ("storage", "offset", "size", "stride")
    storage: Storage
    offset: int
    size: Tuple[int, ...]
    stride: Tuple[int, ...]


class _Rebuild(Inert):
    """``torch._utils._rebuild_tensor`` and ``_rebuild_tensor_v2``."""

    def __new__(cls, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None,
                metadata: Any = None) -> Any:
        size, stride = tuple(size), tuple(stride)
        if not isinstance(storage, Storage) or len(size) != len(stride) or metadata:
            raise pickle.UnpicklingError("a tensor of an unknown kind")
        if not all(type(number) is int and number >= 0 for number in (offset, *size, *stride)):
            raise pickle.UnpicklingError(f"a tensor of size {size}, stride {stride} and offset {offset}")
        last = offset + sum((length - 1) * step for length, step in zip(size, stride))
        if 0 not in size and last >= storage.length:
            raise pickle.UnpicklingError(f"a tensor that ends at element {last} of a storage of {storage.length}")
        tensor = Tensor()
        tensor.storage, tensor.offset, tensor.size, tensor.stride = storage, offset, size, stride
        return tensor


class _Parameter(Inert):
    """``torch._utils._rebuild_parameter``, before PyTorch 1.0 ``torch.nn.parameter.Parameter``: the tensor in it."""

    def __new__(cls, data: Any = None, requires_grad: Any = True, hooks: Any = None) -> Any:
        if not isinstance(data, Tensor):
            raise pickle.UnpicklingError("a parameter without a tensor")
        return data


class _Size(Inert):
    """``torch.Size``."""

    def __new__(cls, lengths: Any = ()) -> Any:
        return tuple(lengths)


ALLOWED: Dict[Tuple[str, str], type] = {
    **PLAIN, ("torch._utils", "_rebuild_tensor"): _Rebuild, ("torch._utils", "_rebuild_tensor_v2"): _Rebuild,
    ("torch._utils", "_rebuild_parameter"): _Parameter, ("torch.nn.parameter", "Parameter"): _Parameter,
    ("torch", "Size"): _Size, ("torch", "device"): Inert,
    **{("torch", name): type(name, (_StorageType,), {"__slots__": (), "dtype": dtype})
       for name, dtype in STORAGES.items()},
}


class TorchUnpickler(Unpickler):
    """Notes every storage the pickle mentions in ``storages``, as a whole."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        super().__init__(file, path, ALLOWED)
        self.storages: Dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Any:
        """The storage, or the part of one, that ``pid`` describes."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise pickle.UnpicklingError("an object that is no storage of a tensor")
        kind, key, _, whole = pid[1:5]
        start, length = (pid[5][1], pid[5][2]) if len(pid) == 6 and pid[5] is not None else (0, whole)
        if not (isinstance(kind, type) and issubclass(kind, _StorageType) and kind is not _StorageType):
            raise pickle.UnpicklingError("a storage of an unknown type")
        if not (all(type(number) is int and number >= 0 for number in (whole, start, length))
                and start + length <= whole):
            raise pickle.UnpicklingError(f"a storage of {whole} elements of which {length} from {start} on are wanted")
        root = Storage(str(key), kind.dtype, whole, 0, whole)
        if self.storages.setdefault(root.key, root) != root:
            raise pickle.UnpicklingError(f"storage {key} with two descriptions")
        return root._replace(start=start, length=length)
