"""How the arrays of other codebases differ in layout from those of gluonnorm.

In gluonnorm the score layer has the background as its first row, and the box and mask layers have
no rows for it. Box layers have four rows for each class, and every norm parameter is a vector.
"""

from typing import Callable, Dict, NamedTuple

from gluonnorm.types import Shape

import numpy as np

Arrays = Dict[str, np.ndarray]
LoadFunction = Callable[[np.ndarray, Shape], np.ndarray]
SaveFunction = Callable[[np.ndarray], np.ndarray]

BOX_ROWS = 4  # rows of a box layer for one class: dx, dy, dw, dh


class LayoutChange(NamedTuple):
    """A difference in layout between an array in a file and the parameter for it.

    Attributes
    ----------
    note : str
        What the report tells about it; "" if it is not worth a note.
    load : callable
        ``load(stored, shape)`` rearranges the array of a file for a parameter of that shape. The
        result may have another shape, since shapes are compared afterwards.
    save : callable
        ``save(values)`` rearranges the values of a parameter for a file.
    """

    note: str
    load: LoadFunction
    save: SaveFunction


def _unchanged_on_load(stored: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the array as it is."""
    return stored


def _unchanged_on_save(values: np.ndarray) -> np.ndarray:
    """Return the array as it is."""
    return values


def _flatten(stored: np.ndarray, shape: Shape) -> np.ndarray:
    """Remove axes of length 1 from an array that has at most one longer axis."""
    longest = max(stored.shape, default=1)
    return stored.reshape(-1) if stored.size == longest else stored


def _last_row_first(stored: np.ndarray, shape: Shape) -> np.ndarray:
    """Move the last row to the front."""
    return np.roll(stored, 1, axis=0)


def _first_row_last(values: np.ndarray) -> np.ndarray:
    """Move the first row to the end."""
    return np.roll(values, -1, axis=0)


def _repeat_for_classes(stored: np.ndarray, shape: Shape) -> np.ndarray:
    """Repeat the four rows of a class-agnostic box layer for every class of the network."""
    class_agnostic = stored.shape[:1] == (BOX_ROWS,)
    if not class_agnostic or shape[:1] == (BOX_ROWS,):
        return stored
    return np.concatenate([stored] * (shape[0] // BOX_ROWS))


def _drop_background_box(stored: np.ndarray, shape: Shape) -> np.ndarray:
    """Drop the four rows of the background, then repeat class-agnostic rows."""
    return _repeat_for_classes(stored[BOX_ROWS:], shape)


def _drop_background_mask(stored: np.ndarray, shape: Shape) -> np.ndarray:
    """Drop the row of the background."""
    return stored[1:]


def _add_background_box(values: np.ndarray) -> np.ndarray:
    """Put four rows of zeros in front."""
    return _with_zero_rows(values, BOX_ROWS)


def _add_background_mask(values: np.ndarray) -> np.ndarray:
    """Put a row of zeros in front."""
    return _with_zero_rows(values, 1)


def _with_zero_rows(values: np.ndarray, count: int) -> np.ndarray:
    """Put rows of zeros in front of an array."""
    zeros = np.zeros((count, *values.shape[1:]), values.dtype)
    return np.concatenate([zeros, values])


SAME_LAYOUT = LayoutChange(
    note="",
    load=_unchanged_on_load,
    save=_unchanged_on_save,
)
# SwitchNorm's PyTorch code stores norm parameters as (1, C, 1, 1) or (1, C, 1).
FLATTENED = LayoutChange(
    note="",
    load=_flatten,
    save=_unchanged_on_save,
)
SCORES_BACKGROUND_LAST = LayoutChange(
    note="background row from last to first",
    load=_last_row_first,
    save=_first_row_last,
)
BOXES = LayoutChange(
    note="",
    load=_repeat_for_classes,
    save=_unchanged_on_save,
)
# A codebase whose box and mask layers have rows for the background never reads these rows, so zeros
# are saved.
BOXES_WITH_BACKGROUND = LayoutChange(
    note="4 background rows dropped",
    load=_drop_background_box,
    save=_add_background_box,
)
MASKS_WITH_BACKGROUND = LayoutChange(
    note="background channel dropped",
    load=_drop_background_mask,
    save=_add_background_mask,
)
