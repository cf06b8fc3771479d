"""Connections that end when the client is too slow, or when there are too many of them."""

import asyncio
from http import HTTPStatus
from typing import Any, Optional

from service.metrics import NO_HTTP, SLOW_READER, SLOW_REQUEST, TOO_MANY, ServiceMetrics
from service.refusal import TOO_SLOW, Refusal, error_content
from service.uploads import SLOWEST_PACE

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 512  # of a process


class TimedConnection(H11Protocol):
    """A connection of uvicorn with limits for slow clients.

    uvicorn limits only the time between two requests. A client that sends the head of a request
    byte by byte, or takes the answer byte by byte, would hold its connection for ever. Such a
    connection ends here: after ``client_timeout`` seconds for a head, and for an answer when a
    client takes less than ``SLOWEST_PACE`` in as many seconds. The time of a body is limited where
    the body is read; what a client still sends after the answer is limited here.
    """

    # A subclass for each service has its own.
    client_timeout = 20.0  # seconds
    metrics: ServiceMetrics

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._head_timer: Optional[asyncio.TimerHandle] = None
        self._answer_timer: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the head of the first request."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(
                TOO_MANY,
                Refusal(503, "too many connections; try again in 1 s", {"Retry-After": "1"}),
            )
            return
        self._start_head_timer()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        """Forget the limits."""
        self._stop_head_timer()
        self._stop_answer_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first ones of a head start its time limit, the last ones end it."""
        if self._has_no_request():
            self._start_head_timer()
        super().data_received(data)
        if not self._has_no_request():
            self._stop_head_timer()

    def pause_writing(self) -> None:
        """Limit the time in which the client takes what was written of its answer so far."""
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        """End that limit; what the client leaves of a complete answer has a limit as well."""
        super().resume_writing()
        if not self._has_no_request():
            self._stop_answer_timer()

    def on_response_complete(self) -> None:
        """Limit the time in which the client takes the answer, after its last byte was written."""
        self._watch_answer()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the form of all errors."""
        if not self.transport.is_closing():
            self._refuse(NO_HTTP, Refusal(400, "this is no HTTP request; send one of version 1.1"))

    def _has_no_request(self) -> bool:
        """Whether there is no request, or none without an answer."""
        return self.cycle is None or self.cycle.response_complete

    def _start_head_timer(self) -> None:
        """Start the time limit of a head, unless it runs already."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.client_timeout, self._end_slow_head)

    def _stop_head_timer(self) -> None:
        """End the time limit of a head."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_slow_head(self) -> None:
        """End a connection whose client did not finish the head of a request."""
        self._head_timer = None
        if not self.transport.is_closing():
            sentence = f"no complete request within {self.client_timeout:g} s; send it faster"
            self._refuse(SLOW_REQUEST, Refusal(TOO_SLOW, sentence))

    def _watch_answer(self) -> None:
        """Look after the time limit how much of the answer the client has taken."""
        self._stop_answer_timer()
        num_bytes_left = self.transport.get_write_buffer_size()
        self._answer_timer = self.loop.call_later(
            self.client_timeout, self._end_if_not_taken, num_bytes_left
        )

    def _stop_answer_timer(self) -> None:
        """End the time limit of an answer."""
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _end_if_not_taken(self, num_bytes_before: int) -> None:
        """End a connection whose client does not take the answer, or hardly does."""
        self._answer_timer = None
        num_bytes_left = self.transport.get_write_buffer_size()
        if num_bytes_left == 0:
            return
        if num_bytes_before - num_bytes_left < SLOWEST_PACE * self.client_timeout:
            self.metrics.ended_connections.labels(SLOW_READER).inc()
            self.transport.abort()
        else:
            self._watch_answer()

    def _refuse(self, reason: str, refusal: Refusal) -> None:
        """Answer outside of any request, and end the connection."""
        self.metrics.ended_connections.labels(reason).inc()
        content = error_content(refusal.sentence)
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Connection": "close",
            **(refusal.headers or {}),
        }
        lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + content)
        self.transport.close()
        # A client that does not read would keep the connection open.
        self._watch_answer()
