"""An answer whose bytes count until its client has taken them."""

from service.byte_budget import ByteBudget

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE = 128 << 10  # bytes


class HeldAnswer(Response):
    """An answer that is sent piece by piece, each when the client has taken the one before.

    All at once it would wait in the buffer of its connection, and hundreds of clients that ask for
    large pictures and do not read them would fill the memory.

    Parameters
    ----------
    content : bytes
        The body.
    media_type : str
        Its type.
    budget : ByteBudget
        The bytes of all answers.
    """

    def __init__(self, content: bytes, media_type: str, budget: ByteBudget) -> None:
        super().__init__(content, media_type=media_type)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or raise the Refusal of an answer for which there is no memory."""
        num_bytes = len(self.body)
        self._budget.add(num_bytes)
        try:
            head = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **head})
            for start in range(0, num_bytes, PIECE):
                end = start + PIECE
                piece = {"body": bytes(self.body[start:end]), "more_body": end < num_bytes}
                await send({"type": "http.response.body", **piece})
        finally:
            self._budget.remove(num_bytes)
