"""The strict comparison of stored arrays with the parameters they are meant for."""
from typing import Any, Dict, List, Mapping, Optional, Tuple

from gluonnorm.errors import first_few

import numpy as np

Shape = Tuple[int, ...]
KINDS = ("missing", "unexpected", "misshapen", "unusable")  # in the order in which messages name them


class Mismatches:
    """Everything that does not fit, by kind, so that one error can tell all of it.

    ``bool(mismatches)`` is True if there are any, ``str(mismatches)`` names the first few of each kind.
    """

    def __init__(self) -> None:
        self.phrases: Dict[str, List[str]] = {kind: [] for kind in KINDS}

    def add(self, kind: str, phrase: str) -> None:
        """Note one array; ``kind`` is one of ``KINDS``, ``phrase`` names the array and what is wrong with it."""
        self.phrases[kind].append(phrase)

    def __bool__(self) -> bool:
        return any(self.phrases.values())

    def __str__(self) -> str:
        parts = []
        for kind, phrases in self.phrases.items():
            if phrases:
                parts.append(f"{len(phrases)} {kind}: {first_few(phrases)}")
        return "; ".join(parts)


def compare(stored: Mapping[str, Any], expected: Mapping[str, Any], check_dtypes: bool = False) -> Mismatches:
    """Compare stored arrays with the parameters that should take their values.

    Parameters
    ----------
    stored : mapping of str to array
        What a file holds: NumPy arrays or NDArrays.
    expected : mapping of str to Parameter
        What a network needs: anything with ``shape`` and ``dtype``.
    check_dtypes : bool
        Whether another dtype is a mismatch as well.

    Returns
    -------
    Mismatches
        Missing, unexpected and misshapen arrays.
    """
    mismatches = Mismatches()
    for name, parameter in expected.items():
        if name not in stored:
            mismatches.add("missing", name)
            continue
        array = stored[name]
        same_dtype = not check_dtypes or np.dtype(parameter.dtype) == np.dtype(array.dtype)
        if not (same_dtype and shape_fits(array.shape, parameter.shape)):
            dtypes = (f"{np.dtype(array.dtype)} ", f"{np.dtype(parameter.dtype)} ") if check_dtypes else ("", "")
            mismatches.add("misshapen", f"{name} is {dtypes[0]}{array.shape} in the file, "
                                        f"{dtypes[1]}{parameter.shape} in the network")
    for name in stored:
        if name not in expected:
            mismatches.add("unexpected", name)
    return mismatches


def shape_fits(stored: Shape, expected: Optional[Shape]) -> bool:
    """Whether an array of one shape can be the value of a parameter of another.

    Gluon writes a size that a parameter has yet to learn from its first input as 0, and a shape of which nothing is
    known as None or ().
    """
    if not expected:
        return True
    return len(stored) == len(expected) and all(
        wanted in (0, size) for size, wanted in zip(stored, expected))
