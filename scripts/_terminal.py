"""Lines for a terminal: beside a progress bar, and with names that have line breaks."""

import warnings
from typing import Iterable

from tqdm import tqdm


def write_line(line: str) -> None:
    """Print a line above the progress bar.

    A terminal that is gone ends no run: that is a warning.

    Parameters
    ----------
    line : str
        The line, without its end.
    """
    try:
        # A plain print would tear the progress bar apart.
        tqdm.write(line)
    except OSError as error:
        warnings.warn(f"standard output: {error}; the run goes on", stacklevel=3)


def class_cell(name: str, width: int = 0) -> str:
    """Write the name of a class in a table.

    Parameters
    ----------
    name : str
        The name. A line break in it would break the table, so it becomes a space.
    width : int
        The least length of the text.

    Returns
    -------
    str
        The name, and spaces behind it.

    Examples
    --------
    >>> class_cell("red\\ncell", 10)
    'red cell  '
    """
    return " ".join(name.split()).ljust(width)


def width_of(names: Iterable[str]) -> int:
    """Return the width of a column that holds all of some names.

    Parameters
    ----------
    names : iterable of str
        At least one name.

    Returns
    -------
    int
        The length of the longest one.
    """
    return max(len(class_cell(name)) for name in names)
