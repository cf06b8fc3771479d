"""ONNX files, opened in any run time that reads them."""

from typing import Any, Callable, Dict, List, Protocol, Sequence, Tuple

from gluonnorm.deploy.backends.backend import Backend, Outputs
from gluonnorm.deploy.bundle import (
    CANDIDATES_OUTPUT,
    MANIFEST_KEY,
    DeployError,
    Manifest,
    parse_manifest,
    read_onnx_bundle,
)
from gluonnorm.errors import InputError, first_line

import numpy as np


class OnnxBackend(Backend, Protocol):
    """An ONNX file in a run time.

    Attributes
    ----------
    metadata : dict of str to str
        What the file says about itself.
    input_names, output_names : list of str
        The names of the inputs and outputs, in order.
    """

    metadata: Dict[str, str]
    input_names: List[str]
    output_names: List[str]


def open_onnx_files(
    prefix: str, ctx: Any, make_backend: Callable[[str], OnnxBackend]
) -> Tuple[Backend, Manifest]:
    """Open the ONNX file of an export.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.
    ctx : None
        Only MXNet has contexts.
    make_backend : callable
        Loads the file of a path in a run time.

    Returns
    -------
    backend : OnnxBackend
        The network.
    manifest : dict
        The manifest beside the file or, if there is none, the one in its metadata.

    Raises
    ------
    DeployError
        A file is missing, was altered, or is not a file of an exported network; or the run time
        does not read it.
    InputError
        ``ctx`` is not None.
    """
    if ctx is not None:
        raise InputError(
            f"ctx is {ctx!r} for an ONNX file, which runs on the CPU; leave it out, or give "
            "backend='mxnet'"
        )
    onnx_file, manifest = read_onnx_bundle(prefix)
    try:
        backend = make_backend(str(onnx_file))
    # Each run time has classes of errors of its own for files that it does not read.
    except Exception as error:
        raise DeployError(
            f"{onnx_file} cannot be loaded ({first_line(error)}); export again, or install a newer "
            "version of the package that runs it"
        ) from error
    if manifest is None:
        if MANIFEST_KEY not in backend.metadata:
            raise DeployError(
                f"{onnx_file} has no manifest in its metadata, so it is not an export of this "
                "package; export with format='onnx'"
            )
        manifest = parse_manifest(backend.metadata[MANIFEST_KEY], f"the metadata of {onnx_file}")
    expected = ([manifest["input"]["name"]], manifest.get("outputs"))
    output_names = [name for name in backend.output_names if name != CANDIDATES_OUTPUT]
    if (backend.input_names, output_names) != expected:
        raise DeployError(
            f"{onnx_file} has the inputs {backend.input_names} and the outputs "
            f"{backend.output_names}, its manifest says {expected[0]} and {expected[1]}; export "
            "again"
        )
    return backend, manifest


def separate_candidates(arrays: Sequence[np.ndarray], names: Sequence[str]) -> Outputs:
    """Separate the scores of the candidates from the outputs that the manifest names.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray
        All outputs of an ONNX file.
    names : sequence of str
        Their names. The earliest files do not have the scores.

    Returns
    -------
    Outputs
        The outputs.
    """
    if CANDIDATES_OUTPUT not in names:
        return Outputs(list(arrays), None)
    *detections, candidate_scores = arrays
    return Outputs(detections, candidate_scores)
