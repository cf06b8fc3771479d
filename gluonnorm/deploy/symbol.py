"""A network as MXNet symbol files: write them, and read them back without any of the package's network code."""
import dataclasses
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from gluonnorm import __version__

import mxnet as mx
import numpy as np

DTYPES = ("float32",)
OUTPUTS = ("ids", "scores", "boxes", "masks")
SUFFIXES = ("-symbol.json", "-0000.params", ".json")  # symbol, parameters, record: the order of writing


class DeployError(RuntimeError):
    """A network that cannot be exported, or exported files that are missing, altered or not ours."""


def export(
    net: mx.gluon.HybridBlock, prefix: str, image_size: Optional[Tuple[int, int]] = None, dtype: str = "float32"
) -> Dict[str, Any]:
    """Write ``<prefix>-symbol.json``, ``<prefix>-0000.params`` and ``<prefix>.json``.

    The first two load with ``mx.gluon.SymbolBlock.imports``, ``mx.mod.Module`` and the C predict API at any batch
    and image size; the third says what goes in and what comes out. All three are written aside first and moved
    into place at the end, so an export that fails leaves earlier files as they were.

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
        What the network computes in: one of ``DTYPES``.

    Returns
    -------
    The record, as written to ``<prefix>.json``:

    - ``classes``: names, in the order of the ids.
    - ``input``: ``name``, ``layout``, ``colour`` (the order of the channels), ``dtype``, ``image_size`` (None: any).
    - ``preprocess``: the fields of ``types.Preprocess``. ``multiple`` is what the graph itself pads its input to:
      nobody need do it before.
    - ``outputs``: their names in order. Rows are sorted by score and padded with -1; boxes are in pixels of the input.
    - ``config``: thresholds and all other settings.
    - ``provenance``: the model's ``spec``, package ``versions``, ``sha256`` of the two other files.

    Raises
    ------
    ValueError
        Unknown ``dtype``, or an ``image_size`` that is not two positive whole numbers.
    DeployError
        A parameter without values, a parameter that is not finite, or files that could not be written whole.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; a network can be exported in {', '.join(DTYPES)}")
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1 or any(s != int(s) for s in image_size)):
        raise ValueError(f"image_size is {image_size!r}; want (height, width) in whole pixels, or None for any size")
    symbol, parameters = _trace(net, image_size)
    spec = dataclasses.asdict(net.spec)
    record = {
        "classes": list(net.spec.classes),
        "input": {"name": "data", "layout": "NCHW", "colour": net.preprocess.order, "dtype": "float32",
                  "image_size": None if image_size is None else [int(side) for side in image_size]},
        "preprocess": dataclasses.asdict(net.preprocess),
        "outputs": list(OUTPUTS[:len(symbol.list_outputs())]),
        "config": spec["config"],
        "provenance": {"spec": spec, "versions": {"gluonnorm": __version__, "mxnet": mx.__version__,
                                                  "numpy": np.__version__}},
    }
    targets = _paths(prefix)
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=targets[0].parent, prefix=".export-") as folder:
        aside = [Path(folder, target.name) for target in targets]
        try:
            aside[0].write_text(symbol.tojson(), encoding="utf-8")
            mx.nd.save(str(aside[1]), parameters)
            whole = mx.nd.load(str(aside[1])).keys() == parameters.keys()  # on a full disk MXNet can fail silently
        except (OSError, mx.MXNetError):
            whole = False
        if not whole:
            raise DeployError(f"the files of {prefix} could not be written whole; is the disk full?")
        record["provenance"]["sha256"] = {"symbol": _sha256(aside[0]), "params": _sha256(aside[1])}
        aside[2].write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        for source, target in zip(aside, targets):
            os.replace(source, target)
    return json.loads(json.dumps(record))  # tuples have become lists, as they will when it is read


def load(
    prefix: str, ctx: Union[mx.Context, Sequence[mx.Context]] = mx.cpu()
) -> Tuple[mx.gluon.SymbolBlock, Dict[str, Any]]:
    """Read what ``export`` wrote: the network as a block on ``ctx``, and the record described there.

    Raises
    ------
    DeployError
        One of the three files is missing, is not what ``export`` wrote, or was altered since.
    """
    symbol_file, params_file, record_file = _paths(prefix)
    missing = [str(path) for path in (symbol_file, params_file, record_file) if not path.is_file()]
    if missing:
        raise DeployError(f"{' and '.join(missing)} missing; an exported network is three files: "
                          f"{', '.join(prefix + suffix for suffix in SUFFIXES)}")
    try:
        record = json.loads(record_file.read_text(encoding="utf-8"))
        checksums = record["provenance"]["sha256"]
        expected = [(symbol_file, checksums["symbol"]), (params_file, checksums["params"])]
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{record_file} is not the record of an exported network ({error!r}); "
                          "export again") from error
    for path, checksum in expected:
        if _sha256(path) != checksum:
            raise DeployError(f"{path} is not the file that {record_file} speaks of: its checksum differs; "
                              "copy all three files again, or export again")
    with warnings.catch_warnings():  # MXNet wonders aloud about the input's type, then takes the parameters'
        warnings.filterwarnings("ignore", "Cannot decide type for the following arguments", UserWarning)
        block = mx.gluon.SymbolBlock.imports(str(symbol_file), [record["input"]["name"]], str(params_file), ctx)
    return block, record


def _paths(prefix: str) -> Tuple[Path, Path, Path]:
    if not os.path.basename(prefix):
        raise ValueError(f"prefix is {prefix!r}; want a folder and a name, such as {os.path.join(prefix, 'model')!r}")
    symbol_file, params_file, record_file = (Path(f"{prefix}{suffix}") for suffix in SUFFIXES)
    return symbol_file, params_file, record_file


def _trace(
    net: mx.gluon.HybridBlock, image_size: Optional[Tuple[int, int]]
) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray]]:
    """The inference graph of ``net`` and the parameters in it, named as Gluon's own export names them.

    The graph comes from a call with a symbol, not from the block's cache: what the caller hybridized, and how, stays.
    """
    block_parameters = net.collect_params()
    try:
        values = {name: _value(parameter) for name, parameter in block_parameters.items()}
    except mx.gluon.parameter.DeferredInitializationError:
        height, width = image_size or (64, 64)
        net(mx.nd.zeros((1, 3, height, width), ctx=any_context(net)))
        values = {name: _value(parameter) for name, parameter in block_parameters.items()}
    symbol = mx.sym.Group(list(net(mx.sym.var("data"))))
    parameters = {}
    for kind, names in (("arg", symbol.list_arguments()), ("aux", symbol.list_auxiliary_states())):
        parameters.update({f"{kind}:{name}": values[name] for name in names if name != "data"})
    broken = [name for name, value in parameters.items() if not np.isfinite(value.asnumpy()).all()]
    if broken:
        raise DeployError(f"{len(broken)} parameters hold NaN or infinity, the first is {broken[0]}; "
                          "export an earlier checkpoint")
    return symbol, parameters


def _value(parameter: mx.gluon.Parameter) -> mx.nd.NDArray:
    """The parameter on the CPU, averaged over its contexts: running statistics differ between them."""
    try:
        copies = [copy.as_in_context(mx.cpu()) for copy in parameter.list_data()]
    except mx.gluon.parameter.DeferredInitializationError:
        raise
    except RuntimeError as error:
        raise DeployError(f"parameter {parameter.name} has no values; load weights or initialize the network "
                          "before it is exported") from error
    return mx.nd.add_n(*copies) / len(copies)


def any_context(net: mx.gluon.HybridBlock) -> mx.Context:
    """One context that the network's parameters are on: the first."""
    return next(iter(net.collect_params().values())).list_ctx()[0]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
