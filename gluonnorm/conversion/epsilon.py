"""Rescale the gamma of BatchNorm layers from a file's epsilon to gluonnorm's.

A BatchNorm computes ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``. All norm layers of
gluonnorm have the same epsilon, and those of a file may have another one. The layer computes the
same function with this gamma::

    gamma * sqrt((variance + EPSILON) / (variance + epsilon of the file))
"""

from typing import Collection, Dict, List, Mapping

from gluonnorm.conversion.codebase import EPSILON, FileEpsilon
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.layouts import Arrays

import numpy as np

BARE_SCALE_EPSILON = FileEpsilon(0.0, "a bare scale and shift has none")


def rescale_gammas(arrays: Arrays, epsilons: Mapping[str, FileEpsilon], file_name: str) -> None:
    """Replace each gamma, so that the layer computes the file's function with gluonnorm's epsilon.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays under gluonnorm's names, float32. The gammas in it are replaced.
    epsilons : mapping of str to FileEpsilon
        The name of each BatchNorm layer -> its epsilon in the file.
    file_name : str
        The name of the file, for messages.

    Raises
    ------
    ConversionError
        A variance is too small for its epsilon, or a gamma becomes infinite.
    """
    for layer, epsilon in epsilons.items():
        gamma = arrays[f"{layer}.gamma"]
        # float64, so that only the final rounding of gamma to float32 is lost.
        variance = arrays[f"{layer}.running_var"].astype(np.float64)
        if (variance + epsilon.value <= 0).any():
            raise ConversionError(
                f"{layer}: the smallest variance in {file_name} is {variance.min():g}, which needs "
                f"a larger eps than {epsilon.value:g} ({epsilon.reason}); give eps={EPSILON:g}, or "
                "repair the file"
            )
        if epsilon.value == EPSILON:
            continue
        factor = np.sqrt((variance + EPSILON) / (variance + epsilon.value))
        with np.errstate(over="ignore"):
            rescaled = (gamma * factor).astype(np.float32)
        if not np.isfinite(rescaled).all():
            raise ConversionError(
                f"{layer}: eps {epsilon.value:g} ({epsilon.reason}) makes gamma infinite; "
                f"give eps={EPSILON:g}"
            )
        arrays[f"{layer}.gamma"] = rescaled


def epsilon_notes(epsilons: Collection[FileEpsilon]) -> List[str]:
    """Describe the epsilons of a file's BatchNorm layers.

    Parameters
    ----------
    epsilons : collection of FileEpsilon
        The epsilon of each layer.

    Returns
    -------
    list of str
        A sentence for each different epsilon.
    """
    counts: Dict[FileEpsilon, int] = {}
    for epsilon in epsilons:
        counts[epsilon] = counts.get(epsilon, 0) + 1
    notes = []
    for epsilon, count in counts.items():
        note = f"eps {epsilon.value:g} in {count} BatchNorm layers ({epsilon.reason})"
        if epsilon.value != EPSILON:
            note += f"; gamma is rescaled to the {EPSILON:g} used here"
        notes.append(note)
    return notes
