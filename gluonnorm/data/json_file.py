"""Read the JSON files of data sets, and the values in them, with a DataError for what is wrong."""

import json
import math
import os
from typing import Any, Dict, List, Optional, Set, Tuple

from gluonnorm.data.labeled_image import DataError
from gluonnorm.errors import one_line
from gluonnorm.types import PathLike, is_number

MAX_INTEGER = 2**63  # what NumPy's and MXNet's integers hold
SHOWN_CHARACTERS = 60  # of a long text in a message
SHOWN_ITEMS = 8  # of a list in a message; a longer list is described by its length


def read_json(path: PathLike) -> Any:
    """Read a JSON file in UTF-8, UTF-16 or UTF-32.

    A byte order mark in front, as Windows programs write it, is accepted.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    any
        The content.

    Raises
    ------
    DataError
        The file cannot be read, is not JSON or is nested too deeply, or an object in it has a key
        twice.
    """
    try:
        return json.loads(_read_bytes(path), object_pairs_hook=_unique_keys)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not valid JSON: it is not text in UTF-8 or UTF-16, byte {error.start} is "
            "wrong; save it in UTF-8"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}: is not valid JSON here: it is nested too deeply") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into the memory; split it") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON: {one_line(error)}") from error


def required(entry: Any, key: str, where: str) -> Any:
    """Return the value of a key that an entry must have.

    Parameters
    ----------
    entry : any
        An entry of a JSON file, which should be an object.
    key : str
        The key.
    where : str
        The file and the place of the entry. The message begins with it.

    Returns
    -------
    any
        The value.

    Raises
    ------
    DataError
        The entry is no object, or lacks the key.
    """
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(f"{where} has no {key!r}; the format wants it, add it")
    return entry[key]


def required_integer(entry: Any, key: str, where: str) -> int:
    """Return the value of a key that must be an integer.

    Parameters
    ----------
    entry : any
        An entry of a JSON file.
    key : str
        The key.
    where : str
        The file and the place of the entry. The message begins with it.

    Returns
    -------
    int
        The value. A number such as 3.0, which programs write for missing values nearby, is 3.

    Raises
    ------
    DataError
        The key is absent, or its value is no integer of 64 bits.
    """
    value = required(entry, key, where)
    integer = to_integer(value)
    if integer is None:
        raise DataError(f"{where} has {key} {shorten(value)}; want an integer")
    return integer


def required_text(entry: Any, key: str, where: str) -> str:
    """Return the value of a key that must be a text.

    Parameters
    ----------
    entry : any
        An entry of a JSON file.
    key : str
        The key.
    where : str
        The file and the place of the entry. The message begins with it.

    Returns
    -------
    str
        The value; it is not empty.

    Raises
    ------
    DataError
        The key is absent, or its value is no text or empty.
    """
    value = required(entry, key, where)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} has {key} {shorten(value)}; want a text that is not empty")
    return value


def to_float(value: Any) -> Optional[float]:
    """Convert a value of a JSON file to a floating-point number, which need not be finite.

    Parameters
    ----------
    value : any
        The value. ``true`` and ``false`` are no numbers, and neither is a text.

    Returns
    -------
    float or None
        The number, perhaps NaN or infinity; None if the value is no number.

    Examples
    --------
    >>> to_float(3), to_float(True), to_float("3"), to_float(10**400)
    (3.0, None, None, inf)
    """
    if not is_number(value):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond 1e308
        return math.inf if value > 0 else -math.inf


def to_integer(value: Any) -> Optional[int]:
    """Convert a value of a JSON file to an integer.

    Parameters
    ----------
    value : any
        The value.

    Returns
    -------
    int or None
        The integer; None if the value is no integer, or has more than 64 bits.

    Examples
    --------
    >>> to_integer(3), to_integer(3.0), to_integer(3.5), to_integer("3"), to_integer(True)
    (3, 3, None, None, None)
    """
    number = to_float(value)
    # NaN and infinity are no integers either.
    if number is None or not number.is_integer() or abs(number) >= MAX_INTEGER:
        return None
    # The value itself: as a float, an integer beyond 2 ** 53 would be rounded.
    return int(value)


def _read_bytes(path: PathLike) -> bytes:
    """Read a file, after a look at how it begins."""
    # A device or a pipe could deliver bytes without end.
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ValueError("it is no regular file")
    with open(path, "rb") as file:
        content = file.read()
    if not content.strip():
        raise ValueError("the file is empty")
    return content


def _unique_keys(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Make a dictionary of the pairs of a JSON object, and refuse repeated keys.

    Python's reader would keep the last value of a repeated key without a word.
    """
    entry = dict(pairs)
    if len(entry) < len(pairs):
        seen: Set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"an object has the key {shorten(name)} more than once")
            seen.add(name)
    return entry


def shorten(value: Any) -> str:
    """Write a value of a JSON file on one line of a message.

    Parameters
    ----------
    value : any
        The value.

    Returns
    -------
    str
        The value, or what it is if it is large. The complete text of a huge value would itself
        take memory and time.

    Examples
    --------
    >>> shorten([1, "2", None]), shorten([[1]]), len(shorten("a" * 1000))
    ("[1, '2', None]", 'a list of length 1', 65)
    """
    if isinstance(value, list):
        is_nested = any(isinstance(item, (list, dict)) for item in value[:SHOWN_ITEMS])
        if is_nested or len(value) > SHOWN_ITEMS:
            return f"a list of length {len(value)}"
        return f"[{', '.join(map(shorten, value))}]"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        return "an integer of more than 64 bits"
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return f"{value[:SHOWN_CHARACTERS]!r}..."
    return repr(value)
