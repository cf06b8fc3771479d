"""SIGINT and SIGTERM as requests that a loop answers at a moment of its own."""
import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable, Dict, Optional


class StopRequest(BaseException):
    """The loop is to stop here, between two steps. No ``except Exception`` of a data loader may swallow it."""


class SignalGuard:
    """Holds back the first SIGINT or SIGTERM until the loop waits for data; the second one strikes at once.

    Waiting for data is where a stop costs nothing and where a signal may have killed what is waited for, the
    loader's workers; so there, and only there, the first signal interrupts as well.
    """

    def __init__(self) -> None:
        self._requested = False
        self._waiting = False
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> "SignalGuard":
        if threading.current_thread() is threading.main_thread():  # Python sets handlers nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        again, self._requested = self._requested, True
        if again:
            raise KeyboardInterrupt
        print("\nfinishing what is in hand, then saving; once more stops at once without saving", file=sys.stderr)
        if self._waiting:
            raise StopRequest

    def wait(self, produce: Callable[..., Any], *arguments: Any) -> Any:
        """``produce(*arguments)``, or ``StopRequest`` if a signal has come or comes meanwhile."""
        try:
            self._waiting = True
            if self._requested:
                raise StopRequest
            return produce(*arguments)
        finally:
            self._waiting = False
