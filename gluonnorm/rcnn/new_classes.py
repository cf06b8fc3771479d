"""Other classes for a trained detector: which rows of the old predictors the new ones take over."""

import operator
import warnings
from typing import Dict, Mapping, NamedTuple, Sequence, Union

from gluonnorm.errors import InputError, did_you_mean, first_few

import numpy as np
from mxnet.gluon import HybridBlock

ClassKey = Union[str, int]
ReuseWeights = Union[None, bool, Sequence[str], Mapping[ClassKey, ClassKey]]


class PredictorRows(NamedTuple):
    """How the rows of a predicting layer belong to the classes.

    Attributes
    ----------
    per_class : int
        Rows of each class.
    background : int
        Rows in front of those of class 0.
    """

    per_class: int
    background: int = 0


SCORE_ROWS = PredictorRows(per_class=1, background=1)
DELTA_ROWS = PredictorRows(per_class=4)
MASK_ROWS = PredictorRows(per_class=1)


def reused_classes(
    reuse_weights: ReuseWeights, old_classes: Sequence[str], new_classes: Sequence[str]
) -> Dict[int, int]:
    """Find the old class whose weights each new class takes over.

    Parameters
    ----------
    reuse_weights : None, bool, sequence of str, or mapping
        True: all classes whose names stay. A sequence: these names, which stay; a name that is not
        in both lists gives a warning, as in GluonCV. A mapping: new classes to old classes, each
        by its name or its id. None, False and an empty value: no class.
    old_classes, new_classes : sequence of str
        The names in the order of their ids.

    Returns
    -------
    dict of int to int
        The id of an old class for each new class that takes over weights.

    Raises
    ------
    InputError
        A mapping names a class or an id that does not exist, or a new class twice.

    Examples
    --------
    >>> reused_classes({"person": "man", 1: "dog"}, ["dog", "man"], ["person", "pet"])
    {0: 1, 1: 0}
    >>> reused_classes(True, ["dog", "man"], ["person", "dog"])
    {1: 0}
    """
    if not reuse_weights:
        return {}
    if isinstance(reuse_weights, Mapping):
        return _mapped_classes(reuse_weights, old_classes, new_classes)
    if isinstance(reuse_weights, str):
        raise InputError(f"reuse_weights is {reuse_weights!r}; give a list of names, or a mapping")
    kept = [name for name in new_classes if name in old_classes]
    if reuse_weights is not True:
        lost = [str(name) for name in reuse_weights if name not in kept]
        if lost:
            warnings.warn(
                f"reuse_weights has {first_few(lost)}, not in both the old and the new classes;"
                " their predictors start anew",
                stacklevel=3,
            )
        kept = [name for name in kept if name in reuse_weights]
    return {list(new_classes).index(name): list(old_classes).index(name) for name in kept}


def copy_class_rows(
    old_layer: HybridBlock, new_layer: HybridBlock, reused: Mapping[int, int], rows: PredictorRows
) -> None:
    """Copy the rows of reused classes, and of the background, from one predicting layer to another.

    Parameters
    ----------
    old_layer, new_layer : mxnet.gluon.HybridBlock
        Two layers with ``weight`` and ``bias``, initialized; the new one is changed in place.
    reused : mapping of int to int
        The result of :func:`reused_classes`; nothing is copied if it is empty.
    rows : PredictorRows
        Which rows belong to which class.
    """
    if not reused:
        return
    # Row numbers of the background first; they are the same in both layers.
    targets = list(range(rows.background))
    sources = list(targets)
    for new_id, old_id in reused.items():
        targets.extend(_rows_of_class(new_id, rows))
        sources.extend(_rows_of_class(old_id, rows))
    for name in ("weight", "bias"):
        new_parameter = getattr(new_layer, name)
        device = new_parameter.list_ctx()[0]
        values = new_parameter.data(device).asnumpy()
        values[targets] = getattr(old_layer, name).data(device).asnumpy()[sources]
        new_parameter.set_data(values)


def _mapped_classes(
    mapping: Mapping[ClassKey, ClassKey], old_classes: Sequence[str], new_classes: Sequence[str]
) -> Dict[int, int]:
    """Turn the names in a mapping of new to old classes into ids."""
    reused: Dict[int, int] = {}
    for new_key, old_key in mapping.items():
        new_id = _class_id(new_key, new_classes, "new")
        if new_id in reused:
            raise InputError(f"reuse_weights names the new class {new_classes[new_id]!r} twice")
        reused[new_id] = _class_id(old_key, old_classes, "old")
    return reused


def _class_id(key: ClassKey, classes: Sequence[str], which: str) -> int:
    """Find the id of a class that is given by its name or its id."""
    if isinstance(key, str):
        if key not in classes:
            hint = did_you_mean(key, classes) or f"; they are {first_few(list(classes))}"
            raise InputError(f"reuse_weights: no {which} class {key!r}{hint}")
        return list(classes).index(key)
    is_id = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
    if not is_id or not 0 <= key < len(classes):
        raise InputError(
            f"reuse_weights: no {which} class {key!r}; give a name, or an id from 0 to"
            f" {len(classes) - 1}"
        )
    return operator.index(key)


def _rows_of_class(class_id: int, rows: PredictorRows) -> range:
    """List the rows of a class in a predicting layer."""
    first = rows.background + class_id * rows.per_class
    return range(first, first + rows.per_class)
