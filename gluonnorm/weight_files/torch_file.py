"""PyTorch's .pth files, read without PyTorch: a pickle of records and, apart from it, the storages they look into.

Since PyTorch 1.6 the file is a zip with members ``<name>/data.pkl``, ``<name>/data/<key>`` for each storage and, later
on, ``<name>/byteorder``. Before, it was a row of pickles (a magic number, the version 1001, facts about the machine,
the object, the keys of the storages in order) and then each storage: its number of elements as 8 bytes, its raw
elements, both little-endian on every machine. Sources: torch/serialization.py, torch/_utils.py.
"""
import io
import os
import zipfile
from collections import Counter
from typing import Any, BinaryIO, Callable, Dict, List, Tuple

from gluonnorm.errors import first_line
from gluonnorm.weight_files.pickle_file import weights_of
from gluonnorm.weight_files.torch_pickle import Storage, Tensor, TorchUnpickler
from gluonnorm.weight_files.unpickler import Unpickler
from gluonnorm.weight_files.weight_file_error import WeightFileError

import numpy as np
from numpy.lib.stride_tricks import as_strided

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
SPARE = 64 << 20  # bytes that copies may take besides eight times the file's size


def read_torch_zip(path: str) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """The weights in a .pth of PyTorch 1.6 or later, and notes; bfloat16 comes as ``BFLOAT16``.

    Only the storages that weights need are read, each once. No two arrays share memory. Raises WeightFileError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            folder = _folder(path, archive.namelist())
            _refuse_bomb(path, archive.infolist())
            order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in members else b"little"
            if order not in (b"little", b"big"):
                raise WeightFileError(f"{path}: byte order {order[:20]!r}, neither little nor big; the file is "
                                      "damaged, fetch it again")
            tree = TorchUnpickler(io.BytesIO(archive.read(f"{folder}data.pkl")), path).read()

            def read(storage: Storage) -> np.ndarray:
                name = f"{folder}data/{storage.key}"
                wanted = storage.whole * storage.dtype.itemsize
                if name not in members or members[name].file_size != wanted:
                    found = f"{members[name].file_size} bytes" if name in members else "missing"
                    raise WeightFileError(f"{path}: storage {name} is {found}, {wanted} bytes are wanted; the file is "
                                          "damaged or altered, fetch it again")
                raw = np.empty(wanted, np.uint8)
                with archive.open(members[name]) as file:
                    _fill(file, raw, path)  # the checksum is compared with its last byte
                return raw.view(storage.dtype if order == b"little" else storage.dtype.newbyteorder(">"))

            weights, notes = weights_of(tree, path, (Tensor,))
            return _load(path, weights, read), notes
    except WeightFileError:
        raise
    except Exception as error:  # a damaged zip ends in many kinds of error
        raise WeightFileError(f"{path}: not a readable .pth file, its zip is cut, damaged or altered ("
                              f"{first_line(error)}); fetch it again") from error


def read_torch_legacy(path: str) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """The weights in a .pth of PyTorch 0.1.10 to 1.5, and notes; as ``read_torch_zip``."""
    with open(path, "rb") as file:
        for wanted in (MAGIC, VERSION):
            found = Unpickler(file, path, {}).read()
            if found != wanted:
                raise WeightFileError(f"{path}: begins as a PyTorch file but has {found!r:.40} where {wanted} belongs; "
                                      "the file is damaged, fetch it again")
        Unpickler(file, path, {}).read()  # the machine it was written on, of no importance
        unpickler = TorchUnpickler(file, path)
        tree = unpickler.read()
        keys = Unpickler(file, path, {}).read()
        offsets = _offsets(file, path, keys, unpickler.storages)

        def read(storage: Storage) -> np.ndarray:
            file.seek(offsets[storage.key])
            raw = np.empty(storage.whole * storage.dtype.itemsize, np.uint8)
            _fill(file, raw, path)
            return raw.view(storage.dtype)

        weights, notes = weights_of(tree, path, (Tensor,))
        return _load(path, weights, read), notes


def _folder(path: str, names: List[str]) -> str:
    """The folder of ``data.pkl`` in the zip, ending in a slash, or "" at its root."""
    found = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if any("/code/" in f"/{name}" for name in names):
        raise WeightFileError(f"{path}: a TorchScript program, not weights alone; load it with torch.jit.load and save "
                              "its state_dict")
    if len(found) != 1 or len(set(names)) != len(names):
        raise WeightFileError(f"{path}: a zip, but not of weights: {len(found)} members data.pkl, exactly one is "
                              "wanted; give the .pth file itself, or an .npz")
    return found[0][:-len("data.pkl")]


def _refuse_bomb(path: str, members: List[zipfile.ZipInfo]) -> None:
    """PyTorch compresses nothing, so a member takes its size in the file, and members do not lie over each other."""
    packed = [info.filename for info in members if info.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise WeightFileError(f"{path}: member {packed[0]} is compressed, which PyTorch does not do; unpack it and zip "
                              "it again without compression")
    if sum(info.file_size for info in members) > os.path.getsize(path):
        raise WeightFileError(f"{path}: its members claim more bytes than the file has; the file is damaged or "
                              "altered, fetch it again")


def _offsets(file: BinaryIO, path: str, keys: Any, storages: Dict[str, Storage]) -> Dict[str, int]:
    """Where each storage's elements begin in a legacy file that stands at the first storage."""
    offsets: Dict[str, int] = {}
    end, size = file.tell(), os.path.getsize(path)
    for key in keys if isinstance(keys, list) else [keys]:
        storage = storages.get(str(key))
        if storage is None:
            raise WeightFileError(f"{path}: storage {key!r:.40} belongs to no tensor; the file is damaged, "
                                  "fetch it again")
        file.seek(end)
        length = int.from_bytes(file.read(8), "little")
        offsets[storage.key] = end + 8
        end += 8 + storage.whole * storage.dtype.itemsize
        if end > size or length != storage.whole:
            raise WeightFileError(f"{path}: storage {storage.key} of {storage.whole} elements does not lie where it "
                                  f"should, before byte {end} of {size}; the file is cut or damaged, fetch it again")
    missing = set(storages) - set(offsets)
    if missing:
        raise WeightFileError(f"{path}: {len(missing)} storages are missing; the file is cut or damaged, fetch it "
                              "again")
    return offsets


