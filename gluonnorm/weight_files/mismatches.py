"""The strict comparison of stored arrays with the parameters that should take their values."""

from typing import Any, Dict, List, Mapping, Optional

from gluonnorm.errors import first_few
from gluonnorm.types import Shape

import numpy as np

# In the order in which messages name them.
CATEGORIES = ("missing", "unexpected", "misshapen", "unusable")


class Mismatches:
    """Everything that does not fit, by category, so that one error can list all of it.

    ``bool(mismatches)`` is True if there are any. ``str(mismatches)`` counts each category, and
    names the first few of it.

    Attributes
    ----------
    phrases : dict of str to list of str
        A phrase for each array that does not fit, by category.

    Examples
    --------
    >>> mismatches = Mismatches()
    >>> mismatches.add("missing", "conv0.weight")
    >>> mismatches.add("missing", "conv0.bias")
    >>> str(mismatches)
    '2 missing: conv0.weight, conv0.bias'
    """

    def __init__(self) -> None:
        self.phrases: Dict[str, List[str]] = {category: [] for category in CATEGORIES}

    def add(self, category: str, phrase: str) -> None:
        """Note one array that does not fit.

        Parameters
        ----------
        category : str
            One of ``CATEGORIES``.
        phrase : str
            The name of the array, and what is wrong with it.
        """
        self.phrases[category].append(phrase)

    def __bool__(self) -> bool:
        return any(self.phrases.values())

    def __str__(self) -> str:
        parts = []
        for category, phrases in self.phrases.items():
            if phrases:
                parts.append(f"{len(phrases)} {category}: {first_few(phrases)}")
        return "; ".join(parts)


def compare(
    stored: Mapping[str, Any],
    expected: Mapping[str, Any],
    check_dtypes: bool = False,
    check_values: bool = False,
) -> Mismatches:
    """Compare stored arrays with the parameters that should take their values.

    Parameters
    ----------
    stored : mapping of str to array
        What a file holds: NumPy arrays or NDArrays.
    expected : mapping of str to Parameter
        What a network needs: anything with ``shape`` and ``dtype``.
    check_dtypes : bool
        Whether a different dtype is a mismatch as well.
    check_values : bool
        Whether arrays must hold finite floats. Then ``stored`` has NumPy arrays.

    Returns
    -------
    Mismatches
        Missing, unexpected, misshapen and unusable arrays.

    Examples
    --------
    >>> stored = {"weight": np.zeros((2, 3)), "scale": np.zeros(2)}
    >>> expected = {"weight": np.zeros((2, 3)), "bias": np.zeros(2)}
    >>> str(compare(stored, expected))
    '1 missing: bias; 1 unexpected: scale'
    >>> str(compare({"weight": np.zeros((2, 3))}, {"weight": np.zeros((2, 4))}))
    '1 misshapen: weight is (2, 3) in the file, (2, 4) in the network'
    """
    mismatches = Mismatches()
    for name, parameter in expected.items():
        if name not in stored:
            mismatches.add("missing", name)
            continue
        array = stored[name]
        dtype_fits = not check_dtypes or np.dtype(array.dtype) == np.dtype(parameter.dtype)
        if dtype_fits and shape_fits(array.shape, parameter.shape):
            reason = unusable_reason(array) if check_values else ""
            if reason:
                mismatches.add("unusable", f"{name} {reason}")
            continue
        actual = _describe(array, check_dtypes)
        wanted = _describe(parameter, check_dtypes)
        mismatches.add("misshapen", f"{name} is {actual} in the file, {wanted} in the network")
    for name in stored:
        if name not in expected:
            mismatches.add("unexpected", name)
    return mismatches


def unusable_reason(array: np.ndarray) -> str:
    """Say why the numbers of an array cannot be those of a parameter.

    Parameters
    ----------
    array : numpy.ndarray
        An array of a file.

    Returns
    -------
    str
        The end of a sentence about the array; "" for floats that are finite in float32.

    Examples
    --------
    >>> unusable_reason(np.array([1.0, np.nan]))
    'has 1 values that are not finite in float32'
    >>> unusable_reason(np.array([1, 2], np.int8))
    'holds int8, not floats'
    """
    if not np.issubdtype(array.dtype, np.floating):
        return f"holds {array.dtype}, not floats"
    # A float64 beyond the range of float32 becomes infinite.
    with np.errstate(over="ignore"):
        single = array.astype(np.float32, copy=False)
    unusable_count = np.sum(~np.isfinite(single))
    return f"has {unusable_count} values that are not finite in float32" if unusable_count else ""


def shape_fits(stored: Shape, expected: Optional[Shape]) -> bool:
    """Tell whether an array of one shape can be the value of a parameter of another.

    Parameters
    ----------
    stored : tuple of int
        The shape of the array.
    expected : tuple of int, optional
        The shape of the parameter. Gluon writes an axis whose length is not known before the first
        input as 0, and a shape of which nothing is known as None or ().

    Returns
    -------
    bool
        Whether all known lengths are the same.

    Examples
    --------
    >>> shape_fits((64, 3, 7, 7), (64, 0, 7, 7))
    True
    >>> shape_fits((64, 3, 7, 7), (32, 0, 7, 7))
    False
    """
    if not expected:
        return True
    if len(stored) != len(expected):
        return False
    return all(length in (0, size) for size, length in zip(stored, expected))


def _describe(array: Any, with_dtype: bool) -> str:
    """Write the shape of an array or parameter, with its dtype in front if that matters."""
    return f"{np.dtype(array.dtype)} {array.shape}" if with_dtype else str(array.shape)
