"""Turn signals to stop into requests, which the loop answers between two steps."""

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Callable, Dict, Optional

# Ctrl-C, a scheduler's end of time, and a terminal or an ssh connection that is lost.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest(BaseException):
    """A signal asks the loop to stop between two steps.

    It is no ``Exception``, so that no ``except Exception`` of a data loader can swallow it.
    """


class SignalGuard:
    """Context manager that holds back the first of ``STOP_SIGNALS``; the second one stops at once.

    After the first signal, ``wait`` raises ``StopRequest``. The loop gets its data through
    ``wait``, so it stops between two steps. A call of ``wait`` that is under way is interrupted,
    because the signal may have killed the loader's workers, and their data would never come.
    """

    def __init__(self) -> None:
        self._is_requested = False
        self._is_waiting = False
        self._previous_handlers: Dict[int, Any] = {}

    def __enter__(self) -> "SignalGuard":
        # Python allows signal handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # the run was started with nohup
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous_handlers.items():
            # None means that the handler was not set from Python; it cannot be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def wait(self, produce: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that the first signal may interrupt.

        Parameters
        ----------
        produce : callable
            The function.
        *arguments
            The arguments of the function.

        Returns
        -------
        object
            What the function returns.

        Raises
        ------
        StopRequest
            A signal has come, or comes during the call.
        """
        try:
            self._is_waiting = True
            if self._is_requested:
                raise StopRequest
            return produce(*arguments)
        finally:
            self._is_waiting = False

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        """Note the first signal, and raise KeyboardInterrupt at the second."""
        if self._is_requested:
            raise KeyboardInterrupt
        self._is_requested = True
        with suppress(OSError):  # a lost terminal cannot be written to
            print(
                "\nfinishing what is in hand, then saving; once more stops at once without saving",
                file=sys.stderr,
            )
        if self._is_waiting:
            raise StopRequest
