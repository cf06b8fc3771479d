"""The messages of a request's body, as far as the client has sent them."""

import asyncio
import time
from typing import Any, Awaitable, Callable, MutableMapping

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class RequestBody:
    """Receive the messages of a request, and know whether its body has more of them.

    Parameters
    ----------
    receive : callable
        The server's ``receive`` of ASGI. The object is called in its place.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_begun = False
        self._has_more = True

    async def __call__(self) -> Message:
        """Wait for the next message."""
        message = await self._receive()
        self._has_begun = True
        # The message of a client that is gone has no such entry.
        self._has_more = message.get("more_body", False)
        return message

    async def discard_rest(self, seconds: float, waits_for_us: bool) -> None:
        """Take what the client still sends, and forget it.

        A client that sends when its connection is closed sees a broken connection in place of the
        answer.

        Parameters
        ----------
        seconds : float
            The most time that it may take.
        waits_for_us : bool
            Whether the client sends nothing before the service has asked for it.
        """
        if waits_for_us and not self._has_begun:
            return
        end_time = time.monotonic() + seconds
        try:
            while self._has_more:
                await asyncio.wait_for(self(), max(0, end_time - time.monotonic()))
        except asyncio.TimeoutError:
            pass
