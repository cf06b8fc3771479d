"""A request that is not answered with detections, and the answer that says why."""

import json
from typing import Dict, Optional

from starlette.responses import Response

TOO_SLOW = 408  # the status of a client that has used its time


class Refusal(Exception):
    """A request that cannot be answered with detections.

    Parameters
    ----------
    status : int
        The HTTP status, 4xx or 5xx.
    sentence : str
        What is wrong and the way out. It names no file and no code of the server.
    headers : dict or None
        Headers of the answer.
    """

    def __init__(
        self, status: int, sentence: str, headers: Optional[Dict[str, str]] = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


def error_content(sentence: str) -> bytes:
    """Write the body of every answer that is an error.

    Parameters
    ----------
    sentence : str
        What is wrong.

    Returns
    -------
    bytes
        JSON with the one entry ``error``.

    Examples
    --------
    >>> error_content("no image")
    b'{"error": "no image"}'
    """
    return json.dumps({"error": sentence}).encode()


def error_response(
    status: int, sentence: str, headers: Optional[Dict[str, str]] = None
) -> Response:
    """Make an answer that is an error.

    Parameters
    ----------
    status, sentence, headers
        As for :class:`Refusal`.

    Returns
    -------
    starlette.responses.Response
        The answer.
    """
    content = error_content(sentence)
    return Response(content, status, headers, media_type="application/json")
