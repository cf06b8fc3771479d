"""Exporting a network to files of MXNet, ONNX or OpenVINO."""

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Set, Tuple, Union

from gluonnorm import __version__
from gluonnorm.deploy.bundle import (
    CANDIDATES_OUTPUT,
    MANIFEST_KEY,
    OUTPUTS,
    DeployError,
    Manifest,
    bundle_paths,
)
from gluonnorm.deploy.bundle_writer import (
    make_bundle_folder,
    write_bundle,
    write_contents,
)
from gluonnorm.deploy.candidate_count import with_candidates
from gluonnorm.deploy.detector_settings import require_detector
from gluonnorm.deploy.exported_block import classic_arrays
from gluonnorm.deploy.formats import DTYPES, FORMATS
from gluonnorm.deploy.onnx.convert import convert_graph
from gluonnorm.deploy.onnx.narrow_nodes import narrow_nodes
from gluonnorm.deploy.onnx.writer import ModelWriter, load_maker, load_writer
from gluonnorm.deploy.weight_checks import require_float32_weights
from gluonnorm.errors import InputError, did_you_mean, first_line
from gluonnorm.graph.conv_before_roi_align import convolve_before_roi_align
from gluonnorm.graph.executor_safe import replace_shape_only_ops
from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.output_layers import join_output_layers
from gluonnorm.graph.precision import to_bfloat16, to_int8
from gluonnorm.graph.trace import trace
from gluonnorm.graph.winograd import multiply_less
from gluonnorm.photos.files import image_files
from gluonnorm.photos.prepare import Photo, Photos, load_photo, prepare, refuse_single_photo
from gluonnorm.types import PathLike, Preprocess, is_positive_integer

import mxnet as mx
import numpy as np
from tqdm import tqdm

TRACED_SIZE = (64, 64)  # of an image that settles unknown shapes; any size gives the same graph
DATA_SHAPE = (1, 3, *TRACED_SIZE)


class _Graph(NamedTuple):
    """A graph and the values of its variables.

    Attributes
    ----------
    symbol : mx.sym.Symbol
        The graph.
    values : dict of str to mx.nd.NDArray
        The values of its arguments and auxiliary states, by name.
    """

    symbol: mx.sym.Symbol
    values: Dict[str, mx.nd.NDArray]


