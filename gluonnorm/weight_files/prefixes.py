"""Take off what training programs put in front of the names of a network's parameters."""

import re
from typing import Collection, Dict, Iterator, List, Mapping, Tuple

from gluonnorm.errors import first_few
from gluonnorm.weight_files.content import Content, WeightFileError

import numpy as np

# Wrappers that may stand at any place in a name: PyTorch's compiler, FSDP, and checkpointing.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Names of weights that were averaged over the steps of a training.
AVERAGED = re.compile(r"(^|_)(ema|swa|averag)|(_|\d)(ema|swa)$|averaged", re.IGNORECASE)
# A file may have several networks, each under a prefix. Fewer known names are a coincidence.
MOST_COPIES = 8


def is_averaged(entry: str) -> bool:
    """Tell whether a name is that of averaged weights.

    Parameters
    ----------
    entry : str
        The keys that lead to the weights, joined by dots.

    Returns
    -------
    bool
        Whether any key is such a name.

    Examples
    --------
    >>> is_averaged("model_ema.module"), is_averaged("schema.model")
    (True, False)
    """
    return any(AVERAGED.search(key) for key in entry.split("."))


def take_off_prefix(arrays: Mapping[str, np.ndarray], known: Collection[str]) -> Content:
    """Take off the prefix without which most names of a file are known.

    The prefix is any number of words that end with a dot, such as ``module.`` (DataParallel),
    ``model.`` (Lightning) or ``model._orig_mod.``.

    Parameters
    ----------
    arrays : mapping of str to numpy.ndarray
        The arrays of a file by name.
    known : collection of str
        The names that are wanted.

    Returns
    -------
    Content
        The arrays in the same order. If names became known without a prefix, they are those without
        it, a note states the prefix, and an array without axes under a name without the prefix,
        such as the counter ``n_averaged``, is left out. Otherwise the names are unchanged.

    Raises
    ------
    WeightFileError
        The names are known without one prefix, and without another one as well.

    Examples
    --------
    >>> arrays = {"module.fc.weight": np.zeros((1, 2)), "n_averaged": np.array(7)}
    >>> content = take_off_prefix(arrays, {"fc.weight", "fc.bias"})
    >>> list(content.arrays), content.notes
    (['fc.weight'], ["prefix 'module.' taken off 1 names", 'left out, a counter: n_averaged'])
    """
    unwrapped = {name: _without_wrappers(name) for name in arrays}
    if len(set(unwrapped.values())) < len(unwrapped):
        unwrapped = {name: name for name in arrays}
    prefix, copies = _choose_prefix(list(unwrapped.values()), known)
    taken: Dict[str, np.ndarray] = {}
    counters = []
    others = []
    for name, bare_name in unwrapped.items():
        if copies and bare_name.startswith(copies):
            continue
        if bare_name.startswith(prefix):
            taken[bare_name[len(prefix) :]] = arrays[name]
        elif arrays[name].ndim == 0 and bare_name not in known:
            counters.append(name)
        else:
            others.append(name)
    if not taken.keys().isdisjoint(others):
        # A name without the prefix is that of another array with it.
        return Content(dict(arrays), [])
    notes = _wrapper_notes(unwrapped)
    if prefix:
        notes.append(
            f"prefix {prefix!r} taken off {len(taken)} names{_others_hint(prefix, others)}"
        )
    if counters:
        notes.append(f"left out, a counter: {first_few(counters)}")
    for copy in copies:
        notes.append(
            f"the names under {copy!r} fit as well and are left out; entry={copy[:-1]!r} takes them"
        )
    for name in others:
        taken[unwrapped[name]] = arrays[name]
    return Content(taken, notes)


def _others_hint(prefix: str, others: List[str]) -> str:
    """Say which names do not have the prefix, and how to leave them out."""
    if not others:
        return ""
    return (
        f"; {len(others)} have no such prefix ({first_few(others)}), and entry={prefix[:-1]!r} "
        "leaves them out"
    )


def _wrapper_notes(unwrapped: Dict[str, str]) -> List[str]:
    """Say which words were taken out of names, and of how many."""
    notes = []
    for wrapper in WRAPPERS:
        count = 0
        for name, bare_name in unwrapped.items():
            count += name != bare_name and wrapper in name.split(".")
        if count:
            notes.append(f"{wrapper!r} taken out of {count} names")
    return notes


def _without_wrappers(name: str) -> str:
    """Remove the words of ``WRAPPERS`` from a name."""
    return ".".join(word for word in name.split(".") if word not in WRAPPERS)


def _choose_prefix(names: List[str], known: Collection[str]) -> Tuple[str, Tuple[str, ...]]:
    """Choose the prefix without which the most names are known; "" for names as they are.

    There may be complete copies of the chosen names under other prefixes, which are returned as
    well: beside names as they are, or averaged ones beside plain ones.
    """
    known_counts = _count_known(names, known)
    most = max(known_counts.values())
    if most == 0:
        return "", ()
    best = [prefix for prefix, count in known_counts.items() if count == most]
    # Of "module." and "module.backbone." the shorter one leaves the more to the names.
    shortest, *others = sorted(best, key=len)
    if not shortest:
        return "", tuple(others)
    if _is_coincidence(names, shortest, most):
        return "", ()
    copies = [shortest, *(prefix for prefix in others if not prefix.startswith(shortest))]
    if len(copies) == 1:
        return shortest, ()
    plain = [prefix for prefix in copies if not is_averaged(prefix)]
    if len(plain) != 1:
        entries = [prefix[:-1] for prefix in copies]
        raise WeightFileError(
            f"the names fit under several prefixes ({', '.join(entries)}); choose one, such as "
            f"entry={entries[0]!r}"
        )
    copies.remove(plain[0])
    return plain[0], tuple(copies)


def _count_known(names: List[str], known: Collection[str]) -> Dict[str, int]:
    """Count for each prefix how many names are known without it; "" has its count in any case."""
    counts = {"": 0}
    for name in names:
        if name in known:
            counts[""] += 1
            continue
        for prefix, rest in _splits(name):
            if rest in known:
                counts[prefix] = counts.get(prefix, 0) + 1
    return counts


def _is_coincidence(names: List[str], prefix: str, known_count: int) -> bool:
    """Tell whether too few names are known without a prefix for it to be a network's.

    They are few if more than half of the names with the prefix are unknown, or if the file would
    have to have more than ``MOST_COPIES`` networks of that size.
    """
    covered = sum(name.startswith(prefix) for name in names)
    return 2 * known_count < covered or MOST_COPIES * known_count < len(names)


def _splits(name: str) -> Iterator[Tuple[str, str]]:
    """List the ways to split a name behind a dot into a prefix and the rest."""
    position = name.find(".")
    while position >= 0:
        yield name[: position + 1], name[position + 1 :]
        position = name.find(".", position + 1)
