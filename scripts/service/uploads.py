"""Read the photos of a request, within limits of bytes, time and memory."""

import asyncio
import time
from typing import AsyncIterator, List, Union

from service.byte_budget import ByteBudget
from service.multipart_form import MultipartForm, Upload, shown_name
from service.refusal import TOO_SLOW, Refusal
from service.settings import MEGABYTE, ServiceSettings

from starlette.requests import ClientDisconnect, Request

# A body may take the client's time limit, and its length at this pace beyond it. The client takes
# the answer no slower than that.
SLOWEST_PACE = 10_000  # bytes a second
# All bodies in memory together are at most this many of the longest one.
BODIES_IN_MEMORY = 16
RAW_TYPES = ("image/", "application/octet-stream")


class Body:
    """The body of a request, whose bytes count until it is released.

    Parameters
    ----------
    request : starlette.requests.Request
        The request.
    settings : ServiceSettings
        The limits.
    budget : ByteBudget
        The bytes of all bodies.
    """

    def __init__(self, request: Request, settings: ServiceSettings, budget: ByteBudget) -> None:
        self._request = request
        self._settings = settings
        self._budget = budget
        self._num_bytes = 0

    async def read_uploads(self) -> List[Upload]:
        """Read the photos in the body.

        Returns
        -------
        list of Upload
            The files of a form, or the body itself.

        Raises
        ------
        Refusal
            400: no form, or nothing in it. 408: the client is too slow. 413: too many bytes or
            files. 415: the body is said to be something else than an image. 503: no memory.
        ClientDisconnect
            The client is gone.
        """
        self._check_stated_length()
        receiver = _receiver(self._request, self._settings)
        async for piece in self._pieces():
            receiver.write(piece)
        return receiver.finish()

    def release(self) -> None:
        """Count the bytes no longer."""
        self._budget.remove(self._num_bytes)
        self._num_bytes = 0

    def _check_stated_length(self) -> None:
        """Refuse a body that says itself that it is too long, before it is sent."""
        stated = self._request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self._settings.max_body:
            raise self._too_long()

    def _too_long(self) -> Refusal:
        """Make the refusal of a body with too many bytes."""
        megabytes = self._settings.max_body / MEGABYTE
        return Refusal(413, f"the body is longer than {megabytes:g} MB; send a smaller image")

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, within the limits of bytes and time."""
        start_time = time.monotonic()
        more_body = True
        while more_body:
            allowed = self._settings.client_timeout + self._num_bytes / SLOWEST_PACE
            seconds_left = start_time + allowed - time.monotonic()
            try:
                message = await asyncio.wait_for(self._request.receive(), max(0, seconds_left))
            except asyncio.TimeoutError:
                raise Refusal(
                    TOO_SLOW, f"the body did not arrive within {allowed:.0f} s; send it faster"
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            if self._num_bytes + len(piece) > self._settings.max_body:
                raise self._too_long()
            self._budget.add(len(piece))
            self._num_bytes += len(piece)
            more_body = message.get("more_body", False)
            if piece:
                yield piece


class _RawImage:
    """Collect a body that is one image."""

    def __init__(self) -> None:
        self._content = bytearray()

    def write(self, data: bytes) -> None:
        """Take the next piece of the body."""
        self._content.extend(data)

    def finish(self) -> List[Upload]:
        """Return the image."""
        if not self._content:
            raise Refusal(400, "the body is empty; send an image")
        return [Upload(shown_name(""), self._content)]


def _receiver(request: Request, settings: ServiceSettings) -> Union[MultipartForm, _RawImage]:
    """Choose what reads a body of the stated type."""
    content_type = request.headers.get("content-type") or RAW_TYPES[-1]
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return MultipartForm(content_type, settings.max_images)
    if media_type.startswith(RAW_TYPES):
        return _RawImage()
    raise Refusal(
        415,
        f"the Content-Type is {media_type[:60]!r}; send an image as image/jpeg, image/png or "
        "application/octet-stream, or as a form (multipart/form-data) with the field 'file'",
    )
