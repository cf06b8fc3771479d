"""The arrays of a file under our names, checked as a whole: NumPy only, no network."""
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.rules import EPSILON, Arrays, Change, Shape, Shapes, Source, norm_kinds, theirs

import numpy as np

PREDICTORS = ("predictor.score.", "predictor.loc.", "mask_head.score.")  # whose rows go by class
STATISTICS = (".running_mean", ".running_var")
FRESH = "other classes: the network keeps its fresh values"
COCO_IDS = 90
CLASSES_DIFFER = (None, "reset", "reduce")


class Row(NamedTuple):
    """Where one array of ours comes from; ``theirs`` is "" for what the file does not store."""
    ours: str
    theirs: str
    shape: Shape
    note: str


class Fit(NamedTuple):
    """What ``fit`` found: arrays for the parameters (without those that stay as they are), and how."""
    arrays: Arrays
    rows: Tuple[Row, ...]
    left_out: Tuple[Tuple[str, str], ...]  # (name in the file, reason)
    notes: Tuple[str, ...]


class Problems:
    """What does not fit, by sort, for one error that tells all of it."""

    def __init__(self) -> None:
        self.sorts: Dict[str, List[str]] = {sort: [] for sort in ("missing", "unexpected", "misshapen", "unusable")}

    def add(self, sort: str, text: str) -> None:
        """Note one tensor."""
        self.sorts[sort].append(text)

    def __bool__(self) -> bool:
        return any(self.sorts.values())

    def __str__(self) -> str:
        return "; ".join(f"{len(texts)} {sort}: {some(texts)}" for sort, texts in self.sorts.items() if texts)


def some(texts: Sequence[str], limit: int = 4) -> str:
    """The first few, and how many there are besides."""
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def fit(source: Source, shapes: Shapes, arrays: Arrays, file_name: str = "",
        num_classes_differ: Optional[str] = None, eps: Optional[float] = None) -> Fit:
    """Give each parameter of {our name: shape} its array, and leave nothing of the file unexplained.

    Parameters
    ----------
    source : whose file it is
    shapes : of a detector's parameters, or of a bare backbone's
    arrays : {their name: array}
    file_name : where they come from; some published files are known by name
    num_classes_differ : None, "reset" or "reduce", see :func:`gluonnorm.conversion.load`
    eps : of the file's BatchNorm layers; None goes by the file

    Raises ``ConversionError`` that lists all missing, unexpected, misshapen and unusable tensors.
    """
    arrays = source.prepare(arrays, shapes)
    file_name = file_name or "the weights"
    problems = Problems()
    notes: List[str] = []
    pairs, bare = _pair(source, shapes, arrays, problems)
    ours, rows = _take(pairs, shapes, arrays, problems, notes)
    classes = _classes(ours), _classes(shapes)
    fresh = _match_classes(source, shapes, ours, rows, num_classes_differ, notes)
    for name, array in ours.items():
        if name not in fresh and not _fits(array.shape, shapes[name]):
            found = rows[name].theirs
            problems.add("misshapen", f"{found} in the file is {arrays[found].shape}, "
                                      f"{name} of the network {shapes[name]}")
    left_out = _left_out(source, shapes, arrays, {theirs for theirs, _ in pairs.values()}, problems)
    if problems:
        raise ConversionError(f"{file_name} cannot be loaded as {source.name}: {problems}"
                              + _class_hint(classes, num_classes_differ))
    for name in bare:
        ours[name] = np.full(shapes[name], float(name.endswith("var")), np.float32)
        rows[name] = Row(name, "", ours[name].shape, "the file has a bare scale and shift")
    notes += _match_eps(source, list(arrays), file_name, eps, norm_kinds(shapes), bare, ours)
    for name in fresh:
        del ours[name]
        rows[name] = rows[name]._replace(shape=tuple(shapes[name]), note=FRESH)
    return Fit(ours, tuple(rows[name] for name in shapes if name in rows), tuple(left_out), tuple(notes))