@classic_arrays()
def export(
    net: mx.gluon.HybridBlock,
    prefix: PathLike,
    image_size: Optional[Tuple[int, int]] = None,
    dtype: str = "float32",
    calibration: Union[None, PathLike, Photos] = None,
    format: str = "mxnet",
) -> Manifest:
    """Export a detector to the files of MXNet, ONNX or OpenVINO, with a description of them.

    - ``"mxnet"`` writes ``<prefix>-symbol.json`` and ``<prefix>-0000.params``, which load with
      ``mx.gluon.SymbolBlock.imports``, ``mx.mod.Module`` and the C predict API.
    - ``"onnx"`` writes ``<prefix>.onnx``, which onnxruntime and OpenVINO read. It has an output
      more, ``candidates``: the scores of the best pairs of RoI and class, best first, (B,
      ``max_candidates`` + 1). If the last one is above the score threshold, candidates were cut
      off.

    - ``"openvino"`` writes ``<prefix>.xml`` and ``<prefix>.bin``, OpenVINO's own files, with the
      outputs of ``"onnx"``.

    All take any batch size and image size. ``<prefix>.json``, the manifest, describes input and
    outputs. Frozen norms are folded into convolutions (``nn.fold``). If the export fails, earlier
    files of this prefix remain as they were. A network that is exported in several formats to one
    prefix has one manifest.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A detector with ``spec`` and ``preprocess``. It remains as it is: hybridized or not, on its
        contexts. Shapes that wait for a first input are settled by one forward pass.
    prefix : str or path-like
        Path and first part of the files' names. Missing folders are made.
    image_size : tuple of int or None
        (height, width) of the network's input if it is always the same. It is only noted in the
        manifest, for programs that bind memory in advance. None means that it varies.
    dtype : str
        What the network computes in. ``"float32"`` runs everywhere. ``"bfloat16"``, which
        ``"onnx"`` does not have, and ``"int8"`` run only on the CPU. Their inputs, outputs and
        output layers are float32.
    calibration : path, list, tuple or None
        For ``"int8"``: photos like those that the network will see. A folder, or a list of paths
        and arrays (H, W, 3) as ``Predictor`` takes them. 30 to 100 photos are enough; each takes
        one run of the network.
    format : str
        ``"mxnet"``, ``"onnx"`` or ``"openvino"``. The last two need the packages of the extra of
        that name: ``pip install 'gluonnorm[onnx]'``. ``"openvino"`` in ``"int8"`` needs the extra
        ``openvino-int8``, and what OpenVINO finds with the files is compared with float32.

    Returns
    -------
    dict
        The manifest, as written to ``<prefix>.json``:

        - ``classes``: names, in the order of the ids.
        - ``dtype``: the argument.
        - ``input``: ``name``, ``layout``, ``color`` (order of the channels), ``dtype``,
          ``image_size`` (None for any).
        - ``preprocess``: the fields of ``types.Preprocess``. The graph itself pads its input to
          ``multiple``; the caller does not.
        - ``outputs``: their names in order. Rows are sorted by score and padded with -1; boxes are
          in pixels of the input.
        - ``config``: thresholds and all other settings.
        - ``provenance``: the model's ``spec``, package ``versions``, checksums ``sha256`` of the
          files and of the values of the ``weights``, and ``calibrated_on``, the number of photos
          for calibration.

    Raises
    ------
    InputError
        Unknown ``dtype`` or ``format``; a ``dtype`` that the format does not have; ``"int8"``
        without photos, or photos with another dtype; an ``image_size`` that is not two positive
        integers; a ``prefix`` without a name, or one whose files another process writes now.
    ImageError
        A photo for calibration cannot be read.
    DeployError
        The network is not a detector; a parameter has no values, is not finite or not float32; the
        folder cannot be made; the files, or temporary ones, could not be written completely; a
        layer has no form in ONNX; a package is missing; or OpenVINO finds in int8 less than half of
        what it finds in float32 on the first of the photos.
    """
    prefix = os.fspath(prefix)
    bundle_paths(prefix)
    _check_format(format, dtype)
    _check_image_size(image_size)
    require_detector(net, "spec.classes", "spec.config", "preprocess")
    require_float32_weights(net)
    photos = _calibration_photos(dtype, calibration)
    tools = None if format == "mxnet" else (load_writer(), load_maker(format, dtype))
    # Before the work, so that a wrong name does not cost it.
    make_bundle_folder(prefix)
    with _levels_apart(net, tools is not None):
        graph = _inference_graph(net, image_size or TRACED_SIZE)
    manifest = _manifest(net, graph, image_size, dtype, len(photos))
    graph = _Graph(*convolve_before_roi_align(*graph, dtype))
    if dtype == "float32":
        graph = _Graph(*multiply_less(*graph))
    inputs = _NetworkInputs(photos, net.preprocess)
    if tools is None:
        graph = _Graph(replace_shape_only_ops(graph.symbol), graph.values)
        graph = _convert(graph, dtype, inputs)
        write_bundle(prefix, graph.symbol, graph.values, manifest)
    else:
        model_bytes, make_files = tools
        content, narrow = _onnx_content(graph, manifest, model_bytes)
        with _temporary_files():
            contents = make_files(content, dtype, narrow, inputs)
        write_contents(prefix, contents, manifest)
    # JSON turns tuples into lists. The caller gets what a reader of the file gets.
    return json.loads(json.dumps(manifest))


def _manifest(
    net: mx.gluon.HybridBlock,
    graph: _Graph,
    image_size: Optional[Tuple[int, int]],
    dtype: str,
    num_photos: int,
) -> Manifest:
    """Describe an exported network; the checksums of its files are still missing."""
    spec = dataclasses.asdict(net.spec)
    return {
        "classes": list(net.spec.classes),
        "dtype": dtype,
        "input": {
            "name": "data",
            "layout": "NCHW",
            "color": net.preprocess.order,
            "dtype": "float32",
            "image_size": None if image_size is None else [int(side) for side in image_size],
        },
        "preprocess": dataclasses.asdict(net.preprocess),
        "outputs": list(OUTPUTS[: len(graph.symbol.list_outputs())]),
        "config": spec["config"],
        "provenance": {
            "spec": spec,
            "versions": {
                "gluonnorm": __version__,
                "mxnet": mx.__version__,
                "numpy": np.__version__,
            },
            "calibrated_on": num_photos,
            "sha256": {"weights": _weights_digest(graph)},
        },
    }


