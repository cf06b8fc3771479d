"""Load weights of other codebases into a network, after everything has been checked."""

import os
from typing import Any, Collection, List, Mapping, Optional, Sequence, Union

from gluonnorm.conversion.classes import (
    CLASSES_DIFFER,
    SCORE_LAYER,
    SharedClasses,
    place_shared_rows,
    share_classes,
)
from gluonnorm.conversion.codebase import Codebase, known_names
from gluonnorm.conversion.compatibility import convention_difference, stride_difference
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.foreign_codebases import describe_foreign
from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.match import MatchResult, match
from gluonnorm.conversion.network import backbone_parameters, network_parameters
from gluonnorm.conversion.report import Report
from gluonnorm.conversion.rules import Shapes
from gluonnorm.conversion.sources import find_source, likely_mistake
from gluonnorm.errors import first_few
from gluonnorm.types import PathLike
from gluonnorm.weight_files import (
    NO_ARRAYS_PHRASE,
    Content,
    WeightFileError,
    read_file,
    take_entry,
    take_off_prefix,
)

import mxnet as mx
import numpy as np
from mxnet.gluon import Block, Parameter

Weights = Union[PathLike, Mapping[str, Any]]


def load(
    net: Block,
    weights: Weights,
    source: str,
    num_classes_differ: Optional[str] = None,
    eps: Optional[float] = None,
    entry: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
) -> Report:
    """Load weights of another codebase into a detector or a bare backbone.

    Everything is checked first. Either all parameters get their values, or none does.

    Parameters
    ----------
    net : Block
        The network, initialized, with the architecture of the weights. A bare backbone takes the
        file of a classifier, and the backbone's part of the file of a detector.
    weights : str, path-like, or mapping of str to array
        A file, or the arrays by the codebase's names.
    source : str
        The codebase of the weights, a key of ``SOURCES``.
    num_classes_differ : str or None
        What to do if the file has another number of classes than the network. None raises an error.
        "reset" leaves the predictors at their fresh values. "reduce" cuts the 90 ids of
        torchvision's COCO files to the 80 that are classes.
    eps : float or None
        The epsilon of the file's BatchNorm layers. None takes the epsilon of the codebase: 0 for
        torchvision's published v1 detectors and for bare scales and shifts (BN* of Detectron), else
        1e-5. Gamma is rescaled, so that the network computes the file's function with its own
        epsilon.
    entry : str or None
        Which weights of a checkpoint that has several, such as "ema", or the beginning of the names
        in a flat file. None takes the only ones, or the plain ones beside averaged ones.
    classes : sequence of str or None
        The names of the file's classes in the order of its rows, without the background. Then the
        predictors of classes that the network has by name take the file's rows, and those of its
        other classes stay fresh, whatever ``num_classes_differ`` is. None: not known, and the rows
        are taken for the network's classes in their order.

    Returns
    -------
    Report
        Which parameter got which array, and what was assumed.

    Raises
    ------
    ConversionError
        Lists all missing, unexpected, misshapen and unusable arrays. The network is then unchanged.

    Examples
    --------
    >>> report = load(net, "maskrcnn_resnet50_fpn_coco.pth", "torchvision")  # doctest: +SKIP
    """
    parameters = network_parameters(net)
    return _load_into(net, parameters, weights, source, num_classes_differ, eps, entry, classes)


def load_backbone(
    net: Block,
    weights: Weights,
    source: str,
    eps: Optional[float] = None,
    entry: Optional[str] = None,
) -> Report:
    """Load an ImageNet classifier, or the backbone of a detector, into the ResNet of a detector.

    The other parameters of the detector are left as they are. In a C4 detector the fourth stage of
    the ResNet is the box head, and is loaded as well.

    Parameters
    ----------
    net : Block
        The detector, initialized.
    weights : str, path-like, or mapping of str to array
        A file, or the arrays by the codebase's names.
    source : str
        The codebase of the weights, a key of ``SOURCES``.
    eps : float or None
        The epsilon of the file's BatchNorm layers, see :func:`load`.
    entry : str or None
        Which weights of a checkpoint that has several, see :func:`load`.

    Returns
    -------
    Report
        Which parameter got which array, and what was assumed.

    Raises
    ------
    ConversionError
        Lists all missing, unexpected, misshapen and unusable arrays. The network is then unchanged.
    """
    return _load_into(net, backbone_parameters(net), weights, source, None, eps, entry)


def read_arrays(path: PathLike) -> Arrays:
    """Read the arrays of a file of weights, by the codebase's names.

    Parameters
    ----------
    path : str or path-like
        The file, in any format that ``gluonnorm.weight_files`` reads.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays by name.

    Raises
    ------
    ConversionError
        The file cannot be read.
    """
    try:
        return read_file(path).arrays
    except WeightFileError as error:
        raise ConversionError(str(error)) from error


