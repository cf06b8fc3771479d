"""Find the dictionary of weights in a checkpoint, which may hold other things as well."""

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.weight_files.content import Content, WeightFileError
from gluonnorm.weight_files.foreign_files import TENSOR_KINDS, describe_program
from gluonnorm.weight_files.numpy_pickle import PickledArray
from gluonnorm.weight_files.prefixes import is_averaged
from gluonnorm.weight_files.unpickler import Foreign, StandIn

# Names under which training programs keep the weights in a checkpoint.
WEIGHT_NAMES = (
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "blobs",
    "net",
    "network",
    "weights",
    "detector",
)
# Names of what a training keeps beside the weights.
TRAINING_STATE = re.compile(r"^opt|sched|scaler|(^|_)rng|random|callbacks|^loops$", re.IGNORECASE)
OPTIMIZER_KEYS = {"state", "param_groups"}  # of a state_dict of PyTorch's optimizers
TOP_LEVEL = "."  # the entry of a checkpoint that is itself the dictionary of weights
SEARCH_DEPTH = 4  # dictionaries inside each other that are searched
LONGEST_SEQUENCE = 16  # entries of a list or tuple that is searched
#: In the note on entries that are no arrays. They are named again if arrays are missing.
NO_ARRAYS_PHRASE = "of the entries are no arrays and are left out"
SHOWN_NAMES = 3
LONGEST_NAME = 40  # letters of a name in a message


class Candidate(NamedTuple):
    """A dictionary of a checkpoint that has arrays.

    Attributes
    ----------
    entry : str
        The keys that lead to it, joined by dots; ``TOP_LEVEL`` for the checkpoint itself.
    values : mapping
        The dictionary.
    array_count : int
        The number of arrays in it.
    """

    entry: str
    values: Mapping[Any, Any]
    array_count: int

    @property
    def is_averaged(self) -> bool:
        """Whether its name is that of averaged weights."""
        return is_averaged(self.entry)

    @property
    def has_weight_name(self) -> bool:
        """Whether its name is one under which programs keep the weights."""
        return not set(self.entry.split(".")).isdisjoint(WEIGHT_NAMES)


def find_weights(
    tree: Any, path: str, entry: Optional[str] = None, tensor_types: Tuple[type, ...] = ()
) -> Content:
    """Find the dictionary of arrays in the content of a pickle.

    Of several dictionaries, the one under a name of ``WEIGHT_NAMES`` is taken if there is only one,
    and averaged weights (``ema``) are taken if there are no others. A note states the choice.

    Parameters
    ----------
    tree : object
        The content of the pickle.
    path : str
        The name that error messages give the file.
    entry : str or None
        The entry of the checkpoint that is wanted, such as "ema" or "ema.state_dict".
    tensor_types : tuple of type
        Types that count as arrays, besides NumPy's.

    Returns
    -------
    Content
        NumPy arrays, and instances of ``tensor_types`` as they are. The notes state the choice
        among several dictionaries, and entries that were left out because they are no arrays.
        Detectron's files have entries that are None; these get no note.

    Raises
    ------
    WeightFileError
        There is no dictionary of arrays, there are several and no rule chooses one, there is no
        such entry, or the keys of the arrays are not text.
    """
    array_types = (PickledArray, *tensor_types)
    candidates = _Search(array_types).candidates(tree, "", SEARCH_DEPTH)
    if not candidates:
        raise WeightFileError(
            f"{path}: holds no dictionary of arrays by name, but {_describe(tree, array_types)}; "
            "save a state_dict, or a dictionary of arrays"
        )
    if entry is None:
        chosen, notes = _choose(candidates, path)
        arrays, more_notes = _arrays_of(chosen.values, path, array_types)
        return Content(arrays, notes + more_notes)
    named = [candidate for candidate in candidates if candidate.entry == entry]
    named = named or [other for other in candidates if other.entry.startswith(f"{entry}.")]
    if len(named) == 1:
        arrays, notes = _arrays_of(named[0].values, path, array_types)
        return Content(arrays, [f"the weights under {named[0].entry!r} are taken", *notes])
    if len(named) > 1 or len(candidates) > 1:
        entries = [candidate.entry for candidate in named or candidates]
        raise WeightFileError(
            f"{path}: entry={entry!r} is no single dictionary of arrays; give one of "
            f"{_list_names(entries, len(entries))}{did_you_mean(entry, entries)}"
        )
    arrays, notes = _arrays_of(candidates[0].values, path, array_types)
    return take_entry(Content(arrays, notes), path, entry)


def take_entry(content: Content, path: str, entry: str) -> Content:
    """Take the arrays whose names begin with an entry and a dot.

    Parameters
    ----------
    content : Content
        All arrays.
    path : str
        The name that error messages give the file.
    entry : str
        The beginning of the names, such as "ema_model".

    Returns
    -------
    Content
        The arrays without that beginning, and a note on how many were left out.

    Raises
    ------
    WeightFileError
        There are no such names.
    """
    prefix = f"{entry}."
    taken: Dict[str, Any] = {}
    for name, array in content.arrays.items():
        if name.startswith(prefix):
            taken[name[len(prefix) :]] = array
    if not taken:
        beginnings = sorted({name.split(".")[0] for name in content.arrays})
        raise WeightFileError(
            f"{path}: has no entry {entry!r}; its names begin with "
            f"{_list_names(beginnings)}{did_you_mean(entry, beginnings)}"
        )
    other_count = len(content.arrays) - len(taken)
    note = f"the arrays under {entry!r} are taken, {other_count} others are not"
    return Content(taken, [*content.notes, note])


