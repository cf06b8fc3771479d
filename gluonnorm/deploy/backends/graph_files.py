"""Files of ONNX and OpenVINO, opened in any run time that reads them."""

from typing import Any, Callable, Dict, List, Protocol, Tuple

from gluonnorm.deploy.backends.backend import Backend
from gluonnorm.deploy.bundle import (
    CANDIDATES_OUTPUT,
    MANIFEST_KEY,
    DeployError,
    Manifest,
    parse_manifest,
    read_graph_bundle,
)
from gluonnorm.errors import InputError, first_line

NAMES = {"onnx": "ONNX", "openvino": "OpenVINO"}


class GraphBackend(Backend, Protocol):
    """A graph of ONNX or OpenVINO in a run time.

    Attributes
    ----------
    metadata : dict of str to str
        What the graph says about itself.
    input_names, output_names : list of str
        The names of the inputs and outputs, in order.
    """

    metadata: Dict[str, str]
    input_names: List[str]
    output_names: List[str]


def open_graph_files(
    prefix: str, ctx: Any, format: str, make_backend: Callable[[str], GraphBackend]
) -> Tuple[Backend, Manifest]:
    """Open the files of an export to ONNX or OpenVINO.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.
    ctx : None
        Only MXNet has contexts.
    format : str
        ``"onnx"`` or ``"openvino"``.
    make_backend : callable
        Loads the graph of a path in a run time.

    Returns
    -------
    backend : GraphBackend
        The network.
    manifest : dict
        The manifest beside the file or, if there is none, the one in its metadata.

    Raises
    ------
    DeployError
        A file is missing, was altered, or is not a file of an exported network; or the run time
        does not read it, or cannot use the GPU.
    InputError
        ``ctx`` is not None.
    """
    if ctx is not None:
        raise InputError(
            f"ctx is {ctx!r} for a file of {NAMES[format]}, and only MXNet has contexts; leave it "
            "out, give gpu, or give backend='mxnet'"
        )
    graph_file, manifest = read_graph_bundle(prefix, format)
    try:
        backend = make_backend(str(graph_file))
    except DeployError:
        raise
    # Each run time has classes of errors of its own for files that it does not read.
    except Exception as error:
        raise DeployError(
            f"{graph_file} cannot be loaded ({first_line(error)}); export again, or install a "
            "newer version of the package that runs it"
        ) from error
    if manifest is None:
        if MANIFEST_KEY not in backend.metadata:
            raise DeployError(
                f"{graph_file} has no manifest in its metadata, so it is not an export of this "
                f"package; export with format={format!r}"
            )
        manifest = parse_manifest(backend.metadata[MANIFEST_KEY], f"the metadata of {graph_file}")
    outputs = [name for name in backend.output_names if name != CANDIDATES_OUTPUT]
    expected = ([manifest["input"]["name"]], manifest.get("outputs"))
    if (backend.input_names, outputs) != expected:
        raise DeployError(
            f"{graph_file} has the inputs {backend.input_names} and the outputs {outputs}, its "
            f"manifest says {expected[0]} and {expected[1]}; export again"
        )
    return backend, manifest
