"""Recognize the format of a weight file, and call its reader or writer."""

import os
import zipfile
from typing import Callable, Dict, Mapping, Optional, Tuple

from gluonnorm.errors import first_line
from gluonnorm.types import PathLike
from gluonnorm.weight_files.atomic import atomic_files
from gluonnorm.weight_files.content import Content, WeightFileError, unreadable_file
from gluonnorm.weight_files.half_precision import to_single_precision
from gluonnorm.weight_files.npz_file import read_npz, write_npz
from gluonnorm.weight_files.params_file import read_params, write_params
from gluonnorm.weight_files.pickle_file import read_pickle
from gluonnorm.weight_files.safetensors_file import read_safetensors, write_safetensors
from gluonnorm.weight_files.torch_legacy_file import read_torch_legacy
from gluonnorm.weight_files.torch_writer import write_torch
from gluonnorm.weight_files.torch_zip_file import read_torch_zip

import numpy as np

Reader = Callable[[str], Content]
Writer = Callable[[str, Mapping[str, np.ndarray]], None]

READABLE = ".params, .npz, .pth, .pt, .pkl or .safetensors"
WRITERS: Dict[str, Writer] = {
    ".pth": write_torch,
    ".pt": write_torch,
    ".params": write_params,
    ".npz": write_npz,
    ".safetensors": write_safetensors,
}
HEAD_SIZE = 512  # bytes that are enough to recognize every format
MXNET_MAGIC = b"\x12\x01\0\0\0\0\0\0"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# The magic number of PyTorch's legacy format, as a pickle of protocol 2 or later.
TORCH_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
PICKLE_MAGIC = b"\x80"  # of protocol 2 and later; the protocol follows
NEWEST_PROTOCOL = b"\x05"
DATA_PARALLEL_PREFIX = "module."


def read_arrays(path: PathLike) -> Dict[str, np.ndarray]:
    """Read the arrays of a file of weights, without the notes that ``read_file`` returns.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays by name, in the order of the file.

    Raises
    ------
    WeightFileError
        As ``read_file``.
    """
    return read_file(path).arrays


def read_file(path: PathLike) -> Content:
    """Read the arrays of a file of weights. Nothing in the file is run.

    The format is recognized by the content of the file, not by its name: MXNet's .params, .npz,
    PyTorch's .pth in both formats, a pickle of arrays (Detectron, Detectron2), .safetensors. In a
    checkpoint, ``weight_search.find_weights`` finds the dictionary of weights. ``arg:`` and
    ``aux:`` (MXNet) and a ``module.`` in front of every name (PyTorch's DataParallel) are removed.
    float16 and bfloat16 become float32, which is exact; other dtypes stay.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    Content
        The arrays by name, in the order of the file, and one sentence on each thing that was
        changed or left out.

    Raises
    ------
    WeightFileError
        There is no such file; it holds no weights; it is cut, damaged or altered; or a pickle
        names code. The message is one line.
    """
    path = os.fspath(path)
    read = _choose_reader(path)
    content = read(path)
    if not content.arrays:
        raise WeightFileError(f"{path}: holds no arrays; give the file of the weights themselves")
    arrays, notes = to_single_precision(content)
    return Content(remove_parallel_prefix(arrays), notes)


