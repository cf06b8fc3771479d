"""Pickles of NumPy arrays and plain containers, the format of Detectron and Detectron2."""

from typing import Optional

from gluonnorm.weight_files.content import Content
from gluonnorm.weight_files.numpy_pickle import PLAIN_STAND_INS
from gluonnorm.weight_files.unpickler import Unpickler
from gluonnorm.weight_files.weight_search import find_weights


def read_pickle(path: str, entry: Optional[str] = None) -> Content:
    """Read the weights in a pickle of arrays, and run nothing of it.

    Parameters
    ----------
    path : str
        The file. It holds a dictionary of arrays, or one inside another dictionary
        (``find_weights``).
    entry : str or None
        Where the weights are in a checkpoint, see ``find_weights``.

    Returns
    -------
    Content
        The arrays, and a note on entries that were left out.

    Raises
    ------
    WeightFileError
        The pickle asks for code, is damaged, or holds no dictionary of arrays.
    """
    with open(path, "rb") as file:
        unpickler = Unpickler(file, path, PLAIN_STAND_INS)
        found = find_weights(unpickler.read(), path, entry)
    return Content(found.arrays, [*found.notes, *unpickler.notes()])
