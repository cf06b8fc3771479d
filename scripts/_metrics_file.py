"""Rows of losses and scores that scripts have written, checked before anything is made of them."""

from typing import Any, Dict, List, Mapping

from gluonnorm import training
from gluonnorm.errors import InputError
from gluonnorm.types import is_number

LARGEST = 1e300  # of a step, a time or a speed; losses may be infinite


def read_rows(path: str) -> List[Dict[str, Any]]:
    """Read the rows of ``PREFIX-metrics.jsonl`` or ``PREFIX-watch.jsonl``.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    list of dict
        What ``training.read_metrics`` returns. "losses" and "eval" of a row are dicts of numbers,
        and a row with "eval" has an "epoch".

    Raises
    ------
    InputError
        A row has something else, or is no row of metrics.
    OSError
        The file cannot be read.
    """
    rows = training.read_metrics(path)
    for row in rows:
        fault = _fault(row)
        if fault:
            raise InputError(f"{path}: the row of step {row['step']} {fault}; remove the row")
    return rows


def _fault(row: Mapping[str, Any]) -> str:
    """Say what is wrong with a row; "" if nothing is."""
    for name in ("losses", "eval"):
        values = row.get(name, {})
        if not isinstance(values, dict):
            return f"has {values!r} as {name}, which is no object"
        for key, value in values.items():
            if not is_number(value):
                return f"has {value!r} as {name} {key}, which is no number"
    for name in ("step", "time", "images_per_second"):
        # NaN is in no range.
        if not (is_number(row.get(name, 0)) and abs(row.get(name, 0)) <= LARGEST):
            return f"has {row[name]!r} as {name}, which is no finite number"
    epoch = row.get("epoch", None if "eval" in row else 0)
    if not isinstance(epoch, int):
        return f"has {epoch!r} as epoch, which is no number of epochs"
    return ""
