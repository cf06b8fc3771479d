"""The cache of published files.

A file is fetched once. It gets its name only when it is complete and its checksum is right.
"""

import fcntl
import logging
import os
import shutil
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Union

from gluonnorm.errors import GluonnormError
from gluonnorm.weight_files import file_digest
from model_zoo.published_weights import PublishedWeights
from model_zoo.transfer import TransferError, transfer

COPY_BLOCK = 1 << 20  # bytes
DEFAULT_FOLDER = "~/.cache/gluonnorm"
# MD5 is left out because files with the MD5 of another file are easy to make.
COMPLETE_DIGITS = {"sha1": 40, "sha256": 64}
log = logging.getLogger(__name__)


class DownloadError(GluonnormError, OSError):
    """A published file cannot be fetched, or the file is another one.

    The message tells how to get the file by hand.
    """


def cache_folder(folder: Union[str, Path, None] = None) -> Path:
    """Return the folder of the downloaded files.

    Parameters
    ----------
    folder : str, Path or None
        The folder that the caller wants. None: the folder in the environment variable
        ``GLUONNORM_HOME``, or else ``~/.cache/gluonnorm``.

    Returns
    -------
    Path
        The folder, with "~" expanded. It need not exist.

    Examples
    --------
    >>> cache_folder("weights")
    PosixPath('weights')
    """
    chosen = folder or os.environ.get("GLUONNORM_HOME") or DEFAULT_FOLDER
    return Path(chosen).expanduser()


def download(
    record: PublishedWeights, folder: Union[str, Path, None] = None, progress: bool = True
) -> Path:
    """Return the path of a published file; fetch the file if the cache does not have it.

    A cached file is checked each time. An interrupted transfer stays as ``.part``, and the next
    call continues it. Processes that need the same file wait for one another. A ``.zip`` in the
    cache is unpacked instead of fetched.

    If the publisher states no complete checksum, the SHA-256 of the first download is written
    beside the file as ``.sha256``, and later calls compare the file with it.

    Parameters
    ----------
    record : PublishedWeights
        The file.
    folder : str, Path or None
        The cache, see :func:`cache_folder`. It is created if it does not exist.
    progress : bool
        Whether a progress bar is shown on a terminal.

    Returns
    -------
    Path
        The checked file.

    Raises
    ------
    DownloadError
        No network, no such file, a file with another checksum, or a full disk. The message lists
        the steps to get the file by hand.

    Examples
    --------
    >>> from model_zoo.published_weights import PUBLISHED_WEIGHTS
    >>> download(PUBLISHED_WEIGHTS["torchvision/resnet50"], "folder_to_copy")  # doctest: +SKIP
    """
    path = cache_folder(folder) / record.file
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                # Another process may have fetched the file while this one waited for the lock.
                if not path.is_file():
                    _fetch(record, path, progress)
                    return path
        _check_cached(record, path)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{path}: {error}; make room or set GLUONNORM_HOME to another folder"
        ) from error
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file's name; wait for another process that holds it."""
    # The system releases the lock of a process that dies. The empty lock file is never deleted,
    # because a process that waits for it would then lock a file without a name.
    with open(f"{path}.lock", "w", encoding="utf-8") as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: waiting for another process that is fetching it", path.name)
            fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield


def _fetch(record: PublishedWeights, path: Path, progress: bool) -> None:
    """Bring a file into the cache: from an archive that a user put there, or else by transfer."""
    archive = _archive_path(record, path)
    if archive is not None and archive.is_file():
        problem = _install(record, archive, path)
        if problem:
            instructions = _instructions(record, path)
            raise DownloadError(
                f"{archive}: {problem}. Delete it to have it fetched. {instructions}"
            )
        return

    license_name = record.license or "not stated, ask the publisher"
    log.info("%s: fetching %s (license: %s)", record.key, record.address(), license_name)
    part = Path(f"{archive or path}.part")
    if part.is_file():
        # The part may be the start of another file. In that case the file is fetched once more,
        # from its beginning.
        problem = _transfer_and_install(record, part, path, progress)
        if not problem:
            return
    problem = _transfer_and_install(record, part, path, progress)
    if problem:
        raise DownloadError(
            f"{record.address()}: the file {problem}; it was deleted. {_instructions(record, path)}"
        )


def _transfer_and_install(record: PublishedWeights, part: Path, path: Path, progress: bool) -> str:
    """Complete a ``.part`` and install it.

    Returns what is wrong with the file, or "". A wrong file is deleted.
    """
    try:
        transfer(record.address(), part, record.file, progress)
    except TransferError as error:
        if not part.stat().st_size:
            part.unlink()
        raise DownloadError(
            f"{record.address()}: {error}. {_instructions(record, path)}"
        ) from error
    problem = _install(record, part, path)
    if problem:
        part.unlink()
    return problem


