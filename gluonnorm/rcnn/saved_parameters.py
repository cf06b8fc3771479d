"""The check of a file of parameters before it is loaded into a detector."""

import warnings
from typing import Any, Iterable, Mapping

from gluonnorm.errors import InputError
from gluonnorm.types import PathLike
from gluonnorm.weight_files import compare, read_arrays

# The beginnings of names that only GluonCV's detectors have.
GLUONCV_LAYERS = ("class_predictor.", "box_predictor.")
# A file that fills less than this part of a network belongs to another network.
LEAST_PART = 0.5


def check_saved_parameters(
    path: PathLike, parameters: Mapping[str, Any], allow_missing: bool, ignore_extra: bool
) -> None:
    """Compare a file with the parameters of a network, before any of them is changed.

    Parameters
    ----------
    path : str or os.PathLike
        A file that ``net.save_parameters`` wrote.
    parameters : mapping of str to mxnet.gluon.Parameter
        The parameters by their structural names.
    allow_missing : bool
        Whether the file may lack parameters. It must have at least half of them, and a warning
        counts those that it lacks.
    ignore_extra : bool
        Whether the file may have other arrays.

    Raises
    ------
    InputError
        The file does not fit; the message says which call loads the files of other programs.
    WeightFileError
        The file cannot be read.
    """
    arrays = read_arrays(path)
    mismatches = compare(arrays, parameters, check_values=True)
    phrases = mismatches.phrases
    num_parameters = len(parameters)
    num_present = num_parameters - len(phrases["missing"])
    has_forbidden = (
        bool(phrases["misshapen"] or phrases["unusable"])
        or (bool(phrases["missing"]) and not allow_missing)
        or (bool(phrases["unexpected"]) and not ignore_extra)
    )
    if has_forbidden or num_present < LEAST_PART * num_parameters:
        raise InputError(
            f"{path} has {num_present} of this network's {num_parameters} arrays: {mismatches}"
            f"{_way_out(str(path), arrays)}"
        )
    if phrases["missing"]:
        warnings.warn(
            f"{path} has {num_present} of this network's {num_parameters} arrays; the others keep"
            f" their values ({mismatches})",
            stacklevel=3,
        )


def _way_out(path: str, names: Iterable[str]) -> str:
    """Say which call loads a file with these names."""
    if any(name.startswith(GLUONCV_LAYERS) for name in names):
        return f". It is a file of GluonCV: gluonnorm.conversion.load(net, {path!r}, 'gluoncv')"
    return (
        ". net.save_parameters of the same network and classes writes a file that fits;"
        " gluonnorm.conversion.load reads the files of other programs"
    )
