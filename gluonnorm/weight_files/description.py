"""Read the small JSON files that describe larger ones, such as the header of a checkpoint."""

import json
import os
from typing import Any, Dict, List

LARGEST_FILE = 4 << 20  # bytes; a detector's description has about 30 kB
LONGEST_NUMBER = 100  # digits
DEEPEST_NESTING = 20


def read_description(path: str) -> Dict[str, Any]:
    """Read a JSON file of a limited size that holds an object.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    ValueError
        The file is no such object: it is too large, nested too deeply or not JSON. The message is
        one line without the path.
    OSError
        The file cannot be read.
    """
    # Reading a pipe would wait for ever, and a device may have no end.
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("it is not a regular file")
    size = os.path.getsize(path)
    if size > LARGEST_FILE:
        raise ValueError(f"it has {size} bytes; at most {LARGEST_FILE} are read")
    # Editors on Windows put a mark of the encoding in front, which is no JSON.
    with open(path, encoding="utf-8-sig") as file:
        return parse_description(file.read(LARGEST_FILE))


def parse_description(text: str) -> Dict[str, Any]:
    """Parse a JSON object in bounded time.

    Parameters
    ----------
    text : str
        The object in JSON.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    ValueError
        The text is no such object: it is too long, nested too deeply or not JSON. The message is
        one line.
    """
    if len(text) > LARGEST_FILE:
        raise ValueError(f"it has {len(text)} letters; at most {LARGEST_FILE} are read")
    try:
        content = json.loads(text, parse_int=_parse_integer)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST_NESTING} levels deep") from None
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    _check_nesting(content)
    return content


def _parse_integer(text: str) -> int:
    """Convert a number; Python 3.8 would spend minutes on one of a million digits."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"it has a number of {len(text)} digits")
    return int(text)


def _check_nesting(content: Any) -> None:
    """Refuse content whose later use would exceed Python's recursion limit."""
    level = [content]
    for _ in range(DEEPEST_NESTING):
        deeper: List[Any] = []
        for value in level:
            if isinstance(value, dict):
                deeper += value.values()
            elif isinstance(value, list):
                deeper += value
        level = [value for value in deeper if isinstance(value, (dict, list))]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST_NESTING} levels deep")
