"""Recognize the format of a weight file, and call its reader or writer."""

import os
import zipfile
from functools import partial
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

from gluonnorm.errors import first_line
from gluonnorm.late_import import import_late
from gluonnorm.types import PathLike
from gluonnorm.weight_files.atomic import atomic_files
from gluonnorm.weight_files.content import Content, WeightFileError, unreadable_file
from gluonnorm.weight_files.foreign_files import describe_file, describe_folder
from gluonnorm.weight_files.half_precision import to_single_precision
from gluonnorm.weight_files.npz_file import read_npz, write_npz
from gluonnorm.weight_files.pickle_file import read_pickle
from gluonnorm.weight_files.safetensors_file import read_safetensors, write_safetensors
from gluonnorm.weight_files.torch_legacy_file import read_torch_legacy
from gluonnorm.weight_files.torch_writer import write_torch
from gluonnorm.weight_files.torch_zip_file import read_torch_zip
from gluonnorm.weight_files.weight_search import take_entry

import numpy as np

Reader = Callable[[str, Optional[str]], Content]
Writer = Callable[[str, Mapping[str, np.ndarray]], None]

# It imports MXNet, which the other formats and a machine that only serves a model do not need.
PARAMS_FILE = "gluonnorm.weight_files.params_file"
READABLE = ".params, .npz, .pth, .pt, .pkl or .safetensors"


def _params_file() -> Any:
    """Import the module that reads and writes .params files, which needs MXNet."""
    return import_late(
        PARAMS_FILE,
        WeightFileError,
        ".params files are read and written by MXNet",
        "install it with pip install 'gluonnorm[cpu]', or use another format",
    )


def _read_params(path: str) -> Content:
    """Read a .params file."""
    return _params_file().read_params(path)


def _write_params(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a .params file."""
    _params_file().write_params(path, arrays)


WRITERS: Dict[str, Writer] = {
    ".pth": write_torch,
    ".pt": write_torch,
    ".params": _write_params,
    ".npz": write_npz,
    ".safetensors": write_safetensors,
}
LONGEST_NAME = 1000  # letters of the name of an array
SHOWN_LETTERS = 40  # of a name that is refused
HEAD_SIZE = 512  # bytes that are enough to recognize every format
MXNET_MAGIC = b"\x12\x01\0\0\0\0\0\0"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# The magic number of PyTorch's legacy format, as a pickle of protocol 2 or later.
TORCH_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
PICKLE_MAGIC = b"\x80"  # of protocol 2 and later; the protocol follows
NEWEST_PROTOCOL = b"\x05"


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


def read_file(path: PathLike, entry: Optional[str] = None) -> Content:
    """Read the arrays of a file of weights. Nothing in the file is run.

    The format is recognized by the content of the file, not by its name: MXNet's .params, .npz,
    PyTorch's .pth in both formats, a pickle of arrays (Detectron, Detectron2), .safetensors. In a
    checkpoint, ``weight_search.find_weights`` finds the dictionary of weights. ``arg:`` and
    ``aux:`` (MXNet) in front of names are removed. float16 and bfloat16 become float32, which is
    exact; other dtypes stay.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    entry : str or None
        Which of several weights in the file is wanted: the entry of a checkpoint, such as "ema", or
        the beginning of the names before a dot. None: the rule of ``find_weights``.

    Returns
    -------
    Content
        The arrays by name, in the order of the file, and one sentence on each thing that was
        changed or left out.

    Raises
    ------
    WeightFileError
        There is no such file; it holds no weights, or several; it is cut, damaged or altered; or a
        pickle asks for code. The message is one line.
    """
    path = os.fspath(path)
    read = _choose_reader(path)
    content = read(path, entry)
    if not content.arrays:
        raise WeightFileError(f"{path}: holds no arrays; give the file of the weights themselves")
    _check_names(path, content.arrays)
    return to_single_precision(content)


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


def _check_names(path: str, names: Iterable[str]) -> None:
    """Refuse names that no network has. They would break up the messages that quote them."""
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise WeightFileError(
                f"{path}: holds an array named {name[:SHOWN_LETTERS]!a} ({len(name)} letters), as "
                "no network has; the file is damaged or altered, fetch it again"
            )


def _choose_reader(path: str) -> Reader:
    """Choose the reader for the content of a file; raise WeightFileError if there is none."""
    head, file_size = _read_head(path)
    if head.startswith(MXNET_MAGIC):
        return partial(_read_flat, _read_params)
    if head.startswith(ZIP_MAGICS):
        return partial(_read_flat, read_npz) if _is_npz(path) else read_torch_zip
    if TORCH_LEGACY_MAGIC in head[:40]:
        return read_torch_legacy
    if _is_safetensors(path, head, file_size):
        return partial(_read_flat, read_safetensors)
    if head.startswith(PICKLE_MAGIC) and head[1:2] <= NEWEST_PROTOCOL:
        return read_pickle
    foreign = describe_file(path, head)
    if foreign is not None:
        raise WeightFileError(f"{path}: {foreign}")
    # Pickles of protocols 0 and 1 have no magic number, so the name has to tell.
    if path.endswith((".pkl", ".pickle")):
        return read_pickle
    raise WeightFileError(
        f"{path}: not a readable {READABLE} file (it begins with {head[:8]!r}); cut, damaged, or "
        "of another format? Fetch it again, or save it in one of these formats"
    )


def _read_flat(read: Callable[[str], Content], path: str, entry: Optional[str]) -> Content:
    """Read a file of a format without dictionaries in each other, and take an entry of it."""
    content = read(path)
    return content if entry is None else take_entry(content, path, entry)


def _read_head(path: str) -> Tuple[bytes, int]:
    """Read the first bytes of a file, and its size; raise WeightFileError if it cannot be read."""
    if os.path.isdir(path):
        raise WeightFileError(f"{path}: {describe_folder(path)}")
    # Opening a pipe would wait for ever, and a device may have no end.
    if os.path.exists(path) and not os.path.isfile(path):
        raise WeightFileError(f"{path}: is a pipe or a device; copy it to a file, and give that")
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
