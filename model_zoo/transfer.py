"""The bytes of an address appended to a file, going on where an earlier transfer ended."""
import logging
import os
import re
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, Optional, Tuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from gluonnorm import __version__
from gluonnorm.errors import GluonnormError

from tqdm import tqdm

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # the first included
PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
PASSING = (408, 429)  # answers of a server that may be better the next time; besides those from 500 on
log = logging.getLogger(__name__)


class TransferError(GluonnormError, OSError):
    """An address gives nothing, or not all of it; the message names the cause. What has come stays in the file."""


class _Cut(Exception):
    """A transfer ended early; its cause is the exception behind it, if any."""


def transfer(url: str, path: Path, name: str, progress: bool = True) -> None:
    """Bring the file at ``path`` to the full length of ``url``, in several attempts if need be.

    A file that is there is taken for the beginning of the wanted one; a server that does not know ranges makes it start
    anew. ``name`` stands before the bar, which is drawn on a terminal only. Raises TransferError; an OSError of
    another class comes from the disk.
    """
    pause = PAUSE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with open(path, "ab") as file:
                _receive(url, file, name, progress)
                file.flush()
                os.fsync(file.fileno())
            return
        except _Cut as cut:
            cause = cut.__cause__ or cut
            unreachable = isinstance(cause, URLError) and not isinstance(cause, HTTPError)
            if attempt == ATTEMPTS or (unreachable and attempt == 1):
                raise TransferError(f"{_words(cause)}, attempt {attempt} of {ATTEMPTS}") from cause
            log.warning("%s: %s; going on in %g s", name, _words(cause), pause)
        time.sleep(pause)
        pause *= 2


def _receive(url: str, file: BinaryIO, name: str, progress: bool) -> None:
    there = file.tell()
    headers = {"User-Agent": f"gluonnorm/{__version__}", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and _range(error.headers.get("Content-Range"))[1] == there:
            return  # nothing is missing
        if error.code == 416:
            file.truncate(0)
        elif error.code not in PASSING and error.code < 500:
            raise TransferError(_words(error)) from error
        raise _Cut from error
    except (OSError, HTTPException) as error:
        raise _Cut from error
    with response:
        start, total = _range(response.headers.get("Content-Range"))
        if there and (response.status != 206 or start != there):  # it sends all of it
            file.truncate(0)
            there = 0
        length = response.headers.get("Content-Length")
        if total is None and length is not None:
            total = there + int(length)
        with tqdm(total=total, initial=there, desc=name, unit="B", unit_scale=True, unit_divisor=1024,
                  disable=None if progress else True) as bar:
            for chunk in iter(lambda: _read(response), b""):
                file.write(chunk)
                there += len(chunk)
                bar.update(len(chunk))
    if total is not None and there != total:
        raise _Cut(f"only {there} of {total} bytes arrived")


def _read(response: Any) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Cut from error


def _range(header: Optional[str]) -> Tuple[Optional[int], Optional[int]]:
    """First byte and total length of a ``Content-Range``: "bytes 5-9/10" is (5, 10), "bytes */10" is (None, 10)."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", header or "")
    if match is None:
        return None, None
    return int(match[1]) if match[1] else None, int(match[2]) if match[2] != "*" else None


def _words(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(reason).__name__
