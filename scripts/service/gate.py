"""What happens to every request before and after its route: HEAD, key, rest of the body, count."""

from typing import Awaitable, Callable, Container

from service.access import check_api_key
from service.metrics import ServiceMetrics
from service.refusal import TOO_SLOW, Refusal, error_response
from service.request_body import Message, Receive, RequestBody
from service.settings import ServiceSettings

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
FIRST_ERROR = 400  # of all statuses
FAILED = 500
OTHER_PATH = "other"  # in the metrics, so that clients cannot make any number of them


class Gate:
    """Ask for the API key, count answers, and end connections while the process is drained.

    HEAD is answered as GET, without the body. Before a request is refused, the rest of its body is
    read and forgotten.

    Parameters
    ----------
    application : callable
        The ASGI application behind the gate.
    settings : ServiceSettings
        The key, and the time for the rest of a refused body.
    protected : container of str
        The paths that need the key.
    known : container of str
        The paths that are counted by their name.
    metrics : ServiceMetrics
        Counts the answers.
    is_draining : callable
        Tells whether connections end after their answer.
    """

    def __init__(
        self,
        application: Application,
        settings: ServiceSettings,
        protected: Container[str],
        known: Container[str],
        metrics: ServiceMetrics,
        is_draining: Callable[[], bool],
    ) -> None:
        self._application = application
        self._settings = settings
        self._protected = protected
        self._known = known
        self._metrics = metrics
        self._is_draining = is_draining

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status = FAILED
        request = Request(scope)
        body = RequestBody(receive)
        waits_for_us = request.headers.get("expect", "").lower() == "100-continue"

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if self._is_draining():
                    headers["Connection"] = "close"
                if status >= FIRST_ERROR and status != TOO_SLOW:
                    await body.discard_rest(self._settings.client_timeout, waits_for_us)
            await send(message)

        if scope["method"] == "HEAD":
            # FastAPI's routes take no HEAD, which monitors ask with. The server leaves the body of
            # such an answer out.
            scope = {**scope, "method": "GET"}
        path = scope["path"]
        application = self._application
        if path in self._protected:
            try:
                check_api_key(request, self._settings.api_key)
            except Refusal as refusal:
                application = error_response(refusal.status, refusal.sentence, refusal.headers)
        try:
            await application(scope, body, send_and_note)
        finally:
            counted_path = path if path in self._known else OTHER_PATH
            self._metrics.requests.labels(counted_path, str(status)).inc()
