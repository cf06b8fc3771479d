"""Checks of the settings of a detector.

Each check raises InputError, whose message names the setting, its value and what is allowed.
"""

from numbers import Real
from typing import Any

from gluonnorm.errors import InputError

ANCHOR_SIZES_HINT = "give one tuple of sizes for each feature map, all equally long"


def check_fraction(name: str, value: Any) -> None:
    """Check that a setting is a number in 0..1.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : object
        Its value.

    Raises
    ------
    InputError
        The value is no such number.
    """
    if not (_is_number(value) and 0 <= value <= 1):
        raise InputError(f"{name} is {value!r}; it must be a number in 0..1")


def check_integer(name: str, value: Any, least: int) -> None:
    """Check that a setting is an integer of at least some size.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : object
        Its value.
    least : int
        The smallest value that is allowed.

    Raises
    ------
    InputError
        The value is no such integer.
    """
    if not (_is_integer(value) and value >= least):
        raise InputError(f"{name} is {value!r}; it must be an integer of at least {least}")


def check_positive(name: str, value: Any) -> None:
    """Check that a setting is a positive number.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : object
        Its value.

    Raises
    ------
    InputError
        The value is no such number.
    """
    if not _is_positive(value):
        raise InputError(f"{name} is {value!r}; it must be a positive number")


def check_not_negative(name: str, value: Any) -> None:
    """Check that a setting is a number of at least 0.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : object
        Its value.

    Raises
    ------
    InputError
        The value is no such number.
    """
    if not (_is_number(value) and value >= 0):
        raise InputError(f"{name} is {value!r}; it must be a number of at least 0")


def check_positive_numbers(name: str, value: Any) -> None:
    """Check that a setting is a tuple of one or more positive numbers.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : object
        Its value.

    Raises
    ------
    InputError
        The value is no such tuple.
    """
    if not _is_positive_tuple(value):
        raise InputError(f"{name} is {value!r}; it must be a tuple of positive numbers")


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


def _is_number(value: Any) -> bool:
    """Tell whether a value is a real number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    """Tell whether a value is an integer that JSON can store; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    """Tell whether a value is a number above 0."""
    return _is_number(value) and value > 0


def _is_positive_tuple(value: Any) -> bool:
    """Tell whether a value is a tuple of one or more numbers above 0."""
    return isinstance(value, tuple) and len(value) > 0 and all(map(_is_positive, value))
