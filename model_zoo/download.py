"""Published files in a cache: fetched once, and never there under their name before they are whole and checked."""
import fcntl
import hashlib
import logging
import os
import shutil
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Union

from gluonnorm.errors import GluonnormError
from model_zoo.published_weights import PublishedWeights
from model_zoo.transfer import TransferError, transfer

BLOCK = 1 << 20  # bytes
log = logging.getLogger(__name__)


class DownloadError(GluonnormError, OSError):
    """A file could not be fetched or is not the published one; the message says how to get it by hand."""


def cache_folder(folder: Union[str, Path, None] = None) -> Path:
    """``folder``, else the environment's ``GLUONNORM_HOME``, else ``~/.cache/gluonnorm``."""
    return Path(folder or os.environ.get("GLUONNORM_HOME") or "~/.cache/gluonnorm").expanduser()


def download(record: PublishedWeights, folder: Union[str, Path, None] = None, progress: bool = True) -> Path:
    """Return the path of the checked file of ``record``, fetching it if the cache does not have it.

    A file in the cache is checked each time. A cut transfer stays as ``.part`` and is taken up again, by this call or a
    later one. Processes that want the same file wait for one another. A ``.zip`` that somebody put into the cache
    is unpacked instead of fetched.

    Where no whole checksum is published, the SHA-256 of the first download is written beside the file as ``.sha256``
    and holds from then on.

    Parameters
    ----------
    folder : see :func:`cache_folder`; made if missing
    progress : show a bar on a terminal

    Raises
    ------
    DownloadError : no network, no such file, not the published file, a full disk; with the steps to do by hand
    """
    path = cache_folder(folder) / record.file
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                if not path.is_file():  # else another process was faster
                    _fetch(record, path, progress)
                    return path
        _check_cached(record, path)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"{path}: {error}; make room or set GLUONNORM_HOME to another folder") from error
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The system frees the lock of a process that dies. The empty file stays: who waits for it has it open.
    with open(f"{path}.lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: waiting for another process that is fetching it", path.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(record: PublishedWeights, path: Path, progress: bool) -> None:
    url = record.address()
    zipped = path.with_suffix(".zip") if url.endswith(".zip") else None
    if zipped is not None and zipped.is_file():
        problem = _take(record, zipped, path)
        if problem:
            raise DownloadError(f"{zipped}: {problem}. Delete it to have it fetched. {_by_hand(record, path)}")
        return
    log.info("%s: fetching %s (license: %s)", record.key, url, record.license or "not stated, ask the publisher")
    part = Path(f"{zipped or path}.part")
    for resumed in (part.is_file(), False):  # what an earlier run left may be damaged: then once more from the start
        try:
            transfer(url, part, record.file, progress)
        except TransferError as error:
            if not part.stat().st_size:
                part.unlink()
            raise DownloadError(f"{url}: {error}. {_by_hand(record, path)}") from error
        problem = _take(record, part, path)
        if not problem:
            return
        part.unlink()
        if not resumed:
            raise DownloadError(f"{url}: what it gives {problem}; it was deleted. {_by_hand(record, path)}")


def _take(record: PublishedWeights, arrived: Path, path: Path) -> str:
    """Unpack, check and rename ``arrived`` to ``path``; or return what is wrong with it."""
    if not record.address().endswith(".zip"):
        return _accept(record, arrived, path)
    unpacked = Path(f"{path}.new")
    try:
        # One member by its name, to a name of our own: paths in the archive decide nothing.
        with zipfile.ZipFile(arrived) as archive, archive.open(record.file) as source, open(unpacked, "wb") as copy:
            shutil.copyfileobj(source, copy, BLOCK)
        problem = _accept(record, unpacked, path)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError) as error:
        problem = f"is not a sound zip file with {record.file} in it ({error})"
    unpacked.unlink(missing_ok=True)
    if not problem:
        arrived.unlink()
    return problem


def _accept(record: PublishedWeights, candidate: Path, path: Path) -> str:
    problem = _misfit(record, candidate)
    if not problem:
        os.replace(candidate, path)
        if not _is_whole(record.checksum):
            _remember(record, path, _digest(path, "sha256"))
    return problem


def _check_cached(record: PublishedWeights, path: Path) -> None:
    problem, memory = _misfit(record, path), _memory(path)
    if not problem and not _is_whole(record.checksum):
        found = _digest(path, "sha256")
        if memory.is_file():
            known = (memory.read_text(encoding="utf-8").split() or ["nothing"])[0]
            problem = "" if known == found else f"has SHA-256 {found}, expected {known}, that of the first download"
        else:
            try:
                _remember(record, path, found)
            except OSError as error:  # a cache that others filled, and we may only read
                log.warning("%s: %s; a change of %s would go unnoticed", memory, error, path.name)
    if problem:
        raise DownloadError(f"{path}: {problem}. Delete it, and {memory.name} if there is one, to fetch it again")


def _remember(record: PublishedWeights, path: Path, digest: str) -> None:
    stated = f"only {record.checksum}" if record.checksum else "no checksum"
    log.warning("%s: its publisher states %s; trusting this file, whose SHA-256 %s later ones must have", path.name,
                stated, digest)
    _memory(path).write_text(f"{digest}  {path.name}\n", encoding="utf-8")  # as sha256sum reads it


def _memory(path: Path) -> Path:
    return Path(f"{path}.sha256")


def _is_whole(checksum: Optional[str]) -> bool:
    return checksum is not None and (checksum.split(":")[0], len(checksum)) in (("sha1", 45), ("sha256", 71))


def _misfit(record: PublishedWeights, path: Path) -> str:
    """What is wrong with the file's checksum; "" if it is right or none is known."""
    if record.checksum is None:
        return ""
    algorithm, digits = record.checksum.split(":")
    found = _digest(path, algorithm)
    return "" if found.startswith(digits) else f"has {algorithm} {found}, expected {digits}"


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _by_hand(record: PublishedWeights, path: Path) -> str:
    url = record.address()
    name = path.with_suffix(".zip").name if url.endswith(".zip") else path.name
    check = f"the file's checksum begins with {record.checksum}" if record.checksum else "no checksum is published"
    return (f"By hand: fetch {url} on another machine and put it into {path.parent} as {name} ({check}); or set "
            "GLUONNORM_HOME to a folder that has it")
