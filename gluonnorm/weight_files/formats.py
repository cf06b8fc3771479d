"""Files of weights of every kind, read into and written from {name: array}."""
import os
import zipfile
from collections import Counter
from typing import BinaryIO, Callable, Dict, List, Mapping, Tuple, Union

from gluonnorm.errors import first_line
from gluonnorm.weight_files.pickle_file import read_pickle
from gluonnorm.weight_files.safetensors_file import read_safetensors, write_safetensors
from gluonnorm.weight_files.torch_file import read_torch_legacy, read_torch_zip
from gluonnorm.weight_files.torch_pickle import BFLOAT16
from gluonnorm.weight_files.torch_writer import whole_file, write_torch
from gluonnorm.weight_files.weight_file_error import WeightFileError

import mxnet as mx
import numpy as np

PathLike = Union[str, "os.PathLike[str]"]
Content = Tuple[Dict[str, np.ndarray], List[str]]
KINDS = ".params, .npz, .pth, .pt, .pkl or .safetensors"
TORCH_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # of PyTorch's legacy format, as a pickle of protocol 2 and later
MXNET_MAGIC = b"\x12\x01\0\0\0\0\0\0"


def read_arrays(path: PathLike) -> Dict[str, np.ndarray]:
    """The arrays of a file of weights by name: ``read_file`` without its notes."""
    return read_file(path)[0]


def read_file(path: PathLike) -> Content:
    """The arrays of a file of weights by name, in the file's order, and notes, one sentence each, on what was changed.

    What the file is, its content says: MXNet's .params, .npz, PyTorch's .pth in both formats, a pickle of arrays
    (Detectron, Detectron2), .safetensors. In a checkpoint the weights are found (``pickle_file.weights_of``). "arg:"
    and "aux:" (MXNet), and a "module." that stands before every name (PyTorch's DataParallel), are taken off. float16
    and bfloat16 become float32, which is exact and noted; other types stay. Nothing in the file is run.

    Raises WeightFileError of one line: no such file, not of weights, cut, damaged, altered, or a pickle with code.
    """
    path = os.fspath(path)
    arrays, notes = _reader(path)(path)
    if not arrays:
        raise WeightFileError(f"{path}: holds no arrays; give the file of the weights themselves")
    halves = Counter("bfloat16" if array.dtype == BFLOAT16 else "float16" for array in arrays.values()
                     if array.dtype in (BFLOAT16, np.float16))
    for kind, count in halves.items():
        notes.append(f"{count} tensors were {kind} and are read as float32" if count > 1 else
                     f"1 tensor was {kind} and is read as float32")
    while all(name.startswith("module.") for name in arrays):
        arrays = {name[len("module."):]: array for name, array in arrays.items()}
    return {name: _single(array) for name, array in arrays.items()}, notes


