"""NumPy's .npz files: a zip with one .npy member for each array."""

import os
import zipfile
from typing import IO, Dict, List, Mapping, Tuple

from gluonnorm.errors import first_line
from gluonnorm.weight_files.content import Content, WeightFileError, unreadable_file

import numpy as np

# Weights shrink to nine tenths when they are compressed, and constants to nearly nothing.
INFLATION_ALLOWANCE = 64 << 20  # bytes
LARGEST_INFLATION = 8


def read_npz(path: str) -> Content:
    """Read an .npz file; arrays of Python objects are refused, because their pickles may hold code.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    Content
        The arrays, and no notes.

    Raises
    ------
    WeightFileError
        The file is damaged, a member claims another size than it has or holds Python objects, two
        members have one name, or the members would take far more memory than the file has bytes.
    """
    arrays: Dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_inflation(path, archive.infolist())
            for member in archive.infolist():
                name = member.filename[: -len(".npy")]
                if name in arrays:
                    raise WeightFileError(
                        f"{path}: two arrays are named {name!a:.60}, and one would hide the other; "
                        "give each a name of its own"
                    )
                arrays[name] = _read_member(path, archive, member)
    except WeightFileError:
        raise
    except Exception as error:
        # zipfile, zlib and NumPy each raise errors of their own for a damaged file.
        ending = os.path.splitext(path)[1] or "zip"
        raise unreadable_file(path, ending, first_line(error)) from error
    return Content(arrays, [])


def write_npz(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz file that ``numpy.load`` reads without pickles.

    Parameters
    ----------
    path : str
        The file.
    arrays : mapping of str to numpy.ndarray
        The arrays by name.

    Raises
    ------
    WeightFileError
        An array holds Python objects.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise WeightFileError(
                f"{name}: an array of Python objects cannot be stored in an .npz file; convert it "
                "to numbers"
            )
    # numpy.savez takes the names as keyword arguments, so an array could not have the name "file".
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # ZipInfo has a constant date, so the same arrays always give the same file.
            member = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _refuse_inflation(path: str, members: List[zipfile.ZipInfo]) -> None:
    """Refuse a zip whose members would take far more memory than the file has bytes."""
    total_size = 0
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightFileError(
                f"{path}: member {member.filename} is compressed in a way that NumPy does not "
                "write; save it with numpy.savez"
            )
        total_size += member.file_size
    if total_size > INFLATION_ALLOWANCE + LARGEST_INFLATION * os.path.getsize(path):
        raise WeightFileError(
            f"{path}: its arrays would take {total_size} bytes, far more than the file has; "
            "nothing was unpacked. If it is your own, save it with numpy.savez, without compression"
        )


def _read_member(path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Compare the header of one .npy member with its size, then read the member."""
    with archive.open(member) as file:
        shape, dtype = _read_header(file)
        data_size = member.file_size - file.tell()
    if dtype.hasobject:
        raise WeightFileError(
            f"{path}: {member.filename} holds Python objects, so possibly code, not numbers; "
            "nothing was run. Save arrays of numbers only"
        )
    claimed_size = dtype.itemsize
    for length in shape:
        claimed_size *= length
    # NumPy allocates the size that the header claims before it reads any data, so a few bytes of a
    # false header could use up the memory.
    if claimed_size != data_size:
        raise WeightFileError(
            f"{path}: {member.filename} of shape {shape} has {member.file_size} bytes; the file is "
            "damaged or altered, fetch it again"
        )
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # zipfile compares the checksum at the end of the member. read_array stops before it.
        file.read(1)
    return array


def _read_header(file: IO[bytes]) -> Tuple[Tuple[int, ...], np.dtype]:
    """Read the shape and dtype in front of the data of a .npy member."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype
