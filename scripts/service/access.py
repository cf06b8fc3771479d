"""Who may use the service."""

import hmac
from typing import Optional

from service.refusal import Refusal

from starlette.requests import Request

SCHEME = "bearer "


def check_api_key(request: Request, api_key: Optional[str]) -> None:
    """Check that a request has the service's key.

    Parameters
    ----------
    request : starlette.requests.Request
        The request. It has the key in ``Authorization: Bearer KEY`` or in ``X-API-Key: KEY``.
    api_key : str or None
        The key; None for a service that is open to everybody.

    Raises
    ------
    Refusal
        401: the key is missing or wrong.
    """
    if api_key is None:
        return
    sent_key = request.headers.get("x-api-key", "")
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith(SCHEME):
        sent_key = authorization[len(SCHEME) :].strip()
    # A comparison that ends at the first difference would tell how much of a guess is right.
    if not hmac.compare_digest(sent_key.encode(), api_key.encode()):
        raise Refusal(
            401,
            "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'",
            {"WWW-Authenticate": "Bearer"},
        )
