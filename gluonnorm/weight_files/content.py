"""What every reader of weight files returns, and what it raises."""

from typing import Dict, List, NamedTuple

from gluonnorm.errors import InputError

import numpy as np


class Content(NamedTuple):
    """The arrays of one file of weights.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays by name, in the order of the file.
    notes : list of str
        One sentence on each thing that was left out or changed.
    """

    arrays: Dict[str, np.ndarray]
    notes: List[str]


class WeightFileError(InputError):
    """A file of weights cannot be read or written.

    The message is one line: the file, what is wrong with it, and what to do.
    """


def unreadable_file(path: str, file_format: str, reason: str) -> WeightFileError:
    """Make the error for a file whose content cannot be read as its format.

    Parameters
    ----------
    path : str
        The file.
    file_format : str
        The format that the file seems to have, such as ``.npz``.
    reason : str
        What the reader ran into, on one line.

    Returns
    -------
    WeightFileError
        The error, which the caller raises.
    """
    return WeightFileError(
        f"{path}: not a readable {file_format} file ({reason}); cut, damaged or "
        "altered? Fetch it again"
    )
