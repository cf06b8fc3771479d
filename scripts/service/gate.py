"""What happens to every request before and after its route: the API key, and the count."""

from typing import Any, Awaitable, Callable, Container, MutableMapping, Optional

from service.access import check_api_key
from service.metrics import ServiceMetrics
from service.refusal import Refusal, error_response

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
FAILED = 500
OTHER_PATH = "other"  # in the metrics, so that clients cannot make any number of them


class Gate:
    """Ask for the API key, count answers, and end connections while the process is drained.

    Parameters
    ----------
    application : callable
        The ASGI application behind the gate.
    api_key : str or None
        The key; None for a service that is open to everybody.
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
        api_key: Optional[str],
        protected: Container[str],
        known: Container[str],
        metrics: ServiceMetrics,
        is_draining: Callable[[], bool],
    ) -> None:
        self._application = application
        self._api_key = api_key
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

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if self._is_draining():
                    headers["Connection"] = "close"
            await send(message)

        path = scope["path"]
        application = self._application
        if path in self._protected:
            try:
                check_api_key(Request(scope), self._api_key)
            except Refusal as refusal:
                application = error_response(refusal.status, refusal.sentence, refusal.headers)
        try:
            await application(scope, receive, send_and_note)
        finally:
            counted_path = path if path in self._known else OTHER_PATH
            self._metrics.requests.labels(counted_path, str(status)).inc()
