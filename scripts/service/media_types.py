"""Which kind of answer a client asks for."""

from typing import List

from service.refusal import Refusal

JSON_TYPE = "application/json"
PNG_TYPE = "image/png"
# In the order in which they are taken where a client likes several equally.
ANSWER_TYPES = (JSON_TYPE, PNG_TYPE)


def accepted_type(accept: str) -> str:
    """Choose the type of an answer by the header ``Accept``.

    Parameters
    ----------
    accept : str
        Media types with their qualities, such as ``"image/png, */*;q=0.1"``. A header without any,
        like no header, accepts everything.

    Returns
    -------
    str
        The type of the highest quality; JSON if it is as good as a picture.

    Raises
    ------
    Refusal
        406: the client accepts neither JSON nor a PNG.

    Examples
    --------
    >>> accepted_type(""), accepted_type("image/png, */*;q=0.1")
    ('application/json', 'image/png')
    """
    if not accept.strip(", \t"):
        return JSON_TYPE
    qualities = {name: _quality(name, accept) for name in ANSWER_TYPES}
    best = max(ANSWER_TYPES, key=qualities.__getitem__)
    if qualities[best] <= 0:
        raise Refusal(406, f"the answer is {' or '.join(ANSWER_TYPES)}; accept one of these")
    return best


def _quality(name: str, accept: str) -> float:
    """Quality of a media type: that of the most exact entry which names it, 0 if none does."""
    general = f"{name.partition('/')[0]}/*"
    exactness = {name: 3, general: 2, "*/*": 1}
    best_exactness = 0
    quality = 0.0
    for entry in accept.lower().split(","):
        media_type, *parameters = [part.strip() for part in entry.split(";")]
        if exactness.get(media_type, 0) > best_exactness:
            best_exactness = exactness[media_type]
            quality = _stated_quality(parameters)
    return quality


def _stated_quality(parameters: List[str]) -> float:
    """Read the parameter ``q``; 1 without it, 0 if it is no number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
