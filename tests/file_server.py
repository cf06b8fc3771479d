"""A small HTTP server on this machine, with the faults that real ones have."""
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves ``files`` ({name: bytes}) and notes in ``requests`` what was asked for, as (name, Range header or None).

    ``ranges``: whether it knows ranges. ``cuts``: for each coming request, the bytes after which the connection is
    closed although more was announced, None for all. ``answers``: statuses to give first. ``delay``: seconds a request.
    ``announce``: whether the length is told.
    """

    def __init__(self, **files):
        self.files, self.requests, self.agents = files, [], []
        self.ranges, self.announce, self.delay = True, True, 0.0
        self.cuts, self.answers = [], []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802  the name http.server asks for
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # who asked has gone
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler):
        name, asked = handler.path.rsplit("/", 1)[1], handler.headers.get("Range")
        self.requests.append((name, asked))
        self.agents.append(handler.headers.get("User-Agent"))
        threading.Event().wait(self.delay)
        if self.answers or name not in self.files:
            handler.send_error(self.answers.pop(0) if self.answers else 404)
            return
        content, start = self.files[name], 0
        if asked and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        if self.announce:
            handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        handler.wfile.write(content[start:] if cut is None else content[start:start + cut])

    def close(self):
        self.http.shutdown()
        self.http.server_close()
