"""Find the dictionary of weights in a checkpoint, which may hold other things as well."""

from typing import Any, Dict, List, Optional, Tuple

from gluonnorm.errors import first_few
from gluonnorm.weight_files.content import WeightFileError
from gluonnorm.weight_files.numpy_pickle import PickledArray
from gluonnorm.weight_files.unpickler import StandIn

import numpy as np

# Names under which training programs keep the weights in a checkpoint.
WRAPPER_NAMES = ("model", "state_dict", "model_state_dict", "blobs")
SEARCH_DEPTH = 4  # dictionaries inside each other that are searched
SHOWN_NAMES = 3
LONGEST_NAME = 40  # letters of a name in a message


def find_weights(
    tree: Any, path: str, tensor_types: Tuple[type, ...] = ()
) -> Tuple[Dict[str, Any], List[str]]:
    """Find the dictionary of arrays in the content of a pickle.

    It is the dictionary under one of ``WRAPPER_NAMES``, else ``tree`` itself, else the only
    dictionary of arrays in ``tree``.

    Parameters
    ----------
    tree : object
        The content of the pickle.
    path : str
        The name that error messages give the file.
    tensor_types : tuple of type
        Types that count as arrays, besides NumPy's.

    Returns
    -------
    weights : dict of str to array
        NumPy arrays, and instances of ``tensor_types`` as they are.
    notes : list of str
        One sentence if entries that are no arrays were left out. Detectron's files have entries
        that are None; these get no note.

    Raises
    ------
    WeightFileError
        There is no dictionary of arrays, more than one, or one whose keys are not text.
    """
    array_types = (np.ndarray, PickledArray, *tensor_types)
    entries = _search(tree, array_types, path, SEARCH_DEPTH)
    if entries is None:
        raise WeightFileError(
            f"{path}: holds no dictionary of arrays by name, but {_describe(tree, array_types)}; "
            "save a state_dict, or a dictionary of arrays"
        )
    weights: Dict[str, Any] = {}
    left_out = []
    for name, entry in entries.items():
        if not isinstance(entry, array_types):
            if entry is not None:
                left_out.append(name)
            continue
        if not isinstance(name, str):
            raise WeightFileError(
                f"{path}: holds arrays without names (key {_printable(name)}); save a dictionary "
                "whose keys are text"
            )
        weights[name] = entry.value if isinstance(entry, PickledArray) else entry
    if not left_out:
        return weights, []
    note = f"{len(left_out)} of the entries are no arrays and are left out: {_list_names(left_out)}"
    return weights, [note]


def _search(
    tree: Any, array_types: Tuple[type, ...], path: str, depth: int
) -> Optional[Dict[Any, Any]]:
    """Search ``tree``, and the dictionaries under wrapper names in it, down to a depth."""
    if not isinstance(tree, dict) or depth == 0:
        return None
    for wrapper_name in WRAPPER_NAMES:
        entries = _search(tree.get(wrapper_name), array_types, path, depth - 1)
        if entries is not None:
            return entries
    if _has_arrays(tree, array_types):
        return tree
    holders = []
    for name, value in tree.items():
        if isinstance(value, dict) and _has_arrays(value, array_types):
            holders.append(name)
    if len(holders) > 1:
        raise WeightFileError(
            f"{path}: holds {len(holders)} dictionaries of arrays ({_list_names(holders)}); save "
            f"only the one that you want, or save it under {WRAPPER_NAMES[0]!r}"
        )
    return tree[holders[0]] if holders else None


def _has_arrays(entries: Dict[Any, Any], array_types: Tuple[type, ...]) -> bool:
    """Whether any value of a dictionary is an array."""
    return any(isinstance(entry, array_types) for entry in entries.values())


def _describe(tree: Any, array_types: Tuple[type, ...]) -> str:
    """Say what a pickle holds instead of a dictionary of arrays."""
    if isinstance(tree, dict):
        return f"a dictionary of {_list_names(list(tree)) if tree else 'nothing'}"
    if isinstance(tree, array_types):
        return "a single array"
    if isinstance(tree, StandIn):
        return "an object"
    return f"a {type(tree).__name__}"


def _list_names(names: List[Any]) -> str:
    """List the first keys of a dictionary, and count the others."""
    shown = [_printable(name) for name in names[:SHOWN_NAMES]]
    # The repr of a key can be long, so the names that are only counted are not converted.
    hidden = [""] * len(names[SHOWN_NAMES:])
    return first_few(shown + hidden, SHOWN_NAMES)


def _printable(name: Any) -> str:
    """Make a key of a dictionary short and printable on one line."""
    is_printable = isinstance(name, str) and name.isprintable()
    text = name if is_printable else repr(name)
    return text[:LONGEST_NAME]