def _load_into(
    net: Block,
    parameters: Mapping[str, Parameter],
    weights: Weights,
    source: str,
    num_classes_differ: Optional[str],
    eps: Optional[float],
    entry: Optional[str],
    classes: Optional[Sequence[str]] = None,
) -> Report:
    """Check everything, then set the values of the parameters."""
    codebase = find_source(source)
    _check_options(num_classes_differ, eps)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    content = _read_weights(weights, entry, known_names(codebase, shapes))
    file_name = "" if isinstance(weights, Mapping) else os.fspath(weights)
    shared = _share_classes(net, classes)
    try:
        result = match(codebase, shapes, content.arrays, file_name, num_classes_differ, eps, shared)
    except ConversionError as error:
        raise _explained(error, content, codebase, shapes, file_name) from None
    wrong_stride = stride_difference(net, codebase, shapes)
    if wrong_stride and codebase.stride_certain:
        raise ConversionError(
            f"{wrong_stride}. The shapes fit all the same, but the network would compute something "
            "else; build a network with that stride"
        )
    notes = [*content.notes, *codebase.inspect_file(net, content.arrays)]
    _set_values(parameters, result, shared)
    if classes is None:
        notes += _unnamed_classes_note(net, result.arrays)
    for difference in (wrong_stride, convention_difference(net, codebase, shapes)):
        if difference:
            notes.append(f"beware: {difference}")
    return Report(
        source=source,
        weights=file_name,
        matches=result.matches,
        left_out=result.left_out,
        notes=(*notes, *result.notes),
    )


def _explained(
    error: ConversionError, content: Content, codebase: Codebase, shapes: Shapes, file_name: str
) -> ConversionError:
    """Add to an error what the file probably is, or why it does not fit."""
    foreign = describe_foreign(content.arrays)
    if foreign is not None:
        return ConversionError(f"{file_name or 'the weights'}: {foreign}")
    telling = [note for note in content.notes if "prefix" in note or NO_ARRAYS_PHRASE in note]
    said = "".join(f"; {note}" for note in telling)
    mistake = likely_mistake(codebase, content.arrays, shapes)
    return ConversionError(f"{error}{said}{mistake}")


def _check_options(num_classes_differ: Optional[str], eps: Optional[float]) -> None:
    """Refuse values of options that mean nothing."""
    if num_classes_differ not in CLASSES_DIFFER:
        raise ConversionError(
            f"num_classes_differ is {num_classes_differ!r}; give one of {CLASSES_DIFFER}"
        )
    if eps is not None and not 0 <= eps < 1:
        raise ConversionError(
            f"eps is {eps!r}; give a number from 0 to less than 1, or None for the codebase's own"
        )


def _unnamed_classes_note(net: Block, arrays: Arrays) -> List[str]:
    """Say for which classes the rows of predictors are taken, if a file has predictors."""
    names = getattr(net, "classes", None)
    if names is None or not any(name.startswith(SCORE_LAYER) for name in arrays):
        return []
    return [f"the file does not name its classes; its rows are taken for {first_few(names)}"]


def _share_classes(net: Block, classes: Optional[Sequence[str]]) -> Optional[SharedClasses]:
    """Compare the names of a file's classes, if they are known, with the network's."""
    network_classes = getattr(net, "classes", None)
    if classes is None or network_classes is None:
        return None
    if isinstance(classes, str) or len(set(classes)) < len(classes):
        raise ConversionError(
            f"classes is {classes!r:.80}; give a list of the names of the file's classes, each once"
        )
    return share_classes(classes, network_classes)


def _set_values(
    parameters: Mapping[str, Parameter], result: MatchResult, shared: Optional[SharedClasses]
) -> None:
    """Set the values of the parameters.

    Of class layers whose classes the file has by name, the other rows keep the network's values.
    """
    for name, array in result.arrays.items():
        parameters[name].set_data(mx.nd.array(array, dtype=array.dtype))
    if shared is None:
        return
    for name, rows in result.class_rows.items():
        parameter = parameters[name]
        current = parameter.data(parameter.list_ctx()[0]).asnumpy()
        placed = place_shared_rows(name, rows, current, shared)
        parameter.set_data(mx.nd.array(placed, dtype=current.dtype))


def _read_weights(weights: Weights, entry: Optional[str], known: Collection[str]) -> Content:
    """Return the arrays by the codebase's names, without a prefix of the training program."""
    path = "the weights" if isinstance(weights, Mapping) else os.fspath(weights)
    try:
        if isinstance(weights, Mapping):
            arrays = {str(name): _to_numpy(name, value) for name, value in weights.items()}
            content = Content(arrays, [])
            if entry is not None:
                content = take_entry(content, path, entry)
        else:
            content = read_file(weights, entry)
    except WeightFileError as error:
        raise ConversionError(str(error)) from error
    try:
        bare = take_off_prefix(content.arrays, known)
    except WeightFileError as error:
        raise ConversionError(f"{path}: {error}") from error
    return Content(bare.arrays, content.notes + bare.notes)


def _to_numpy(name: str, value: Any) -> np.ndarray:
    """Turn a value of the caller's mapping into a NumPy array."""
    array = value.asnumpy() if isinstance(value, mx.nd.NDArray) else np.asarray(value)
    if array.dtype == object:
        raise ConversionError(
            f"{name} is a {type(value).__name__}, not an array; give a flat {{name: array}}, "
            "such as the 'model' or 'state_dict' of a checkpoint"
        )
    return array
