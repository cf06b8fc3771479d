"""What every reader of weight files returns."""

from typing import Dict, List, NamedTuple

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
