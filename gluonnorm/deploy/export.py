"""A network as MXNet symbol files: write them, and read them back without any of the package's network code."""
import dataclasses
import json
import os
import warnings
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from gluonnorm import __version__
from gluonnorm.deploy.bundle import DeployError, read, write
from gluonnorm.graph.executor_safe import replace_shape_only_ops
from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.output_layers import join_output_layers
from gluonnorm.graph.precision import to_bfloat16, to_int8
from gluonnorm.graph.trace import hybridize_for_inference, trace
from gluonnorm.photos.files import image_files
from gluonnorm.photos.prepare import open_image, prepare
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
from tqdm import tqdm

DTYPES = ("float32", "bfloat16", "int8")
OUTPUTS = ("ids", "scores", "boxes", "masks")
Photo = Union[str, "os.PathLike[str]", np.ndarray]
Photos = Union[str, "os.PathLike[str]", Sequence[Photo]]


def export(
    net: mx.gluon.HybridBlock, prefix: str, image_size: Optional[Tuple[int, int]] = None, dtype: str = "float32",
    calibration: Optional[Photos] = None
) -> Dict[str, Any]:
    """Write ``<prefix>-symbol.json``, ``<prefix>-0000.params`` and ``<prefix>.json``.

    The first two load with ``mx.gluon.SymbolBlock.imports``, ``mx.mod.Module`` and the C predict API at any batch
    and image size; the third says what goes in and what comes out. Frozen norms are folded (``nn.fold``). All three
    are written aside first and moved into place at the end, so an export that fails leaves earlier files as they were.

    Parameters
    ----------
    net
        A detector with ``spec`` and ``preprocess``. It stays as it is: hybridized or not, on its contexts.
        Only shapes that wait for a first input are settled, by one forward pass.
    prefix
        Path and first part of the files' names; missing folders are made.
    image_size
        (height, width) of the network's input if it is always the same; written down for whoever binds memory
        ahead. None means that it varies.
    dtype
        What the network computes in. "float32" runs everywhere. "bfloat16" and "int8" run on the CPU alone, take and
        give float32, and keep the last layers in it (``deploy.formats``).
    calibration
        For "int8": photos like those it will see, a folder or a sequence of paths and arrays (H, W, 3) as ``Predictor``
        takes them. Some 30 to 100 do; each costs a run of the network.

    Returns
    -------
    The record, as written to ``<prefix>.json``:

    - ``classes``: names, in the order of the ids.
    - ``dtype``: as given.
    - ``input``: ``name``, ``layout``, ``colour`` (the order of the channels), ``dtype``, ``image_size`` (None: any).
    - ``preprocess``: the fields of ``types.Preprocess``. ``multiple`` is what the graph itself pads its input to:
      nobody need do it before.
    - ``outputs``: their names in order. Rows are sorted by score and padded with -1; boxes are in pixels of the input.
    - ``config``: thresholds and all other settings.
    - ``provenance``: the model's ``spec``, package ``versions``, ``sha256`` of the two other files, and how many photos
      it was calibrated on.

    Raises
    ------
    ValueError
        Unknown ``dtype``, "int8" without photos or photos without "int8", or an ``image_size`` that is not two positive
        whole numbers. Of these, ImageError for a photo that cannot be read.
    DeployError
        A parameter without values, a parameter that is not finite, or files that could not be written whole.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; a network can be exported in {', '.join(DTYPES)}")
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1 or any(s != int(s) for s in image_size)):
        raise ValueError(f"image_size is {image_size!r}; want (height, width) in whole pixels, or None for any size")
    photos = _photos(dtype, calibration)
    symbol, values = _graph(net, image_size)
    if dtype == "float32":
        symbol, values = join_output_layers(symbol, values)
    elif dtype == "bfloat16":
        symbol, values = to_bfloat16(symbol, values)
    else:
        symbol, values = to_int8(symbol, values, _inputs(photos, net.preprocess))
    spec = dataclasses.asdict(net.spec)
    record = {
        "classes": list(net.spec.classes),
        "dtype": dtype,
        "input": {"name": "data", "layout": "NCHW", "colour": net.preprocess.order, "dtype": "float32",
                  "image_size": None if image_size is None else [int(side) for side in image_size]},
        "preprocess": dataclasses.asdict(net.preprocess),
        "outputs": list(OUTPUTS[:len(symbol.list_outputs())]),
        "config": spec["config"],
        "provenance": {"spec": spec, "versions": {"gluonnorm": __version__, "mxnet": mx.__version__,
                                                  "numpy": np.__version__}, "calibrated_on": len(photos)},
    }
    write(prefix, symbol, values, record)
    return json.loads(json.dumps(record))  # tuples have become lists, as they will when it is read


def load(
    prefix: str, ctx: Union[mx.Context, Sequence[mx.Context]] = mx.cpu()
) -> Tuple[mx.gluon.SymbolBlock, Dict[str, Any]]:
    """Read what ``export`` wrote: the network as a hybridized block on ``ctx``, and the record described there.

    Its weights are fixed: on the CPU those changed after the first call may not count.

    Raises
    ------
    DeployError
        One of the three files is missing, is not what ``export`` wrote, or was altered since; or they do not belong
        together; or a format that needs the CPU is to run on another device; or there is no such device.
    ValueError
        ``ctx`` is no context.
    """
    symbol_file, params_file, record = read(prefix)
    devices = _contexts(ctx)
    on_cpu = all(device.device_type == "cpu" for device in devices)
    if record.get("dtype", "float32") != "float32" and not on_cpu:
        raise DeployError(f"{prefix} is of {record['dtype']}, which runs on the CPU alone, not on {devices}; "
                          "export in float32 for it")
    for device in devices:
        _try(device)
    with warnings.catch_warnings():  # MXNet wonders aloud about the input's type, then takes the parameters'
        warnings.filterwarnings("ignore", "Cannot decide type for the following arguments", UserWarning)
        try:
            symbol = mx.sym.load(str(symbol_file))
            if on_cpu:
                symbol = symbol.get_backend_symbol("MKLDNN")  # sums and relus become part of the convolution before
            block = mx.gluon.SymbolBlock(symbol, mx.sym.var(record["input"]["name"]))
            block.collect_params().load(str(params_file), ctx, cast_dtype=True, dtype_source="saved")
        except (AssertionError, KeyError, UnicodeDecodeError, mx.MXNetError) as error:  # MXNet quotes damaged bytes
            raise DeployError(f"{prefix}: symbol, parameters and record do not belong together "
                              f"({_one_line(error)}); export again") from error
    hybridize_for_inference(block)
    return block, record


def _contexts(ctx: Union[mx.Context, Sequence[mx.Context]]) -> List[mx.Context]:
    devices = [ctx] if isinstance(ctx, mx.Context) else list(ctx)
    if not all(isinstance(device, mx.Context) for device in devices):
        raise ValueError(f"ctx is {ctx!r}; want an mx.Context, such as mx.cpu() or mx.gpu(0), or a list of these")
    return devices


def _try(device: mx.Context) -> None:
    try:
        mx.nd.zeros(1, ctx=device).wait_to_read()
    except mx.MXNetError as error:
        raise DeployError(f"{device} cannot be used here ({_one_line(error)}); give another ctx, such as mx.cpu()"
                          ) from error


def _photos(dtype: str, calibration: Optional[Photos]) -> Sequence[Photo]:
    if dtype != "int8":
        if calibration is not None:
            raise ValueError(f"calibration is given with dtype {dtype!r}, which needs none; leave it out, or "
                             "export in 'int8'")
        return []
    if isinstance(calibration, (str, os.PathLike)):
        calibration = image_files(calibration)
    if calibration is None or not len(calibration):
        raise ValueError("int8 is calibrated on photos, and there are none; give calibration, a folder or a list of "
                         "some 30 photos like those the network will see")
    for photo in calibration:  # now, rather than after many runs of the network
        open_image(photo)
    return calibration


def _inputs(photos: Sequence[Photo], rules: Preprocess) -> Iterator[np.ndarray]:
    for photo in tqdm(photos, desc="calibrating", unit="photo", leave=False):
        yield prepare(photo, rules)[None]


def _graph(net: mx.gluon.HybridBlock,
           image_size: Optional[Tuple[int, int]]) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray]]:
    try:
        symbol, values = trace(net, image_size or (64, 64))
    except RuntimeError as error:
        raise DeployError(f"{error}, before it is exported") from error
    broken = [name for name, value in values.items() if not np.isfinite(value.asnumpy()).all()]
    if broken:
        raise DeployError(f"{len(broken)} parameters hold NaN or infinity, the first is {broken[0]}; "
                          "export an earlier checkpoint")
    symbol, values = fold_graph(symbol, values)
    return replace_shape_only_ops(symbol), values


def _one_line(error: Exception) -> str:
    """An error of MXNet, whose messages have a trace below them, or before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0]) if lines else type(error).__name__
