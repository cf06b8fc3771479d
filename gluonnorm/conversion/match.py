"""Match the arrays of a file with the parameters of a network, by names and shapes."""

import re
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from gluonnorm.conversion.classes import (
    ClassCounts,
    SharedClasses,
    class_count_hint,
    count_classes,
    fresh_predictors,
    reduced_to_classes,
    shapes_with_classes,
)
from gluonnorm.conversion.codebase import (
    Codebase,
    FileEpsilon,
    IgnoredTensor,
    SourceName,
    source_names,
)
from gluonnorm.conversion.compatibility import anchor_count_hint
from gluonnorm.conversion.epsilon import BARE_SCALE_EPSILON, epsilon_notes, rescale_gammas
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.layouts import Arrays, LayoutChange
from gluonnorm.conversion.rules import Shapes, is_detector, norm_kinds
from gluonnorm.types import Shape
from gluonnorm.weight_files import Mismatches, shape_fits, unusable_reason

import numpy as np

STATISTICS = (".running_mean", ".running_var")
FRESH_NOTE = "other classes: the network keeps its fresh values"
SHARED_NOTE = "the rows of classes that the file has by name"
BARE_SCALE_NOTE = "the file has a bare scale and shift"


class TensorMatch(NamedTuple):
    """Where the values of one parameter come from.

    Attributes
    ----------
    name : str
        The parameter's name.
    source_name : str
        The array's name in the file; "" if the file does not store it.
    shape : tuple of int
        The shape of the values.
    note : str
        What was changed; "" if nothing.
    """

    name: str
    source_name: str
    shape: Shape
    note: str


class MatchResult(NamedTuple):
    """The arrays of a file, ready for the parameters of a network.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        The new values of the parameters, float32. Parameters that keep their values are not in it.
    matches : tuple of TensorMatch
        Where the values of each parameter come from, in the order of the network.
    left_out : tuple of (str, str)
        The name of each array of the file that was not needed, and the reason.
    notes : tuple of str
        What was assumed, changed or cast, in sentences.
    class_rows : dict of str to numpy.ndarray
        The file's values of class layers, if its classes have other names than the network's. Only
        rows of shared classes are for the network.
    """

    arrays: Arrays
    matches: Tuple[TensorMatch, ...]
    left_out: Tuple[Tuple[str, str], ...]
    notes: Tuple[str, ...]
    class_rows: Arrays


class NamePairs(NamedTuple):
    """Which array of a file is for which parameter.

    Attributes
    ----------
    stored : dict of str to (str, LayoutChange)
        The parameter's name -> the array's name in the file, and how its layout differs.
    implied : list of str
        Names of the means and variances of layers that are a bare scale and shift in the file.
    """

    stored: Dict[str, Tuple[str, LayoutChange]]
    implied: List[str]