def _pair(source: Source, shapes: Shapes, arrays: Arrays,
          problems: Problems) -> Tuple[Dict[str, Tuple[str, Change]], List[str]]:
    """{our name: (name in the file, change)}, and our statistics that a file of bare scales and shifts has not."""
    plan = theirs(source, shapes)
    kinds = norm_kinds(shapes)
    first = {name: next((candidate for candidate in named.names if candidate in arrays), None)
             for name, named in plan.items()}
    # Such a file has no statistics at all; one of many that lacks is a fault.
    no_statistics = not any(found for name, found in first.items() if name.endswith(STATISTICS))
    pairs, bare = {}, []
    for name, (candidates, change) in plan.items():
        layer, found = name.rpartition(".")[0], first[name]
        if found is not None:
            pairs[name] = found, change
        elif (no_statistics and source.affine is not None and kinds.get(layer) == "bn" and name.endswith(STATISTICS)
              and re.fullmatch(source.affine, first[f"{layer}.gamma"] or "")):
            bare.append(name)
        else:
            problems.add("missing", name + (f" ({candidates[0]} there)" if candidates else
                                            f" (for which {source.name} has no name)"))
    return pairs, bare


def _take(pairs: Dict[str, Tuple[str, Change]], shapes: Shapes, arrays: Arrays, problems: Problems,
          notes: List[str]) -> Tuple[Arrays, Dict[str, Row]]:
    """The arrays under our names and in our layout, as float32, and the report's rows."""
    ours, rows = {}, {}
    casts: Dict[str, int] = {}
    for name, (found, change) in pairs.items():
        before = arrays[found]
        kind = str(before.dtype)
        if not np.issubdtype(before.dtype, np.floating):
            problems.add("unusable", f"{found} holds {kind}, not floats")
            continue
        if kind != "float32":
            casts[kind] = casts.get(kind, 0) + 1
        with np.errstate(over="ignore"):
            before = before.astype(np.float32, copy=False)
        if not np.isfinite(before).all():
            problems.add("unusable", f"{found} has {np.sum(~np.isfinite(before))} values that are no finite {kind}")
            continue
        try:
            after = change.load(before, shapes[name])
        except (IndexError, ValueError):  # it has too few axes, which the comparison of shapes will say
            after = before
        note = change.note
        if after.ndim and len(after) > len(before):
            note = "; ".join(filter(None, (note, "one box for all classes, repeated")))
        ours[name], rows[name] = after, Row(name, found, after.shape, note)
    notes += [f"{count} arrays were {kind} and are float32 now" for kind, count in casts.items()]
    return ours, rows


def _fits(found: Shape, wanted: Shape) -> bool:
    """A size of 0 is one the network has yet to learn."""
    return len(found) == len(wanted) and all(w in (0, f) for f, w in zip(found, wanted))


def _classes(named: Mapping[str, Any]) -> Optional[int]:
    """Foreground classes of a detector's {our name: array or shape}; None for a backbone."""
    score = named.get("predictor.score.bias")
    return None if score is None else int(getattr(score, "shape", score)[0]) - 1