class _Search:
    """The search for dictionaries of arrays, each of which is visited once."""

    def __init__(self, array_types: Tuple[type, ...]) -> None:
        self._array_types = array_types
        self._visited: Set[int] = set()

    def candidates(self, tree: Any, entry: str, depth: int) -> List[Candidate]:
        """List the dictionaries of arrays in a tree, without those of the training's state."""
        values = _values_of(tree)
        # A pickle can name the same dictionary any number of times.
        if values is None or depth == 0 or id(tree) in self._visited:
            return []
        self._visited.add(id(tree))
        if OPTIMIZER_KEYS <= values.keys():
            return []
        nested: List[Candidate] = []
        array_count = 0
        for key, value in values.items():
            name = _printable(key)
            if _is_array(value, self._array_types):
                array_count += 1
            elif not TRAINING_STATE.search(name):
                nested_entry = f"{entry}.{name}" if entry else name
                nested += self.candidates(value, nested_entry, depth - 1)
        if not array_count or not isinstance(tree, (dict, Foreign)):
            return nested
        own = Candidate(entry or TOP_LEVEL, values, array_count)
        if array_count < max((other.array_count for other in nested), default=0):
            return nested
        return [own, *(other for other in nested if _is_rival(own, other))]


def _is_rival(own: Candidate, other: Candidate) -> bool:
    """Whether a dictionary inside another one may be the weights instead of it."""
    is_named = other.is_averaged or other.has_weight_name
    return is_named and 2 * other.array_count >= own.array_count


def _choose(candidates: List[Candidate], path: str) -> Tuple[Candidate, List[str]]:
    """Choose the dictionary that holds the weights, and state the choice if there was one."""
    if len(candidates) == 1:
        only = candidates[0]
        notes = [f"the weights under {only.entry!r} are taken"] if only.is_averaged else []
        return only, notes
    entries = [candidate.entry for candidate in candidates]
    plain = [candidate for candidate in candidates if not candidate.is_averaged]
    if len(plain) > 1:
        plain = [candidate for candidate in plain if candidate.has_weight_name]
    if len(plain) != 1:
        raise WeightFileError(
            f"{path}: holds {len(entries)} dictionaries of arrays "
            f"({_list_names(entries, len(entries))}); choose one, such as entry={entries[0]!r}"
        )
    chosen = plain[0]
    others = [repr(entry) for entry in entries if entry != chosen.entry]
    note = (
        f"the weights under {chosen.entry!r} are taken; the file also has {first_few(others)}, "
        f"which entry={others[0]} takes"
    )
    return chosen, [note]


def _values_of(tree: Any) -> Optional[Mapping[Any, Any]]:
    """Return what a dictionary, a stand-in for one, or a short list holds by key; else None."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, Foreign):
        return tree.entries
    if isinstance(tree, (list, tuple)) and len(tree) <= LONGEST_SEQUENCE:
        return dict(enumerate(tree))
    return None


def _arrays_of(
    values: Mapping[Any, Any], path: str, array_types: Tuple[type, ...]
) -> Tuple[Dict[str, Any], List[str]]:
    """Return the arrays of a dictionary, and a note on what else it has."""
    weights: Dict[str, Any] = {}
    left_out = []
    for name, value in values.items():
        if not _is_array(value, array_types):
            if value is not None:
                left_out.append(_with_class(_printable(name), value))
            continue
        if not isinstance(name, str):
            raise WeightFileError(
                f"{path}: holds arrays without names (key {_printable(name)}); save a dictionary "
                "whose keys are text"
            )
        weights[name] = value.value if isinstance(value, PickledArray) else value
    if not left_out:
        return weights, []
    names = first_few(left_out, SHOWN_NAMES)
    return weights, [f"{len(left_out)} {NO_ARRAYS_PHRASE}: {names}"]


def _is_array(value: Any, array_types: Tuple[type, ...]) -> bool:
    """Whether a value is an array of numbers."""
    if isinstance(value, PickledArray) and value.value is None:
        return False
    return isinstance(value, array_types)


def _describe(tree: Any, array_types: Tuple[type, ...]) -> str:
    """Say what a pickle holds instead of a dictionary of arrays."""
    values = tree if isinstance(tree, dict) else {}
    for name, value in [("", tree), *values.items()]:
        if isinstance(value, Foreign) and value.source_name:
            program = describe_program(value.source_name)
            place = f"under {_printable(name)!r} " if name else ""
            return f"{place}an object of {value.source_name}{program}"
    if isinstance(tree, dict):
        return f"a dictionary of {_list_names(list(tree)) if tree else 'nothing'}"
    if isinstance(tree, array_types):
        return "a single array"
    if isinstance(tree, StandIn):
        return "an object"
    return f"a {type(tree).__name__}"


def _with_class(name: str, value: Any) -> str:
    """Add to the name of an entry what it is, or the class that the writing program had for it."""
    source_name = value.source_name if isinstance(value, Foreign) else ""
    kind = TENSOR_KINDS.get(source_name, source_name)
    return f"{name} ({kind})" if kind else name


def _list_names(names: List[Any], limit: int = SHOWN_NAMES) -> str:
    """List the first keys of a dictionary, and count the others."""
    shown = [_printable(name) for name in names[:limit]]
    # The repr of a key can be long, so the names that are only counted are not converted.
    hidden = [""] * len(names[limit:])
    return first_few(shown + hidden, limit)


def _printable(name: Any) -> str:
    """Make a key of a dictionary short and printable on one line."""
    is_printable = isinstance(name, str) and name.isprintable()
    text = name if is_printable else repr(name)
    return text[:LONGEST_NAME]