def match(
    codebase: Codebase,
    shapes: Shapes,
    arrays: Arrays,
    file_name: str = "",
    num_classes_differ: Optional[str] = None,
    eps: Optional[float] = None,
    shared: Optional[SharedClasses] = None,
) -> MatchResult:
    """Give each parameter its array, and account for every array of the file.

    Parameters
    ----------
    codebase : Codebase
        The codebase of the file.
    shapes : mapping of str to tuple of int
        The shapes of the parameters by name, of a detector or of a bare backbone.
    arrays : dict of str to numpy.ndarray
        The arrays of the file under the codebase's names.
    file_name : str
        The name of the file. Some published files are recognized by it.
    num_classes_differ : str or None
        None, "reset" or "reduce", see :func:`gluonnorm.conversion.load`.
    eps : float or None
        The epsilon of the file's BatchNorm layers. None takes that of the codebase.
    shared : SharedClasses or None
        The classes that the file and the network share, if their names are known and differ.

    Returns
    -------
    MatchResult
        The new values of the parameters, and where they come from.

    Raises
    ------
    ConversionError
        Lists all missing, unexpected, misshapen and unusable arrays.
    """
    arrays = codebase.rewrite_file(arrays, shapes)
    file_name = file_name or "the weights"
    mismatches = Mismatches()
    pairs = _pair_names(codebase, shapes, arrays, mismatches)
    # Of a file whose classes are known by name, the class layers have rows for its own classes.
    file_shapes = shapes if shared is None else shapes_with_classes(shapes, shared.file_count)
    values, matches = _convert_arrays(pairs, file_shapes, arrays, mismatches)
    notes = _cast_notes(arrays, matches)

    counts = count_classes(values, shapes)
    _require_names_of_rows(shared, counts, file_name)
    # What is done about a difference of the numbers of classes. Names of classes settle it.
    remedy = num_classes_differ if counts.differ and shared is None else None
    if remedy == "reduce":
        _reduce_classes(codebase, counts, values, matches)
    fresh = _fresh_layers(remedy, shared, values, shapes)
    notes += _class_notes(counts, remedy, shared)

    unread = [] if shared is not None and shared.in_file else fresh
    _note_misshapen(shapes, file_shapes, arrays, values, matches, unread, mismatches)
    left_out = _explain_unused(codebase, shapes, arrays, pairs, mismatches)
    hint = class_count_hint(counts, num_classes_differ, shared is not None) + anchor_count_hint(
        values, shapes
    )
    _raise_if_any(mismatches, f"{file_name} cannot be loaded as {codebase.name}", hint)

    _add_implied(pairs, shapes, values, matches)
    epsilons = _layer_epsilons(codebase, shapes, arrays, pairs, file_name, eps)
    rescale_gammas(values, epsilons, file_name)
    notes += epsilon_notes(epsilons.values())

    class_rows = _fresh_class_rows(fresh, shared, values)
    _keep_fresh(fresh, SHARED_NOTE if class_rows else FRESH_NOTE, shapes, values, matches)
    return MatchResult(
        arrays=values,
        matches=tuple(matches[name] for name in shapes if name in matches),
        left_out=tuple(left_out),
        notes=tuple(notes),
        class_rows=class_rows,
    )


def _require_names_of_rows(
    shared: Optional[SharedClasses], counts: ClassCounts, file_name: str
) -> None:
    """Refuse names of classes that are more or fewer than the rows of the file."""
    if shared is not None and shared.file_count != counts.file:
        raise ConversionError(
            f"{file_name} has rows of {counts.file} classes, and {shared.file_count} names are "
            "given for them"
        )


def _fresh_layers(
    remedy: Optional[str], shared: Optional[SharedClasses], values: Arrays, shapes: Shapes
) -> List[str]:
    """Name the parameters of class layers that keep the network's values, at least in some rows."""
    if remedy != "reset" and shared is None:
        return []
    return fresh_predictors(values, shapes)


def _raise_if_any(mismatches: Mismatches, sentence: str, hint: str) -> None:
    """Raise a ConversionError for what does not match; ``sentence`` says of which file."""
    if mismatches:
        raise ConversionError(f"{sentence}: {mismatches}{hint}")


def _fresh_class_rows(fresh: List[str], shared: Optional[SharedClasses], values: Arrays) -> Arrays:
    """Return the file's values of class layers, from which the network takes shared classes."""
    if shared is None or not shared.in_file:
        return {}
    return {name: values[name] for name in fresh}


def _pair_names(
    codebase: Codebase, shapes: Shapes, arrays: Arrays, mismatches: Mismatches
) -> NamePairs:
    """Find the array of the file for each parameter; a parameter without one is missing."""
    names = source_names(codebase, shapes)
    stored_names = {}
    for name, source_name in names.items():
        for candidate in source_name.candidates:
            if candidate in arrays:
                stored_names[name] = candidate
                break
    bare_layers = _bare_layers(codebase, shapes, stored_names)
    pairs = NamePairs({}, [])
    for name, source_name in names.items():
        if name in stored_names:
            pairs.stored[name] = (stored_names[name], source_name.layout)
        elif name.endswith(STATISTICS) and name.rpartition(".")[0] in bare_layers:
            pairs.implied.append(name)
        else:
            mismatches.add("missing", _missing_phrase(codebase, name, source_name))
    return pairs


