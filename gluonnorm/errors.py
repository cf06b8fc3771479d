"""The errors of this package, and the phrases that their messages share."""

from difflib import get_close_matches
from typing import Iterable, Sequence


class GluonnormError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(GluonnormError, ValueError):
    """An input that cannot be used.

    The message names the value got, the value wanted and the way out.
    """


class Interrupted(GluonnormError, RuntimeError):
    """A signal stopped the training loop between two steps, after all ``on_interrupt`` callbacks.

    Parameters
    ----------
    step : int
        Updates that were made.

    Attributes
    ----------
    step : int
        Updates that were made.
    exit_code : int
        The exit code of a program that Ctrl-C stopped, by the convention of shells: 130.
    """

    exit_code = 130

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"interrupted after step {step}")


def first_few(names: Sequence[str], limit: int = 4) -> str:
    """List the first names, and how many more there are.

    Parameters
    ----------
    names : sequence of str
        Names or phrases, in the order in which they are shown.
    limit : int
        How many are shown.

    Returns
    -------
    str
        The names, separated by commas; "none" if there are no names.

    Examples
    --------
    >>> first_few(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    if not names:
        return "none"
    shown = ", ".join(names[:limit])
    hidden = len(names) - limit
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the valid names that are closest to a wrong one, in upper or lower case.

    Parameters
    ----------
    name : str
        The wrong name.
    known : iterable of str
        The valid names.

    Returns
    -------
    str
        The end of an error message, a question with up to three names; "" if no name is close.

    Examples
    --------
    >>> did_you_mean("frozenbn", ["frozen_bn", "gn"])
    '; did you mean frozen_bn?'
    >>> did_you_mean("FROZEN_BN", ["frozen_bn", "gn"])
    '; did you mean frozen_bn?'
    >>> did_you_mean("xyz", ["frozen_bn", "gn"])
    ''
    """
    in_lower_case = {valid.lower(): valid for valid in known}
    matches = get_close_matches(str(name).lower(), in_lower_case, n=3, cutoff=0.5)
    closest = [in_lower_case[match] for match in matches]
    if not closest:
        return ""
    *others, last = closest
    return f"; did you mean {', '.join(others)} or {last}?" if others else f"; did you mean {last}?"


def first_line(error: BaseException, limit: int = 160) -> str:
    """Shorten the message of another library's error to one line.

    A message of MXNet 1.9.1 may have a stack trace before the reason or after it.

    Parameters
    ----------
    error : BaseException
        The error of the other library.
    limit : int
        The most characters that are kept.

    Returns
    -------
    str
        The line that says what happened; the name of the error's class if it has no message.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # In a message that starts with a trace, the reason is the last line.
    text = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def one_line(error: BaseException) -> str:
    """Write the message of an error without line breaks.

    Parameters
    ----------
    error : BaseException
        Any error.

    Returns
    -------
    str
        The complete message on one line; the name of the error's class if it has no message.

    Examples
    --------
    >>> one_line(ValueError("first\\nsecond"))
    'first second'
    """
    return " ".join(str(error).split()) or type(error).__name__
