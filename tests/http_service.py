"""The real service in a process of its own, and clients for it."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from in_process import SCRIPTS
from PIL import Image

START_TIME = 120.0  # seconds, on a busy machine
BOUNDARY = "a7f1c9d0"
CRLF = b"\r\n"
SIZES = ((50, 77), (64, 40), (64, 96))  # of photos


class Answer(NamedTuple):
    """An answer of the service.

    Attributes
    ----------
    status : int
        The HTTP status.
    headers : dict
        The headers, with names in small letters.
    content : bytes
        The body.
    """

    status: int
    headers: Dict[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.content)


class HttpService:
    """A running ``serve.py``.

    Parameters
    ----------
    exported : str
        The prefix of the exported files.
    *flags : object
        More flags; each is converted to text.
    environment : dict or None
        Variables for the process, beside those of this one.

    Attributes
    ----------
    process : subprocess.Popen
        The process.
    port : int
        Where it listens.
    log : list of str
        The lines that it has printed.
    """

    def __init__(
        self, exported: str, *flags: Any, environment: Optional[Dict[str, str]] = None
    ) -> None:
        command = [sys.executable, str(SCRIPTS / "serve.py"), "--exported", exported]
        command += ["--port", "0", *map(str, flags)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent), **(environment or {})},
        )
        self.log: List[str] = []
        self.port = 0
        self.scheme = "http"
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        assert self._is_ready.wait(START_TIME) and self.port, "".join(self.log)

    def _read_log(self) -> None:
        """Keep what the process prints, and find its port."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            match = re.match(r"serving .* at (https?)://.*:(\d+)$", line)
            if match:
                self.scheme = match.group(1)
                self.port = int(match.group(2))
                self._is_ready.set()
        self._is_ready.set()

    def __enter__(self) -> "HttpService":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    def stop(self, limit: float = 30) -> int:
        """Ask the process to end, and return its status."""
        self.process.terminate()
        status = self.process.wait(limit)
        self._reader.join()
        return status

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path."""
        return self.request("GET", path, None, headers)

    def post(self, body: bytes, content_type: str = "image/png", **headers: str) -> Answer:
        """Send a body to ``/v1/detect``."""
        return self.request("POST", "/v1/detect", body, {"Content-Type": content_type, **headers})

    def post_file(self, name: str, content: bytes, api_key: str) -> Answer:
        """Send a file in a form, with the API key."""
        body, content_type = form([(name, content)])
        return self.post(body, content_type, Authorization=f"Bearer {api_key}")

    def request(
        self,
        method: str,
        path: str,
        body: Optional[bytes],
        headers: Dict[str, str],
        context: Any = None,
    ) -> Answer:
        """Send a request and read its answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.scheme}://localhost:{self.port}{path}"
        request = urllib.request.Request(url, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as response:
                return _answer(response.status, response)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error)

    def connect(self) -> socket.socket:
        """Open a connection for a client that does not behave."""
        return socket.create_connection(("localhost", self.port), timeout=60)

    def peak_memory(self) -> int:
        """The most bytes that the process has occupied so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match.group(1)) << 10

    def worker_pids(self) -> List[int]:
        """The processes that ``--workers`` has started."""
        pids = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if parent == self.process.pid and b"spawn_main" in command:
                pids.append(int(folder.name))
        return pids

    def wait_for_line(self, pattern: str, limit: float = 60) -> str:
        """Wait until the process has printed a line that matches, and return the match."""
        end = time.monotonic() + limit
        while True:
            for line in self.log:
                match = re.match(pattern, line)
                if match:
                    return match.group(0)
            assert time.monotonic() < end, f"no line {pattern}: {''.join(self.log)}"
            time.sleep(0.02)

    def wait_for(self, path: str, status: int, limit: float = 20) -> None:
        """Wait until a path is answered with a status."""
        end = time.monotonic() + limit
        while self.get(path).status != status:
            assert time.monotonic() < end, f"{path} is not {status} after {limit} s"
            time.sleep(0.02)


def _answer(status: int, response: Any) -> Answer:
    """Make an Answer of a response of urllib."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status, headers, response.read())


def form(files: Sequence[Tuple[str, bytes]], field: str = "file") -> Tuple[bytes, str]:
    """Write a form with files, and its Content-Type."""
    parts = []
    for name, content in files:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"'
            "\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        parts.append(head.encode() + content + CRLF)
    parts.append(f"--{BOUNDARY}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={BOUNDARY}"


def head_of_post(length: int, *more: str) -> bytes:
    """Write the head of a request with a raw body."""
    lines = [
        "POST /v1/detect HTTP/1.1",
        "Host: localhost",
        "Content-Type: image/png",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def read_status(connection: socket.socket) -> int:
    """Read an answer from a connection until it ends or is complete, and return its status.

    0 means that the connection ended without an answer.
    """
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            piece = b""
        received += piece
        head, separator, content = received.partition(CRLF + CRLF)
        match = re.search(rb"content-length: (\d+)", head.lower())
        is_complete = bool(separator and match) and len(content) >= int(match.group(1))
        if is_complete or not piece:
            return int(received.split(b" ", 2)[1]) if received else 0


def photo(number: int, size: Tuple[int, int] = SIZES[0], image_format: str = "PNG") -> bytes:
    """A photo of blocks as the bytes of a file."""
    height, width = size
    blocks = np.random.default_rng(number).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    pixels = blocks.repeat(12, axis=0).repeat(12, axis=1)[:height, :width]
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format=image_format)
    return encoded.getvalue()


def bomb(width: int, height: int, rows: Optional[int] = None) -> bytes:
    """A small PNG file of many pixels, of which it may have only the first rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        length = len(content).to_bytes(4, "big")
        return length + kind + content + checksum.to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    pixels = zlib.compress(bytes(width + 1) * (height if rows is None else rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