def _install(record: PublishedWeights, arrived: Path, path: Path) -> str:
    """Unpack a file if it is an archive, check it and give it its name.

    Returns what is wrong with the file, or "". The arrived file is consumed only if it is right.
    """
    if _archive_path(record, path) is None:
        return _check_and_rename(record, arrived, path)
    unpacked = Path(f"{path}.new")
    try:
        # Only one member is read, by its name, and its copy gets a name from this module. So a
        # path in the archive cannot write anywhere else.
        with zipfile.ZipFile(arrived) as archive, archive.open(record.file) as member:
            with open(unpacked, "wb") as unpacked_file:
                shutil.copyfileobj(member, unpacked_file, COPY_BLOCK)
        problem = _check_and_rename(record, unpacked, path)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError) as error:
        problem = f"is not a sound zip file with {record.file} in it ({error})"
    unpacked.unlink(missing_ok=True)
    if not problem:
        arrived.unlink()
    return problem


def _check_and_rename(record: PublishedWeights, candidate: Path, path: Path) -> str:
    """Give a file its name if its checksum is right; return what is wrong with it, or ""."""
    problem = _checksum_problem(record, candidate)
    if problem:
        return problem
    os.replace(candidate, path)
    if not _is_complete(record.checksum):
        _write_first_digest(record, path, file_digest(str(path), "sha256"))
    return ""


def _check_cached(record: PublishedWeights, path: Path) -> None:
    """Compare a cached file with its published checksum and with its first download."""
    problem = _checksum_problem(record, path)
    if not problem and not _is_complete(record.checksum):
        problem = _first_digest_problem(record, path)
    if problem:
        digest_name = _first_digest_path(path).name
        raise DownloadError(
            f"{path}: {problem}. Delete it, and {digest_name} if there is one, to fetch it again"
        )


def _first_digest_problem(record: PublishedWeights, path: Path) -> str:
    """Compare a file with the digest of its first download; write that digest if there is none.

    Returns what is wrong with the file, or "".
    """
    digest = file_digest(str(path), "sha256")
    digest_path = _first_digest_path(path)
    if not digest_path.is_file():
        try:
            _write_first_digest(record, path, digest)
        except OSError as error:
            # The cache belongs to another user, and this process may only read it.
            log.warning("%s: %s; a change of %s would go unnoticed", digest_path, error, path.name)
        return ""
    words = digest_path.read_text(encoding="utf-8").split()
    first_digest = words[0] if words else "nothing"
    if digest == first_digest:
        return ""
    return f"has SHA-256 {digest}, expected {first_digest}, that of the first download"


def _write_first_digest(record: PublishedWeights, path: Path, digest: str) -> None:
    """Write the digest of a first download, in the format of ``sha256sum``."""
    stated = f"only {record.checksum}" if record.checksum else "no checksum"
    log.warning(
        "%s: its publisher states %s; this file is trusted, later ones must have its SHA-256 %s",
        path.name,
        stated,
        digest,
    )
    _first_digest_path(path).write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def _first_digest_path(path: Path) -> Path:
    """Return the name of the file that has the digest of the first download."""
    return Path(f"{path}.sha256")


def _archive_path(record: PublishedWeights, path: Path) -> Optional[Path]:
    """Return the name of the archive in the cache; None if the file is published as it is."""
    if record.address().endswith(".zip"):
        return path.with_suffix(".zip")
    return None


def _is_complete(checksum: Optional[str]) -> bool:
    """Whether a checksum is a SHA-1 or SHA-256 with all its digits."""
    if checksum is None:
        return False
    algorithm, digits = checksum.split(":")
    return len(digits) == COMPLETE_DIGITS.get(algorithm)


def _checksum_problem(record: PublishedWeights, path: Path) -> str:
    """Compare a file with its published checksum; return what is wrong, or ""."""
    if record.checksum is None:
        return ""
    algorithm, digits = record.checksum.split(":")
    digest = file_digest(str(path), algorithm)
    if digest.startswith(digits):
        return ""
    return f"has {algorithm} {digest}, expected {digits}"


def _instructions(record: PublishedWeights, path: Path) -> str:
    """Tell how to get a file by hand."""
    check = "no checksum is published"
    if record.checksum:
        check = f"the file's checksum begins with {record.checksum}"
    file = _archive_path(record, path) or path
    return (
        f"By hand: fetch {record.address()} on another machine and put it into {path.parent} as"
        f" {file.name} ({check}); or set GLUONNORM_HOME to a folder that has it"
    )
