"""The codebases whose weights can be converted, by name, and how to recognize their files."""

import re
from typing import Dict, Iterable, Tuple

from gluonnorm.conversion.classes import SCORE_LAYER
from gluonnorm.conversion.codebase import Codebase, known_names
from gluonnorm.conversion.codebases.detectron import DETECTRON
from gluonnorm.conversion.codebases.detectron2 import DETECTRON2
from gluonnorm.conversion.codebases.gluoncv import GLUONCV
from gluonnorm.conversion.codebases.switchnorm import SWITCHNORM
from gluonnorm.conversion.codebases.torchvision import TORCHVISION
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.rules import Shapes, is_detector
from gluonnorm.errors import did_you_mean

#: The codebases whose weights are read, with their tables.
SOURCES: Dict[str, Codebase] = {
    GLUONCV.name: GLUONCV,
    TORCHVISION.name: TORCHVISION,
    DETECTRON.name: DETECTRON,
    DETECTRON2.name: DETECTRON2,
    SWITCHNORM.name: SWITCHNORM,
}


def find_source(name: str) -> Codebase:
    """Find a codebase by its name.

    Parameters
    ----------
    name : str
        A key of ``SOURCES``.

    Returns
    -------
    Codebase
        The codebase.

    Raises
    ------
    ConversionError
        There is no codebase of that name.
    """
    if name not in SOURCES:
        raise ConversionError(
            f"no source {name!r}; give one of {', '.join(SOURCES)}{did_you_mean(name, SOURCES)}"
        )
    return SOURCES[name]


def looks_like(names: Iterable[str]) -> Tuple[str, ...]:
    """Recognize the codebase of a file by the names in it.

    Parameters
    ----------
    names : iterable of str
        The names of the arrays in the file.

    Returns
    -------
    tuple of str
        The names of the codebases, keys of ``SOURCES``, whose files have names like these.
    """
    all_names = list(names)
    codebases = []
    for codebase in SOURCES.values():
        if any(re.search(codebase.name_hint, name) for name in all_names):
            codebases.append(codebase.name)
    return tuple(codebases)


def has_own_names(names: Iterable[str]) -> bool:
    """Tell whether a file has the names of this package's detectors.

    Parameters
    ----------
    names : iterable of str
        The names of the arrays in the file.

    Returns
    -------
    bool
        Whether the layer of the scores has the name that no other codebase gives it.
    """
    return any(name.startswith(SCORE_LAYER) for name in names)


def likely_mistake(codebase: Codebase, arrays: Arrays, shapes: Shapes) -> str:
    """Guess why a file does not fit: another codebase, or a classifier's file for a detector.

    Parameters
    ----------
    codebase : Codebase
        The codebase that the caller named.
    arrays : dict of str to numpy.ndarray
        The arrays of the file.
    shapes : mapping of str to tuple of int
        The shapes of the network's parameters by name.

    Returns
    -------
    str
        The end of an error message, with the way out; "" without a guess.
    """
    if is_detector(shapes) and has_own_names(arrays):
        return (
            ". The names are those of this package: load the file with net.load_parameters, or"
            " get_model(..., pretrained=FILE)"
        )
    likely = looks_like(arrays)
    if likely and codebase.name not in likely:
        return f". The names look like those of {' or '.join(likely)}; give source={likely[0]!r}"
    if not likely and known_names(codebase, shapes).isdisjoint(arrays):
        return (
            f". None of its names is one of {codebase.name}'s: it is a file of another source or"
            f" network, or of a program that is no source; the sources are {', '.join(SOURCES)}"
        )
    has_detector_part = any(re.fullmatch(codebase.detector_part, name) for name in arrays)
    if likely and is_detector(shapes) and not has_detector_part:
        return ". The file has a backbone only; load_backbone puts it into a detector"
    return ""
