"""Checks of the settings of a detector.

A requirement says what the value of a setting must be. A check raises InputError, whose message
names the setting, its value and what is allowed.
"""

from typing import Any, Callable, NamedTuple

from gluonnorm.errors import InputError
from gluonnorm.types import is_number

ANCHOR_SIZES_HINT = "give one tuple of positive sizes for each feature map, all equally long"


class Requirement(NamedTuple):
    """What the value of a setting must be.

    Attributes
    ----------
    is_met : callable
        ``is_met(value)`` is True for an allowed value, whatever its type.
    wanted : str
        The allowed values in words.
    """

    is_met: Callable[[Any], bool]
    wanted: str


def check_setting(name: str, value: Any, requirement: Requirement) -> None:
    """Check that a setting has an allowed value.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : object
        Its value.
    requirement : Requirement
        What the value must be.

    Raises
    ------
    InputError
        The value does not meet the requirement.

    Examples
    --------
    >>> check_setting("nms_thresh", 0.5, FRACTION)
    """
    if not requirement.is_met(value):
        raise InputError(f"{name} is {value!r}; it must be {requirement.wanted}")


def integer_of_at_least(least: int) -> Requirement:
    """Require an integer that is not below a limit.

    Parameters
    ----------
    least : int
        The smallest value that is allowed.

    Returns
    -------
    Requirement
        What :func:`check_setting` takes.
    """

    def is_met(value: Any) -> bool:
        return _is_integer(value) and value >= least

    return Requirement(is_met, f"an integer of at least {least}")


def one_of(*choices: int) -> Requirement:
    """Require one of some integers.

    Parameters
    ----------
    *choices : int
        The integers that are allowed.

    Returns
    -------
    Requirement
        What :func:`check_setting` takes.
    """

    def is_met(value: Any) -> bool:
        return _is_integer(value) and value in choices

    return Requirement(is_met, " or ".join(map(str, choices)))


def optional(requirement: Requirement) -> Requirement:
    """Allow None beside the values of another requirement.

    Parameters
    ----------
    requirement : Requirement
        What all other values must be.

    Returns
    -------
    Requirement
        What :func:`check_setting` takes.
    """

    def is_met(value: Any) -> bool:
        return value is None or requirement.is_met(value)

    return Requirement(is_met, f"{requirement.wanted}, or None")


def positive_tuple_of(length: int) -> Requirement:
    """Require a tuple of positive numbers, of a certain length.

    Parameters
    ----------
    length : int
        How many numbers there must be.

    Returns
    -------
    Requirement
        What :func:`check_setting` takes.
    """

    def is_met(value: Any) -> bool:
        return _is_positive_tuple(value) and len(value) == length

    return Requirement(is_met, f"a tuple of {length} positive numbers")


def check_anchor_sizes(value: Any) -> None:
    """Check that anchor sizes are one tuple of positive numbers for each feature map.

    All maps share the weights of the RPN, which has a row of them for each anchor of a cell. So
    every map needs the same number of sizes.

    Parameters
    ----------
    value : object
        The value of ``anchor_sizes``.

    Raises
    ------
    InputError
        The value is no such tuple of tuples.
    """
    if not isinstance(value, tuple) or not value:
        raise InputError(f"anchor_sizes is {value!r}; {ANCHOR_SIZES_HINT}")
    for sizes in value:
        if not _is_positive_tuple(sizes) or len(sizes) != len(value[0]):
            raise InputError(f"anchor_sizes is {value!r}; {ANCHOR_SIZES_HINT}")


def _is_integer(value: Any) -> bool:
    """Tell whether a value is an integer that JSON can store; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    """Tell whether a value is a number above 0."""
    return is_number(value) and value > 0


def _is_positive_tuple(value: Any) -> bool:
    """Tell whether a value is a tuple of one or more numbers above 0."""
    return isinstance(value, tuple) and len(value) > 0 and all(map(_is_positive, value))


def _is_fraction(value: Any) -> bool:
    """Tell whether a value is a number in 0..1."""
    return is_number(value) and 0 <= value <= 1


def _is_not_negative(value: Any) -> bool:
    """Tell whether a value is a number of at least 0."""
    return is_number(value) and value >= 0


def _is_count_or_all(value: Any) -> bool:
    """Tell whether a value is an integer of at least 1, or -1."""
    return _is_integer(value) and (value >= 1 or value == -1)


def _is_flag(value: Any) -> bool:
    """Tell whether a value is True or False."""
    return isinstance(value, bool)


FRACTION = Requirement(_is_fraction, "a number in 0..1")
POSITIVE_NUMBER = Requirement(_is_positive, "a positive number")
NOT_NEGATIVE = Requirement(_is_not_negative, "a number of at least 0")
POSITIVE_TUPLE = Requirement(_is_positive_tuple, "a tuple of positive numbers")
COUNT = integer_of_at_least(1)
COUNT_OR_ALL = Requirement(_is_count_or_all, "an integer of at least 1, or -1 for all")
FLAG = Requirement(_is_flag, "True or False")
INTEGER_FROM_0 = integer_of_at_least(0)
