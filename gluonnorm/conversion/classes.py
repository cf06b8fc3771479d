"""Find and settle a difference between the numbers of classes of a file and of a network."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.conversion.codebase import Codebase
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.layouts import BOX_ROWS, Arrays
from gluonnorm.conversion.rules import Shapes
from gluonnorm.errors import first_few
from gluonnorm.types import Shape

import numpy as np

CLASSES_DIFFER = (None, "reset", "reduce")  # what ``load(num_classes_differ=...)`` takes
SCORE_LAYER = "predictor.score."
BOX_LAYER = "predictor.loc."
MASK_LAYER = "mask_head.score."
CLASS_LAYERS = (SCORE_LAYER, BOX_LAYER, MASK_LAYER)  # layers whose rows belong to classes
COCO_IDS = 90  # torchvision's COCO detectors have a row for each id up to 90
COCO_CLASSES = 80  # only these ids are classes


class ClassCounts(NamedTuple):
    """Numbers of foreground classes; None for a backbone.

    Attributes
    ----------
    file : int or None
        The number of classes in the file.
    network : int or None
        The number of classes of the network.
    """

    file: Optional[int]
    network: Optional[int]

    @property
    def differ(self) -> bool:
        """Tell whether both numbers are known and differ."""
        return None not in self and self.file != self.network


def count_classes(arrays: Arrays, shapes: Shapes) -> ClassCounts:
    """Count the foreground classes of a file and of a network.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of the file under gluonnorm's names, in gluonnorm's layout.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    ClassCounts
        Both numbers.
    """
    array_shapes = {name: array.shape for name, array in arrays.items()}
    return ClassCounts(_foreground_classes(array_shapes), _foreground_classes(shapes))


def _foreground_classes(shapes: Shapes) -> Optional[int]:
    """Count the rows of the score layer without the background; None if there is no such layer."""
    shape = shapes.get(f"{SCORE_LAYER}bias")
    return shape[0] - 1 if shape else None


def class_count_hint(
    counts: ClassCounts, num_classes_differ: Optional[str], names_given: bool
) -> str:
    """Explain how to load a file with another number of classes.

    Parameters
    ----------
    counts : ClassCounts
        The numbers of classes.
    num_classes_differ : str or None
        What the caller asked for.
    names_given : bool
        Whether the caller names the file's classes, which goes before ``num_classes_differ``.

    Returns
    -------
    str
        The end of an error message; "" if the numbers agree or the caller has chosen already.
    """
    if not counts.differ or num_classes_differ is not None:
        return ""
    hint = (
        f". The file has {counts.file} classes, the network {counts.network}; "
        f"num_classes_differ='reset'{' without classes' if names_given else ''} gives fresh "
        "predictors"
    )
    if counts == (COCO_IDS, COCO_CLASSES):
        hint += ", 'reduce' cuts torchvision's 90 ids to the 80 that are classes"
    return hint


def fresh_predictors(arrays: Arrays, shapes: Shapes) -> List[str]:
    """Find the parameters that keep their fresh values because the file is for other classes.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of the file under gluonnorm's names.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    list of str
        Parameters of the class layers that differ in the number of rows at most. A parameter that
        differs in another axis is not among them, since classes do not explain that.
    """
    fresh = []
    for name, array in arrays.items():
        row_shape: Shape = tuple(shapes[name][1:])
        if name.startswith(CLASS_LAYERS) and array.shape[1:] == row_shape:
            fresh.append(name)
    return fresh


def reduced_to_classes(arrays: Arrays, codebase: Codebase, counts: ClassCounts) -> Arrays:
    """Cut the rows of torchvision's 90 COCO ids to the rows of the 80 classes.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of the file under gluonnorm's names, in gluonnorm's layout.
    codebase : Codebase
        The codebase of the file.
    counts : ClassCounts
        The numbers of classes.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays of the class layers, cut.

    Raises
    ------
    ConversionError
        The file is not one with 90 ids, or the network not one with 80 classes.
    """
    kept_classes = codebase.kept_classes
    if not kept_classes or counts != (COCO_IDS, len(kept_classes)):
        raise ConversionError(
            f"num_classes_differ='reduce' cuts the {COCO_IDS} ids of torchvision's COCO files to "
            f"the {COCO_CLASSES} that are classes; this is {codebase.name} with {counts.file} "
            f"classes for a network of {counts.network}. Give 'reset' for fresh predictors"
        )
    reduced = {}
    for name, array in arrays.items():
        if name.startswith(CLASS_LAYERS):
            reduced[name] = array[_kept_rows(name, kept_classes)]
    return reduced


class SharedClasses(NamedTuple):
    """The classes that a file and a network both have by name.

    Attributes
    ----------
    in_file : tuple of int
        The ids of these classes in the file.
    in_network : tuple of int
        Their ids in the network, in the same order.
    fresh : tuple of str
        The other classes of the network.
    file_count : int
        The number of classes in the file.
    """

    in_file: Tuple[int, ...]
    in_network: Tuple[int, ...]
    fresh: Tuple[str, ...]
    file_count: int

    def note(self) -> str:
        """Tell which predictors come from the file.

        Returns
        -------
        str
            A sentence for the report.
        """
        count = len(self.in_network)
        total = count + len(self.fresh)
        if not self.fresh:
            return f"the predictors of all {total} classes were found in the file by name"
        return (
            f"the file has {count} of the {total} classes by name; fresh predictors: "
            f"{first_few(self.fresh)}"
        )


def share_classes(
    file_classes: Sequence[str], network_classes: Sequence[str]
) -> Optional[SharedClasses]:
    """Find the classes that a file and a network both have by name.

    Parameters
    ----------
    file_classes, network_classes : sequence of str
        The names of the classes, in the order of their ids.

    Returns
    -------
    SharedClasses or None
        The shared classes; None if all names are the same, in the same order.

    Examples
    --------
    >>> share_classes(("cat", "dog"), ("dog", "cow"))
    SharedClasses(in_file=(1,), in_network=(0,), fresh=('cow',), file_count=2)
    """
    if tuple(file_classes) == tuple(network_classes):
        return None
    file_ids = {name: index for index, name in enumerate(file_classes)}
    in_file = []
    in_network = []
    fresh = []
    for index, name in enumerate(network_classes):
        if name in file_ids:
            in_file.append(file_ids[name])
            in_network.append(index)
        else:
            fresh.append(name)
    return SharedClasses(tuple(in_file), tuple(in_network), tuple(fresh), len(file_classes))


def class_layer_rows(name: str, num_classes: int) -> int:
    """Count the rows of a class layer for so many classes.

    Parameters
    ----------
    name : str
        The name of a parameter, which begins with one of ``CLASS_LAYERS``.
    num_classes : int
        The number of foreground classes.

    Returns
    -------
    int
        The length of the parameter's first axis.

    Examples
    --------
    >>> class_layer_rows("predictor.score.bias", 3), class_layer_rows("predictor.loc.bias", 3)
    (4, 12)
    """
    if name.startswith(SCORE_LAYER):
        return 1 + num_classes
    return BOX_ROWS * num_classes if name.startswith(BOX_LAYER) else num_classes


def shapes_with_classes(shapes: Shapes, num_classes: int) -> Dict[str, Shape]:
    """Compute the shapes that the parameters of a network would have with so many classes.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.
    num_classes : int
        The number of foreground classes.

    Returns
    -------
    dict of str to tuple of int
        The shapes, with other rows in the class layers.
    """
    changed = dict(shapes)
    for name, shape in shapes.items():
        if name.startswith(CLASS_LAYERS):
            changed[name] = (class_layer_rows(name, num_classes), *shape[1:])
    return changed


def place_shared_rows(
    name: str, stored: np.ndarray, current: np.ndarray, shared: SharedClasses
) -> np.ndarray:
    """Put the rows of shared classes into the values of a parameter of a class layer.

    Parameters
    ----------
    name : str
        The parameter's name, which begins with one of ``CLASS_LAYERS``.
    stored : numpy.ndarray
        The file's values, in gluonnorm's layout, with the rows of all classes of the file.
    current : numpy.ndarray
        The network's values.
    shared : SharedClasses
        The shared classes.

    Returns
    -------
    numpy.ndarray
        A copy of ``current`` with the rows of the shared classes, and the background's unless no
        class is shared.
    """
    placed = current.copy()
    if shared.in_file:
        rows = _kept_rows(name, shared.in_network)
        placed[rows] = stored[_kept_rows(name, shared.in_file)]
    return placed


def _kept_rows(name: str, kept_classes: Tuple[int, ...]) -> np.ndarray:
    """Compute the rows of a class layer that belong to the kept classes, and to the background."""
    classes = np.asarray(kept_classes)
    if name.startswith(SCORE_LAYER):
        return np.concatenate([[0], 1 + classes])
    if name.startswith(BOX_LAYER):
        rows = BOX_ROWS * classes[:, None] + np.arange(BOX_ROWS)
        return rows.reshape(-1)
    return classes
