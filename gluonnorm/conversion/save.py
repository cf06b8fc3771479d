"""Save the weights of a network as a file of another codebase."""

import logging
from typing import Any, Dict, Mapping, Optional

from gluonnorm.conversion.codebase import Codebase, SourceName, source_names
from gluonnorm.conversion.compatibility import convention_difference, stride_difference
from gluonnorm.conversion.errors import ConversionError
from gluonnorm.conversion.layouts import Arrays
from gluonnorm.conversion.network import network_parameters
from gluonnorm.conversion.sources import SOURCES, find_source
from gluonnorm.errors import first_few
from gluonnorm.weight_files import WeightFileError, write_arrays

import numpy as np
from mxnet.gluon import Block

log = logging.getLogger(__name__)


def save(net: Block, path: Optional[str], source: str) -> Arrays:
    """Save a network in the names and layouts of another codebase.

    ``load`` reads the file back to the same values.

    Parameters
    ----------
    net : Block
        The network, initialized.
    path : str or None
        The file to write: ``.pth``, ``.pt`` or ``.safetensors`` for torchvision, ``.params`` for
        GluonCV. None: nothing is written.
    source : str
        The codebase: "torchvision" or "gluoncv".

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays by the codebase's names.

    Raises
    ------
    ConversionError
        The codebase has no writer, has no names for the network's architecture, or would detect
        something else with these weights; or the file cannot be written.
    """
    codebase = _find_writable_source(source)
    if path is not None and not str(path).endswith(codebase.save_endings):
        raise ConversionError(
            f"{path}: {source} reads {' or '.join(codebase.save_endings)}; choose a name with such "
            "an ending"
        )
    parameters = network_parameters(net)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    names = source_names(codebase, shapes)
    _refuse_nameless(codebase, names)
    wrong_stride = stride_difference(net, codebase, shapes)
    if wrong_stride:
        raise ConversionError(
            f"{wrong_stride}; with this file {source} would detect something else"
        )
    other_convention = convention_difference(net, codebase, shapes)
    if other_convention:
        log.warning(
            "beware: %s. With this file, %s itself detects a little differently from the network",
            other_convention,
            source,
        )
    arrays = {}
    for name, (candidates, layout) in names.items():
        values = _values(parameters[name])
        arrays[candidates[0]] = np.ascontiguousarray(layout.save(values))
    arrays.update(codebase.additions(net, arrays))
    if path is not None:
        _write_file(path, arrays)
    return arrays


def _find_writable_source(name: str) -> Codebase:
    """Return the codebase of that name; raise ConversionError if its files cannot be written."""
    codebase = find_source(name)
    if not codebase.save_endings:
        writable = [known.name for known in SOURCES.values() if known.save_endings]
        raise ConversionError(f"cannot save for {name!r}; give one of {', '.join(writable)}")
    return codebase


def _refuse_nameless(codebase: Codebase, names: Mapping[str, SourceName]) -> None:
    """Raise ConversionError if the codebase has no name for a parameter."""
    nameless = [name for name, source_name in names.items() if not source_name.candidates]
    if nameless:
        raise ConversionError(
            f"{codebase.name} has no name for {len(nameless)} of the network's arrays: "
            f"{first_few(nameless)}; build an architecture that {codebase.name} has"
        )


def _values(parameter: Any) -> np.ndarray:
    """Return the values of a parameter, from the first of its devices."""
    device = parameter.list_ctx()[0]
    return parameter.data(device).asnumpy()


def _write_file(path: str, arrays: Dict[str, np.ndarray]) -> None:
    """Write a file, and turn a WeightFileError into a ConversionError."""
    try:
        write_arrays(path, arrays)
    except WeightFileError as error:
        raise ConversionError(str(error)) from error