def _bare_layers(codebase: Codebase, shapes: Shapes, stored_names: Dict[str, str]) -> Set[str]:
    """Find the BatchNorm layers that are a bare scale and shift in the file."""
    # A file without any statistics holds bare scales and shifts. If only some are missing, it is
    # damaged.
    has_statistics = any(name.endswith(STATISTICS) for name in stored_names)
    if codebase.bare_scale is None or has_statistics:
        return set()
    layers = set()
    for layer, kind in norm_kinds(shapes).items():
        stored_scale = stored_names.get(f"{layer}.gamma", "")
        if kind == "bn" and re.fullmatch(codebase.bare_scale, stored_scale):
            layers.add(layer)
    return layers


def _missing_phrase(codebase: Codebase, name: str, source_name: SourceName) -> str:
    """Name a missing parameter, and what the file would call it."""
    if not source_name.candidates:
        return f"{name} (for which {codebase.name} has no name)"
    return f"{name} ({source_name.candidates[0]} in {codebase.name})"


def _convert_arrays(
    pairs: NamePairs, shapes: Shapes, arrays: Arrays, mismatches: Mismatches
) -> Tuple[Arrays, Dict[str, TensorMatch]]:
    """Return the stored arrays as float32 in gluonnorm's layout, and where each comes from."""
    values: Arrays = {}
    matches: Dict[str, TensorMatch] = {}
    for name, (source_name, layout) in pairs.stored.items():
        stored = arrays[source_name]
        reason = unusable_reason(stored)
        if reason:
            mismatches.add("unusable", f"{source_name} {reason}")
            continue
        single = stored.astype(np.float32, copy=False)
        try:
            array = layout.load(single, shapes[name])
        except (IndexError, ValueError):
            # The array has too few axes. The comparison of shapes reports it.
            array = single
        values[name] = array
        note = _layout_note(layout, single, array)
        matches[name] = TensorMatch(name, source_name, array.shape, note)
    return values, matches


def _layout_note(layout: LayoutChange, before: np.ndarray, after: np.ndarray) -> str:
    """Tell how an array was rearranged."""
    notes = [layout.note] if layout.note else []
    if after.ndim and len(after) > len(before):
        notes.append("one box for all classes, repeated")
    return "; ".join(notes)


def _cast_notes(arrays: Arrays, matches: Dict[str, TensorMatch]) -> List[str]:
    """Count the arrays that were not float32 in the file, by type."""
    counts: Dict[str, int] = {}
    for tensor_match in matches.values():
        dtype = str(arrays[tensor_match.source_name].dtype)
        if dtype != "float32":
            counts[dtype] = counts.get(dtype, 0) + 1
    return [f"{count} arrays were {dtype} and are float32 now" for dtype, count in counts.items()]


def _class_notes(
    counts: ClassCounts, remedy: Optional[str], shared: Optional[SharedClasses]
) -> List[str]:
    """Tell how a difference between the classes of the file and of the network was settled."""
    if shared is not None:
        return [shared.note()]
    if remedy == "reset":
        return [
            f"the file has {counts.file} classes, the network {counts.network}: fresh predictors"
        ]
    if remedy == "reduce":
        return [
            f"{counts.file} classes cut to {counts.network}: "
            "scores rise, because the dropped classes no longer take a share of the softmax"
        ]
    return []


def _reduce_classes(
    codebase: Codebase, counts: ClassCounts, values: Arrays, matches: Dict[str, TensorMatch]
) -> None:
    """Replace the arrays of the class layers by their rows for the classes of the network."""
    note = f"{counts.network} of {counts.file} classes kept"
    for name, array in reduced_to_classes(values, codebase, counts).items():
        values[name] = array
        matches[name] = matches[name]._replace(shape=array.shape, note=note)