def _match_classes(source: Source, shapes: Shapes, ours: Arrays, rows: Dict[str, Row], how: Optional[str],
                   notes: List[str]) -> List[str]:
    """Do what was asked for where the number of classes differs; returns the names that stay fresh."""
    file_classes, net_classes = _classes(ours), _classes(shapes)
    if how is None or file_classes is None or file_classes == net_classes:
        return []
    names = [name for name in ours if name.startswith(PREDICTORS)]
    if how == "reset":
        notes.append(f"the file has {file_classes} classes, the network {net_classes}: fresh predictors")
        # Only rows may differ; what has another width is misshapen all the same.
        return [name for name in names if ours[name].shape[1:] == tuple(shapes[name][1:])]
    kept = source.reduced
    if not kept or len(kept) != net_classes or file_classes != COCO_IDS:
        raise ConversionError(f"num_classes_differ='reduce' cuts the {COCO_IDS} ids of torchvision's COCO files to the "
                              f"80 that are classes; this is {source.name} with {file_classes} classes for a network "
                              f"of {net_classes}. Give 'reset' for fresh predictors")
    for name in names:
        background, width = int(name.startswith("predictor.score.")), 4 if name.startswith("predictor.loc.") else 1
        index = [*range(background), *(background + width * i + k for i in kept for k in range(width))]
        ours[name] = ours[name][index]
        rows[name] = rows[name]._replace(shape=ours[name].shape, note=f"{len(kept)} of {file_classes} classes kept")
    notes.append(f"{file_classes} classes cut to {net_classes}: scores rise by the share of those left out")
    return []


def _left_out(source: Source, shapes: Shapes, arrays: Arrays, used: Set[str],
              problems: Problems) -> List[Tuple[str, str]]:
    """Tensors of the file that no parameter needs, each with the reason; what has none is a problem."""
    bare = not any(name.startswith("rpn.") for name in shapes)
    left_out = []
    for name in arrays:
        if name in used:
            continue
        harmless = next((rule for rule in source.harmless if re.fullmatch(rule.pattern, name)), None)
        if harmless is not None and harmless.zero and np.any(arrays[name]):
            problems.add("unexpected", f"{name} (a bias before a norm, and not zero)")
        elif harmless is not None:
            left_out.append((name, harmless.reason))
        elif bare and re.fullmatch(source.heads, name):
            left_out.append((name, "no part of a backbone"))
        else:
            problems.add("unexpected", name)
    return left_out


def _class_hint(classes: Tuple[Optional[int], Optional[int]], how: Optional[str]) -> str:
    if None in classes or classes[0] == classes[1] or how is not None:
        return ""
    reduce = ", 'reduce' cuts torchvision's 90 ids to the 80 that are classes" if classes == (90, 80) else ""
    return (f". The file has {classes[0]} classes, the network {classes[1]}; num_classes_differ='reset' gives fresh "
            f"predictors{reduce}")


def _match_eps(source: Source, names: List[str], file_name: str, eps: Optional[float], kinds: Mapping[str, str],
               bare: Sequence[str], ours: Arrays) -> List[str]:
    """Rescale each gamma so that our eps gives what the file's own eps gives there; returns notes.

    ``gamma' = gamma * sqrt((var + ours) / (var + theirs))``, in float64.
    """
    file_eps, reason = source.eps(names, file_name) if eps is None else (eps, "as given")
    counts: Dict[Tuple[float, str], int] = {}
    for layer in (layer for layer, kind in kinds.items() if kind == "bn"):
        is_bare = eps is None and f"{layer}.running_var" in bare
        used, why = (0.0, "a bare scale and shift has none") if is_bare else (file_eps, reason)
        counts[used, why] = counts.get((used, why), 0) + 1
        variance = ours[f"{layer}.running_var"].astype(np.float64)
        if (variance + used <= 0).any():
            raise ConversionError(f"{layer}: the least variance in {file_name} is {variance.min():g}, which needs a "
                                  f"larger eps than {used:g} ({why}); give eps={EPSILON:g}, or repair the file")
        if used != EPSILON:
            with np.errstate(over="ignore"):
                gamma = (ours[f"{layer}.gamma"] * np.sqrt((variance + EPSILON) / (variance + used))).astype(np.float32)
            if not np.isfinite(gamma).all():
                raise ConversionError(f"{layer}: eps {used:g} ({why}) makes gamma infinite; give eps={EPSILON:g}")
            ours[f"{layer}.gamma"] = gamma
    return [f"eps {used:g} in {count} BatchNorm layers ({why})"
            + (f"; gamma is rescaled to the {EPSILON:g} used here" if used != EPSILON else "")
            for (used, why), count in counts.items()]
