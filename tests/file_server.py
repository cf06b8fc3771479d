"""A small HTTP server on this machine that can imitate the faults of real servers."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Optional, Tuple


class FileServer:
    """HTTP server of files in memory, which records the requests and can misbehave.

    Parameters
    ----------
    **files : bytes
        The content of each file, by name.

    Attributes
    ----------
    files : dict of str to bytes
        The content of each file, by name.
    url : str
        The address of the files, with a slash at the end.
    requests : list of (str, str or None)
        The name and the ``Range`` header of each request so far.
    agents : list of str or None
        The ``User-Agent`` header of each request so far.
    ranges : bool
        Whether the server answers ``Range`` headers.
    announce : bool
        Whether the server announces the length of its answers.
    delay : float
        Seconds before each answer.
    cuts : list of int or None
        For each coming answer, the bytes after which the connection is closed although more was
        announced; None for no cut.
    answers : list of int
        HTTP statuses to answer the next requests with, instead of files.
    """

    def __init__(self, **files: bytes) -> None:
        self.files: Dict[str, bytes] = files
        self.requests: List[Tuple[str, Optional[str]]] = []
        self.agents: List[Optional[str]] = []
        self.ranges = True
        self.announce = True
        self.delay = 0.0
        self.cuts: List[Optional[int]] = []
        self.answers: List[int] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Passes requests on to the server."""

            def do_GET(self) -> None:  # noqa: N802  (http.server calls this name)
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class QuietServer(ThreadingHTTPServer):
            """Prints no stack trace if a client closes the connection."""

            def handle_error(self, *_: Any) -> None:
                pass

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request.

        Parameters
        ----------
        handler : BaseHTTPRequestHandler
            The request.
        """
        name = handler.path.rsplit("/", 1)[1]
        byte_range = handler.headers.get("Range")
        self.requests.append((name, byte_range))
        self.agents.append(handler.headers.get("User-Agent"))
        threading.Event().wait(self.delay)
        if self.answers:
            handler.send_error(self.answers.pop(0))
            return
        if name not in self.files:
            handler.send_error(404)
            return
        content = self.files[name]
        start = 0
        if byte_range and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", byte_range)[1])
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.end_headers()
                return
            handler.send_response(206)
            last = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            handler.send_response(200)
        if self.announce:
            handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        stop = len(content) if cut is None else start + cut
        handler.wfile.write(content[start:stop])

    def close(self) -> None:
        """Stop the server."""
        self.http.shutdown()
        self.http.server_close()
