"""Files that appear completely or not at all, and their checksums."""

import errno
import hashlib
import os
from contextlib import contextmanager
from typing import Iterator, List, Sequence

BLOCK_SIZE = 1 << 20  # bytes read at once


@contextmanager
def atomic_files(*paths: str) -> Iterator[List[str]]:
    """Write one or more files so that an interruption never leaves half of them under their names.

    The body of the ``with`` statement writes to temporary names. At its end the files are brought
    to the disk and renamed, in the order of ``paths``. If several files belong together, the last
    one is the file whose existence says that the set is complete: an older file of that name is
    removed before the first one is renamed, and if a renaming fails, the incomplete set is removed.

    Parameters
    ----------
    *paths : str
        The final names, all in one folder, which exists.

    Yields
    ------
    list of str
        The temporary names, in the same order. The body writes all of them.

    Raises
    ------
    OSError
        A file cannot be written, or one of the names belongs to a device, a pipe or a folder, which
        a renaming would take away. After this or any other error, temporary files are removed.

    Examples
    --------
    >>> with atomic_files("weights.npz") as (temporary,):          # doctest: +SKIP
    ...     save(temporary)
    """
    for path in paths:
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileExistsError(errno.EEXIST, "it exists and is no file", path)
    temporaries = [f"{path}.tmp" for path in paths]
    try:
        yield temporaries
        for temporary in temporaries:
            _sync_file(temporary)
        _rename_set(temporaries, paths)
        _sync_folder(os.path.dirname(paths[-1]) or ".")
    except BaseException:
        for temporary in temporaries:
            remove_if_exists(temporary)
        raise


def remove_if_exists(path: str) -> None:
    """Delete a file; do nothing if there is none of that name.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    OSError
        The file exists and cannot be deleted.
    """
    try:
        os.remove(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def file_digest(path: str, algorithm: str = "sha256") -> str:
    """Compute the checksum of a file.

    Parameters
    ----------
    path : str
        The file.
    algorithm : str
        A name that ``hashlib.new`` takes.

    Returns
    -------
    str
        The digest in hexadecimal digits.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while True:
            block = file.read(BLOCK_SIZE)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def _rename_set(temporaries: Sequence[str], paths: Sequence[str]) -> None:
    """Give files that belong together their final names; the last one marks the set as complete."""
    *parts, marker = paths
    if parts:
        remove_if_exists(marker)
    try:
        for temporary, path in zip(temporaries, paths):
            os.replace(temporary, path)
            # If both names are hard links to one file, os.replace does nothing and both stay.
            remove_if_exists(temporary)
    except BaseException:
        # An interruption may come after the last renaming. The set is then complete and stays.
        if not os.path.exists(marker):
            for part in parts:
                remove_if_exists(part)
        raise


def _sync_file(path: str) -> None:
    """Bring the content of a file to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Bring the new names themselves to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