def _note_misshapen(
    shapes: Shapes,
    file_shapes: Shapes,
    arrays: Arrays,
    values: Arrays,
    matches: Dict[str, TensorMatch],
    unread: List[str],
    mismatches: Mismatches,
) -> None:
    """Compare the shapes of the arrays with those of the parameters that take values of them."""
    for name, array in values.items():
        if name in unread or shape_fits(array.shape, file_shapes[name]):
            continue
        source_name = matches[name].source_name
        # The class layers of a file whose classes are known by name are those of its own classes.
        wanted_by = "of the network" if file_shapes[name] == shapes[name] else "for its classes"
        mismatches.add(
            "misshapen",
            f"{source_name} in the file is {arrays[source_name].shape}, "
            f"{name} {wanted_by} {file_shapes[name]}",
        )


def _explain_unused(
    codebase: Codebase, shapes: Shapes, arrays: Arrays, pairs: NamePairs, mismatches: Mismatches
) -> List[Tuple[str, str]]:
    """Give the reason for each array that no parameter needs; without one it is unexpected."""
    used = {source_name for source_name, _ in pairs.stored.values()}
    into_backbone = not is_detector(shapes)
    left_out = []
    for name in arrays:
        if name in used:
            continue
        ignored = _ignored_tensor(codebase, name)
        if ignored is not None:
            objection = _objection(ignored, name, arrays)
            if objection:
                mismatches.add("unexpected", f"{name} ({objection})")
            else:
                left_out.append((name, ignored.reason))
        elif into_backbone and re.fullmatch(codebase.detector_part, name):
            left_out.append((name, "not a part of the backbone"))
        else:
            mismatches.add("unexpected", name)
    return left_out


def _ignored_tensor(codebase: Codebase, name: str) -> Optional[IgnoredTensor]:
    """Find the first entry of ``codebase.ignored`` for a name in a file."""
    for ignored in codebase.ignored:
        if re.fullmatch(ignored.pattern, name):
            return ignored
    return None


def _objection(ignored: IgnoredTensor, name: str, arrays: Arrays) -> str:
    """Say why an array must not be ignored after all; "" if it may be."""
    if ignored.only_if_zero and np.any(arrays[name]):
        return "a bias before a norm, and not zero"
    if ignored.repeats is not None:
        original = re.sub(ignored.pattern, ignored.repeats, name)
        if original not in arrays:
            return f"repeats {original}, which the file lacks"
        if not np.array_equal(arrays[name], arrays[original]):
            return f"should repeat {original}, and has other values"
    return ""


def _add_implied(
    pairs: NamePairs, shapes: Shapes, values: Arrays, matches: Dict[str, TensorMatch]
) -> None:
    """Add a mean of 0 and a variance of 1 for each layer that is a bare scale and shift."""
    for name in pairs.implied:
        value = 1.0 if name.endswith(".running_var") else 0.0
        values[name] = np.full(shapes[name], value, np.float32)
        matches[name] = TensorMatch(name, "", values[name].shape, BARE_SCALE_NOTE)


def _keep_fresh(
    fresh: List[str], note: str, shapes: Shapes, values: Arrays, matches: Dict[str, TensorMatch]
) -> None:
    """Remove the values of parameters that keep their own, and note it."""
    for name in fresh:
        del values[name]
        matches[name] = matches[name]._replace(shape=tuple(shapes[name]), note=note)


def _layer_epsilons(
    codebase: Codebase,
    shapes: Shapes,
    arrays: Arrays,
    pairs: NamePairs,
    file_name: str,
    eps: Optional[float],
) -> Dict[str, FileEpsilon]:
    """Return the epsilon that each BatchNorm layer has in the file."""
    if eps is None:
        file_epsilon = codebase.epsilon(list(arrays), file_name)
    else:
        file_epsilon = FileEpsilon(eps, "the argument eps")
    epsilons = {}
    for layer, kind in norm_kinds(shapes).items():
        if kind != "bn":
            continue
        is_bare = f"{layer}.running_var" in pairs.implied
        epsilons[layer] = BARE_SCALE_EPSILON if is_bare and eps is None else file_epsilon
    return epsilons
