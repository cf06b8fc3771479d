"""Pickles of NumPy arrays and plain containers, the format of Detectron and Detectron2."""

from gluonnorm.weight_files.content import Content
from gluonnorm.weight_files.numpy_pickle import PLAIN_STAND_INS
from gluonnorm.weight_files.unpickler import Unpickler
from gluonnorm.weight_files.weight_search import find_weights


def read_pickle(path: str) -> Content:
    """Read the weights in a pickle of arrays, and run nothing of it.

    Parameters
    ----------
    path : str
        The file. It holds a dictionary of arrays, or one inside another dictionary
        (``find_weights``).

    Returns
    -------
    Content
        The arrays, and a note on entries that were left out.

    Raises
    ------
    WeightFileError
        The pickle names code, is damaged, or holds no dictionary of arrays.
    """
    with open(path, "rb") as file:
        tree = Unpickler(file, path, PLAIN_STAND_INS).read()
    arrays, notes = find_weights(tree, path)
    return Content(arrays, notes)