def _fill(file: Any, raw: np.ndarray, path: str) -> None:
    """Read exactly ``len(raw)`` bytes into ``raw``."""
    done = 0
    while done < len(raw):
        count = file.readinto(raw[done:done + (1 << 22)])
        if not count:
            raise WeightFileError(f"{path}: ends {len(raw) - done} bytes early; the file is cut, fetch it again")
        done += count


def _load(path: str, weights: Dict[str, Any], read: Callable[[Storage], np.ndarray]) -> Dict[str, np.ndarray]:
    """The arrays of ``weights``, in its order; each storage is read when first needed and dropped after its last use.

    A tensor that is all of a storage takes its memory over; any other is copied. What copies take is limited, since
    strides of 0 make any size out of nothing.
    """
    uses = Counter(leaf.storage.key for leaf in weights.values() if isinstance(leaf, Tensor))
    allowance = SPARE + 8 * os.path.getsize(path)
    raws: Dict[str, np.ndarray] = {}
    arrays: Dict[str, np.ndarray] = {}
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            arrays[name] = tensor
            continue
        storage = tensor.storage
        key, alone = storage.key, uses[storage.key] == 1 and storage.key not in raws
        if key not in raws:
            raws[key] = read(storage._replace(start=0, length=storage.whole))
        uses[key] -= 1
        raw = raws[key] if uses[key] else raws.pop(key)
        view = _look(path, name, raw, tensor)
        if not (alone and view.flags.c_contiguous and view.size == raw.size):
            allowance -= view.nbytes
            if allowance < 0:
                raise WeightFileError(f"{path}: {name} of shape {view.shape} takes far more memory than the file has "
                                      "bytes; refused. Save it with .contiguous(), or do not trust this file")
            view = view.copy(order="C")
        arrays[name] = view.astype(view.dtype.newbyteorder("="), copy=False)
    return arrays


def _look(path: str, name: str, raw: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The tensor as a view of its storage; its bounds were compared when it was unpickled."""
    try:
        if 0 in tensor.size:
            return np.empty(tensor.size, raw.dtype)
        begin, step = tensor.storage.start + tensor.offset, raw.itemsize
        # A length of 1 may have any stride, which would be too large a number of bytes.
        strides = [step * stride if length > 1 else step for length, stride in zip(tensor.size, tensor.stride)]
        return as_strided(raw[begin:], tensor.size, strides, subok=False, writeable=True)
    except ValueError as error:
        raise WeightFileError(f"{path}: {name} of size {tensor.size} is no possible array ({error})") from error