def write_arrays(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` to the kind of file ``path`` ends in: .pth or .pt, .params, .npz, .safetensors.

    The file is there whole or not at all. Raises WeightFileError for another ending, no arrays, or a dtype or shape
    that the kind of file has not.
    """
    path = os.fspath(path)
    ending = os.path.splitext(path)[1].lower()
    if not arrays:
        raise WeightFileError(f"{path}: no arrays to write")
    if ending in (".pth", ".pt"):
        write_torch(path, arrays)
    elif ending == ".params":
        _write_params(path, arrays)
    elif ending in (".npz", ".safetensors"):
        write: Callable[[BinaryIO, Mapping[str, np.ndarray]], None] = (
            _write_npz if ending == ".npz" else write_safetensors)
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            try:
                write(file, arrays)
            except WeightFileError as error:
                raise WeightFileError(f"{path}: {error}") from error
    else:
        raise WeightFileError(f"{path}: weights are not written to {ending or 'a name without an ending'}; let it end "
                              "in .pth, .pt, .params, .npz or .safetensors")


def _reader(path: str) -> Callable[[str], Content]:
    """The function that reads what lies at ``path``; raises WeightFileError if that is none of the kinds."""
    if os.path.isdir(path):
        raise WeightFileError(f"{path}: no such file of weights, but a folder; give a file in it ({KINDS})")
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise WeightFileError(f"{path}: no such file of weights; is the path right?") from error
    except OSError as error:
        raise WeightFileError(f"{path}: cannot be opened ({error.strerror})") from error
    if not size:
        raise WeightFileError(f"{path}: an empty file, not a readable {KINDS}; fetch it again")
    if head.startswith(MXNET_MAGIC):
        return _read_params
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_zip
    if TORCH_MAGIC in head[:40]:
        return read_torch_legacy
    if head[8:9] == b"{" and (int.from_bytes(head[:8], "little") <= size - 8 or path.endswith(".safetensors")):
        return read_safetensors
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return read_pickle
    for test, what, remedy in (
            (head.startswith(b"version https://git-lfs"), "a pointer of git-lfs, not the file", "run git lfs pull"),
            (head.lstrip().startswith(b"<"), "a page of HTML or XML, not weights", "fetch the file behind the link"),
            (head[257:262] == b"ustar", "a tar archive (PyTorch before 0.1.10, or packed)",
             "unpack it, or load and save it again with a later PyTorch"),
            (head.startswith(b"\x1f\x8b"), "compressed with gzip", "gunzip it"),
            (head.startswith(b"\x93NUMPY"), "a single array without names", "save with numpy.savez"),
            (head.startswith(b"\x89HDF"), "an HDF5 file", f"save it as {KINDS}")):
        if test:
            raise WeightFileError(f"{path}: {what}; {remedy}")
    if path.endswith((".pkl", ".pickle")):  # protocols 0 and 1 have no mark
        return read_pickle
    raise WeightFileError(f"{path}: not a readable {KINDS} file (it begins with {head[:8]!r}); cut, damaged, or of "
                          "another kind?")


def _read_params(path: str) -> Content:
    try:
        arrays = mx.nd.load(path)
    except Exception as error:  # MXNet's is a stack trace of many lines
        raise _unreadable(path, ".params", error) from error
    if not isinstance(arrays, dict):
        raise WeightFileError(f"{path}: holds arrays without names; save with net.save_parameters")
    plain = {name: name[4:] if name.startswith(("arg:", "aux:")) else name for name in arrays}
    if len(set(plain.values())) < len(plain):
        raise WeightFileError(f"{path}: names that differ in arg: and aux: only; save with net.save_parameters")
    return {plain[name]: array.asnumpy() for name, array in arrays.items()}, []


def _read_zip(path: str) -> Content:
    """A zip is an .npz if it holds .npy members only, else PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if not infos or not all(info.filename.endswith(".npy") for info in infos):
                return read_torch_zip(path)
            return {info.filename[:-len(".npy")]: _read_npy(path, archive, info) for info in infos}, []
    except WeightFileError:
        raise
    except Exception as error:  # zip, zlib and NumPy each have their own errors for a damaged file
        raise _unreadable(path, os.path.splitext(path)[1] or "zip", error) from error


def _read_npy(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        count = 1
        for length in shape:
            count *= length
        # NumPy allocates what the header claims before it reads anything.
        if not dtype.hasobject and count * dtype.itemsize != info.file_size - file.tell():
            raise WeightFileError(f"{path}: {info.filename} of shape {shape} has {info.file_size} bytes; the file is "
                                  "damaged or altered, fetch it again")
    if dtype.hasobject:
        raise WeightFileError(f"{path}: {info.filename} holds Python objects, so possibly code, not numbers; nothing "
                              "was run. Save arrays of numbers only")
    with archive.open(info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # the end, where the checksum is compared
    return array


def _write_params(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    wrong = [f"{name} {array.dtype}{array.shape}" for name, array in arrays.items()
             if array.dtype.newbyteorder("=") not in _PARAMS_DTYPES or not array.size or not array.shape]
    if wrong:
        raise WeightFileError(f"{path}: {', '.join(wrong[:3])} cannot be arrays of a .params file: float16, 32, 64, "
                              "int8, 32, 64, uint8 and bool with at least one axis and element can")
    with whole_file(path) as temporary:
        try:
            native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
            mx.nd.save(temporary, {name: mx.nd.array(array, dtype=array.dtype) for name, array in native.items()})
            # MXNet closes a file without asking whether its last bytes reached the disk.
            mx.nd.load(temporary)
        except mx.base.MXNetError as error:
            cause = str(error).strip().splitlines()[-1]
            raise WeightFileError(f"{path}: cannot be written whole ({cause}); is the disk full?") from error


_PARAMS_DTYPES = tuple(map(np.dtype, ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "?")))


def _write_npz(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    wrong = [name for name, array in arrays.items() if array.dtype.hasobject]
    if wrong:
        raise WeightFileError(f"{wrong[0]}: an array of Python objects does not go into an .npz file")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # numpy.savez cannot take the name "file"
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _single(array: np.ndarray) -> np.ndarray:
    """float16 and bfloat16 as float32; bfloat16 is the upper half of a float32."""
    if array.dtype == BFLOAT16:
        return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _unreadable(path: str, kind: str, error: Exception) -> WeightFileError:
    return WeightFileError(f"{path}: not a readable {kind} file ({first_line(error)}); cut, damaged or altered? Fetch it "
                           "again")
