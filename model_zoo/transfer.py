"""Transfers over HTTP that continue where an earlier transfer ended."""

import logging
import os
import re
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Optional
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from gluonnorm import __version__
from gluonnorm.errors import GluonnormError

from tqdm import tqdm

CHUNK = 1 << 20  # bytes read at once
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # the first one included
PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
# Request timeout and too many requests: the next attempt may succeed, as with all codes from 500.
PASSING_STATUSES = (408, 429)
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206
log = logging.getLogger(__name__)


class TransferError(GluonnormError, OSError):
    """An address cannot be read completely; the message names the cause.

    The bytes that arrived stay in the file, so that a later transfer continues after them.
    """


class _Interruption(Exception):
    """A transfer ended early, and another attempt may help; ``__cause__`` is the reason, if any."""


class _ContentRange(NamedTuple):
    """The position of the first byte of an answer, and the length of the file; None: not stated."""

    start: Optional[int]
    total: Optional[int]


def transfer(url: str, path: Path, name: str, progress: bool = True) -> None:
    """Fetch an address into a file, in several attempts if necessary.

    An existing file is taken for the beginning of the content. If the server does not support
    ranges, the file starts anew.

    Parameters
    ----------
    url : str
        The address.
    path : Path
        The file; its folder exists.
    name : str
        The name in front of the progress bar.
    progress : bool
        Whether a progress bar is shown on a terminal.

    Raises
    ------
    TransferError
        The server cannot be reached, has no such file, or ends the transfer early each time.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> transfer("https://example.org/a.bin", Path("a.bin.part"), "a.bin")  # doctest: +SKIP
    """
    pause = PAUSE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with open(path, "ab") as file:
                _receive(url, file, name, progress)
                # The bytes must be on the disk before the caller gives the file its final name.
                file.flush()
                os.fsync(file.fileno())
            return
        except _Interruption as interruption:
            cause = interruption.__cause__ or interruption
            reason = _describe(cause)
            # Without a network, further attempts would only make the caller wait.
            unreachable = isinstance(cause, URLError) and not isinstance(cause, HTTPError)
            if attempt == ATTEMPTS or (unreachable and attempt == 1):
                raise TransferError(f"{reason}, attempt {attempt} of {ATTEMPTS}") from cause
            log.warning("%s: %s; next attempt in %g s", name, reason, pause)
        time.sleep(pause)
        pause *= 2


def _receive(url: str, file: BinaryIO, name: str, progress: bool) -> None:
    """Append the bytes that a file lacks."""
    received = file.tell()
    response = _request(url, file, received)
    if response is None:
        return
    with response:
        content = _parse_content_range(response.headers.get("Content-Range"))
        continues = response.status == PARTIAL_CONTENT and content.start == received
        if received and not continues:
            # The server ignored the range and sends the complete file.
            file.truncate(0)
            received = 0
        total = content.total
        length = response.headers.get("Content-Length")
        if total is None and length is not None:
            total = received + int(length)
        received = _copy(response, file, received, total, name, progress)
    if total is not None and received != total:
        raise _Interruption(f"only {received} of {total} bytes arrived")


def _request(url: str, file: BinaryIO, received: int) -> Optional[Any]:
    """Ask for the bytes after the first ``received`` ones; return None if there are no more."""
    # A compressed answer would have another length, and a range of it would not continue the file.
    headers = {"User-Agent": f"gluonnorm/{__version__}", "Accept-Encoding": "identity"}
    if received:
        headers["Range"] = f"bytes={received}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == RANGE_NOT_SATISFIABLE:
            content = _parse_content_range(error.headers.get("Content-Range"))
            if content.total == received:
                return None
            # The file is longer than the content, so it is something else; start anew.
            file.truncate(0)
        elif error.code not in PASSING_STATUSES and error.code < 500:
            raise TransferError(_describe(error)) from error
        raise _Interruption from error
    except (OSError, HTTPException) as error:
        raise _Interruption from error


def _copy(
    response: Any,
    file: BinaryIO,
    received: int,
    total: Optional[int],
    name: str,
    progress: bool,
) -> int:
    """Append an answer to a file behind a progress bar; return the length of the file."""
    with tqdm(
        total=total,
        initial=received,
        desc=name,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=None if progress else True,  # None: shown on a terminal only
    ) as bar:
        while True:
            chunk = _read_chunk(response)
            if not chunk:
                return received
            file.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))


def _read_chunk(response: Any) -> bytes:
    """Read the next bytes of an answer; b"" at its end."""
    try:
        return response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Interruption from error


def _parse_content_range(header: Optional[str]) -> _ContentRange:
    """Parse ``Content-Range``: "bytes 5-9/10" is (5, 10), "bytes */10" is (None, 10)."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", header or "")
    if match is None:
        return _ContentRange(start=None, total=None)
    start, total = match.groups()
    return _ContentRange(
        start=None if start is None else int(start),
        total=None if total == "*" else int(total),
    )


def _describe(error: BaseException) -> str:
    """Write the reason of a failed transfer in a few words."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(reason).__name__
