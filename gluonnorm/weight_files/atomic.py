"""Files that appear completely or not at all, and their checksums."""
import hashlib
import os
from contextlib import contextmanager
from typing import Iterator, List

BLOCK_SIZE = 1 << 20  # bytes read at once


@contextmanager
def atomic_files(*paths: str) -> Iterator[List[str]]:
    """Write one or more files so that an interruption never leaves half of them under their names.

    The body of the ``with`` statement writes to temporary names. At its end the files are brought to the disk and
    renamed, in the order given. If several files belong together, the last one is the file whose existence says
    that the set is complete: an older file of that name is removed before the first one is renamed.

    Parameters
    ----------
    *paths : str
        The final names. They lie in one folder, which exists.

    Yields
    ------
    list of str
        The temporary names, in the same order. The body writes all of them.

    Raises
    ------
    OSError
        A file cannot be written. After this or any other error, temporary files are removed.

    Examples
    --------
    >>> with atomic_files("weights.npz") as (temporary,):          # doctest: +SKIP
    ...     save(temporary)
    """
    temporaries = [f"{path}.tmp" for path in paths]
    try:
        yield temporaries
        for temporary in temporaries:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        if len(paths) > 1:
            remove_if_exists(paths[-1])
        for temporary, path in zip(temporaries, paths):
            os.replace(temporary, path)
        _sync_folder(os.path.dirname(paths[-1]) or ".")
    except BaseException:
        for temporary in temporaries:
            remove_if_exists(temporary)
        raise


def remove_if_exists(path: str) -> None:
    """Delete a file; do nothing if there is none of that name."""
    try:
        os.remove(path)
    except FileNotFoundError:
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


def _sync_folder(folder: str) -> None:
    """Bring the new names themselves to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