def _weights_digest(graph: _Graph) -> str:
    """Compute a checksum of all values of a graph, whatever their names and their order.

    Names count the networks of a process, so the same checkpoint may have others in another one.
    The order is that of the operators, which differs between the formats.
    """
    digests = []
    for name in graph.symbol.list_inputs():
        if name in graph.values:
            content = graph.values[name].asnumpy().tobytes()
            digests.append(hashlib.sha256(content).digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


@contextlib.contextmanager
def _levels_apart(net: mx.gluon.HybridBlock, levels_apart: bool) -> Iterator[None]:
    """Let a detector with a pyramid read RoIs level by level while it is traced."""
    if not levels_apart or not hasattr(net, "levels_apart"):
        yield
        return
    net.levels_apart = True
    try:
        yield
    finally:
        net.levels_apart = False


def _onnx_content(
    graph: _Graph, manifest: Manifest, model_bytes: ModelWriter
) -> Tuple[bytes, Set[str]]:
    """Convert a graph to the content of an ONNX file, with the manifest in its metadata.

    Return also the names of the nodes that other types than float32 are for.
    """
    symbol = with_candidates(graph.symbol)
    names = [*manifest["outputs"], CANDIDATES_OUTPUT][: len(symbol.list_outputs())]
    converted = convert_graph(symbol, graph.values, {"data": DATA_SHAPE}, names)
    value_shapes = {name: value.shape for name, value in graph.values.items()}
    _, shapes, _ = symbol.infer_shape(data=DATA_SHAPE, **value_shapes)
    content = model_bytes(
        converted,
        inputs={"data": ("batch", 3, "height", "width")},
        outputs={name: ("batch", *shape[1:]) for name, shape in zip(names, shapes)},
        metadata={MANIFEST_KEY: json.dumps(manifest)},
    )
    return content, narrow_nodes(symbol, converted)


@contextlib.contextmanager
def _temporary_files() -> Iterator[None]:
    """Say where room is missing if the tools cannot write their temporary files."""
    try:
        yield
    except OSError as error:
        raise DeployError(
            f"no temporary file could be written in {tempfile.gettempdir()} "
            f"({error.strerror or first_line(error)}); make room there, or name another folder in "
            "the environment variable TMPDIR"
        ) from error


def _check_format(format: str, dtype: str) -> None:
    """Raise InputError unless a network can be exported in a format and a dtype."""
    if format not in FORMATS:
        suggestion = did_you_mean(format, FORMATS) or ";"
        raise InputError(f"format is {format!r}{suggestion} give one of {', '.join(FORMATS)}")
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; a network can be exported in {', '.join(DTYPES)}")
    if dtype not in FORMATS[format]:
        others = [name for name, dtypes in FORMATS.items() if dtype in dtypes]
        raise InputError(
            f"dtype is {dtype!r} with format {format!r}, which has {', '.join(FORMATS[format])}; "
            f"give one of these, or format {' or '.join(map(repr, others))}"
        )


def _check_image_size(image_size: Any) -> None:
    """Raise InputError unless an image size is None or two positive integers."""
    if image_size is None:
        return
    is_pair = isinstance(image_size, (tuple, list)) and len(image_size) == 2
    if not is_pair or not all(map(is_positive_integer, image_size)):
        raise InputError(
            f"image_size is {image_size!r}; want (height, width) in whole pixels, "
            "or None for any size"
        )


def _calibration_photos(dtype: str, calibration: Union[None, PathLike, Photos]) -> Sequence[Photo]:
    """List the photos for calibration, and read each of them once to check it."""
    if dtype != "int8":
        if calibration is not None:
            raise InputError(
                f"calibration is given with dtype {dtype!r}, which needs none; "
                "leave it out, or export in 'int8'"
            )
        return []
    photos: Sequence[Photo] = []
    if isinstance(calibration, (str, os.PathLike)):
        photos = image_files(calibration)
    elif calibration is not None:
        refuse_single_photo(calibration)
        photos = list(calibration)
    if not len(photos):
        raise InputError(
            "int8 is calibrated on photos, and there are none; give calibration, a "
            "folder or a list of some 30 photos like those the network will see"
        )
    # A bad photo is an error now, and not after many runs of the network.
    for photo in photos:
        load_photo(photo)
    return photos


def _inference_graph(net: mx.gluon.HybridBlock, image_size: Tuple[int, int]) -> _Graph:
    """Trace a network, check its values, and fold its norms."""
    try:
        symbol, values = trace(net, image_size)
    except (InputError, RuntimeError) as error:
        raise DeployError(f"{error}, before it is exported") from error
    broken = [name for name, value in values.items() if not np.isfinite(value.asnumpy()).all()]
    if broken:
        raise DeployError(
            f"{len(broken)} parameters hold NaN or infinity, the first is "
            f"{broken[0]}; export an earlier checkpoint"
        )
    return _Graph(*fold_graph(symbol, values))


def _convert(graph: _Graph, dtype: str, inputs: Iterable[np.ndarray]) -> _Graph:
    """Convert a float32 graph to the number format in which it will compute."""
    if dtype == "bfloat16":
        return _Graph(*to_bfloat16(graph.symbol, graph.values))
    if dtype == "int8":
        return _Graph(*to_int8(graph.symbol, graph.values, inputs))
    return _Graph(*join_output_layers(graph.symbol, graph.values))


class _NetworkInputs:
    """The network's inputs for photos, (1, 3, h, w) each, prepared whenever they are read."""

    def __init__(self, photos: Sequence[Photo], preprocess: Preprocess) -> None:
        self._photos = photos
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self._photos)

    def __iter__(self) -> Iterator[np.ndarray]:
        for photo in tqdm(self._photos, desc="calibrating", unit="photo", leave=False):
            yield prepare(photo, self._preprocess).pixels[None]