def remove_parallel_prefix(arrays: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Remove the ``module.`` that PyTorch's DataParallel puts in front of every name.

    Parameters
    ----------
    arrays : mapping of str to numpy.ndarray
        The arrays by name.

    Returns
    -------
    dict of str to numpy.ndarray
        The same arrays in the same order. The names are unchanged if any of them has no such
        beginning.

    Examples
    --------
    >>> arrays = {"module.fc.weight": np.zeros((1, 2)), "module.fc.bias": np.zeros(1)}
    >>> list(remove_parallel_prefix(arrays))
    ['fc.weight', 'fc.bias']
    """
    bare = dict(arrays)
    while bare and all(name.startswith(DATA_PARALLEL_PREFIX) for name in bare):
        bare = {name[len(DATA_PARALLEL_PREFIX) :]: array for name, array in bare.items()}
    return bare


def write_arrays(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays in the format that the ending of the file name chooses.

    The file appears completely or not at all. After an error, an older file of that name is
    unchanged.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its name ends in .pth, .pt, .params, .npz or .safetensors.
    arrays : mapping of str to numpy.ndarray
        The arrays by name.

    Raises
    ------
    WeightFileError
        The ending is another one, there are no arrays, the format has no such dtype or shape, or
        the file cannot be written.
    """
    path = os.fspath(path)
    if not arrays:
        raise WeightFileError(f"{path}: no arrays to write; give at least one")
    ending = os.path.splitext(path)[1].lower()
    write = WRITERS.get(ending)
    if write is None:
        raise WeightFileError(
            f"{path}: weights are not written to {ending or 'a name without an ending'}; let it "
            "end in .pth, .pt, .params, .npz or .safetensors"
        )
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise WeightFileError(f"{path}: cannot be written: there is no folder {folder}; make it")
    if os.path.isdir(path):
        raise WeightFileError(f"{path}: cannot be written: it is a folder; give a file")
    try:
        with atomic_files(path) as (temporary,):
            write(temporary, arrays)
    except WeightFileError as error:
        # Writers do not know the final name.
        raise WeightFileError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightFileError(f"{path}: cannot be written ({error})") from error


def _choose_reader(path: str) -> Reader:
    """Choose the reader for the content of a file; raise WeightFileError if there is none."""
    head, file_size = _read_head(path)
    if head.startswith(MXNET_MAGIC):
        return read_params
    if head.startswith(ZIP_MAGICS):
        return read_npz if _is_npz(path) else read_torch_zip
    if TORCH_LEGACY_MAGIC in head[:40]:
        return read_torch_legacy
    if _is_safetensors(path, head, file_size):
        return read_safetensors
    if head.startswith(PICKLE_MAGIC) and head[1:2] <= NEWEST_PROTOCOL:
        return read_pickle
    foreign = _describe_foreign(head)
    if foreign is not None:
        raise WeightFileError(f"{path}: {foreign}")
    # Pickles of protocols 0 and 1 have no magic number, so the name has to tell.
    if path.endswith((".pkl", ".pickle")):
        return read_pickle
    raise WeightFileError(
        f"{path}: not a readable {READABLE} file (it begins with {head[:8]!r}); cut, damaged, or "
        "of another format? Fetch it again, or save it in one of these formats"
    )


def _read_head(path: str) -> Tuple[bytes, int]:
    """Read the first bytes of a file, and its size; raise WeightFileError if it cannot be read."""
    if os.path.isdir(path):
        raise WeightFileError(
            f"{path}: is a folder, not a file of weights; give a file in it ({READABLE})"
        )
    try:
        file_size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(HEAD_SIZE)
    except FileNotFoundError as error:
        raise WeightFileError(f"{path}: no such file of weights; is the path right?") from error
    except OSError as error:
        raise WeightFileError(f"{path}: cannot be opened ({error.strerror})") from error
    if file_size == 0:
        raise WeightFileError(f"{path}: an empty file, not a readable {READABLE}; fetch it again")
    return head, file_size


def _is_npz(path: str) -> bool:
    """Whether a zip has only .npy members; other zips are taken for PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:
        # A damaged zip ends in errors of many classes.
        ending = os.path.splitext(path)[1] or "zip"
        raise unreadable_file(path, ending, first_line(error)) from error
    return bool(names) and all(name.endswith(".npy") for name in names)


def _is_safetensors(path: str, head: bytes, file_size: int) -> bool:
    """Whether a file begins with the size of a header that fits, and with the header's brace."""
    if head[8:9] != b"{":
        return False
    header_size = int.from_bytes(head[:8], "little")
    return header_size <= file_size - 8 or path.endswith(".safetensors")


def _describe_foreign(head: bytes) -> Optional[str]:
    """Recognize a common file that is not of weights: what it is, and what to do; else None."""
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of git-lfs, not the file; run git lfs pull"
    if head.lstrip().startswith(b"<"):
        return "a page of HTML or XML, not weights; fetch the file behind the link"
    if head[257:262] == b"ustar":
        return (
            "a tar archive (PyTorch before 0.1.10, or packed); unpack it, or load and save it "
            "again with a later PyTorch"
        )
    if head.startswith(b"\x1f\x8b"):
        return "compressed with gzip; gunzip it"
    if head.startswith(b"\x93NUMPY"):
        return "a single array without names; save with numpy.savez"
    if head.startswith(b"\x89HDF"):
        return f"an HDF5 file; save it as {READABLE}"
    return None
