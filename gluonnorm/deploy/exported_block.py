"""MXNet's files of an exported network as a block of Gluon, without any network code."""

import contextlib
import os
import warnings
from typing import Iterator, List, Sequence, Tuple, Union

from gluonnorm.deploy.bundle import Bundle, DeployError, Manifest, read_bundle
from gluonnorm.errors import InputError, first_line
from gluonnorm.graph.trace import hybridize_for_inference
from gluonnorm.types import PathLike

import mxnet as mx


def load(
    prefix: PathLike, ctx: Union[mx.Context, Sequence[mx.Context]] = mx.cpu()
) -> Tuple[mx.gluon.SymbolBlock, Manifest]:
    """Load an exported network as a hybridized block, and its manifest.

    The weights are fixed: on the CPU, values that are changed after the first call may have no
    effect.

    Parameters
    ----------
    prefix : str or path-like
        Path and first part of the files' names, as given to ``export``.
    ctx : mx.Context or sequence of mx.Context
        Where the network's parameters will be.

    Returns
    -------
    block : mx.gluon.SymbolBlock
        The network.
    manifest : dict
        See ``export``.

    Raises
    ------
    DeployError
        One of the three files is missing, was altered, or is not a file of an exported network; the
        files do not belong together; the format runs only on the CPU and ``ctx`` is another device;
        or there is no such device.
    InputError
        ``ctx`` is not a context.
    """
    prefix = os.fspath(prefix)
    bundle = read_bundle(prefix)
    devices = _device_list(ctx)
    on_cpu = all(device.device_type == "cpu" for device in devices)
    dtype = bundle.manifest.get("dtype", "float32")
    if dtype != "float32" and not on_cpu:
        raise DeployError(
            f"{prefix} is of {dtype}, which runs on the CPU alone, not on {devices}; "
            "export in float32 for it"
        )
    for device in devices:
        _check_device(device)
    try:
        with classic_arrays():
            block = _build_block(bundle, devices, on_cpu)
    # MXNet's messages quote bytes of damaged files, which can raise UnicodeDecodeError.
    except (AssertionError, KeyError, UnicodeDecodeError, mx.MXNetError) as error:
        raise DeployError(
            f"{prefix}: symbol, parameters and manifest do not belong together "
            f"({first_line(error)}); export again"
        ) from error
    hybridize_for_inference(block)
    return block, bundle.manifest


@contextlib.contextmanager
def classic_arrays() -> Iterator[None]:
    """Let MXNet work with ``mx.nd`` arrays, also in a program that has called ``npx.set_np()``.

    Detectors are made of the operators of ``mx.nd``. With NumPy's arrays MXNet refuses their files,
    and the outputs of their layers.
    """
    # MXNet refuses the opposite order.
    with mx.util.np_array(False), mx.util.np_shape(False):
        yield


def _build_block(bundle: Bundle, devices: List[mx.Context], on_cpu: bool) -> mx.gluon.SymbolBlock:
    """Build the block of a graph, and load its parameters."""
    symbol = mx.sym.load(str(bundle.symbol_file))
    if on_cpu:
        # oneDNN then computes sums and relus as a part of the convolution before them.
        symbol = symbol.get_backend_symbol("MKLDNN")
    with warnings.catch_warnings():
        # SymbolBlock warns that it cannot infer the types of parameters. It does not need to: they
        # take the types of the saved values.
        warnings.filterwarnings(
            "ignore", "Cannot decide type for the following arguments", UserWarning
        )
        block = mx.gluon.SymbolBlock(symbol, mx.sym.var(bundle.manifest["input"]["name"]))
        block.collect_params().load(
            str(bundle.params_file), devices, cast_dtype=True, dtype_source="saved"
        )
    return block


def _device_list(ctx: Union[mx.Context, Sequence[mx.Context]]) -> List[mx.Context]:
    """Turn one context or several into a list."""
    devices = [ctx] if isinstance(ctx, mx.Context) else list(ctx)
    if not devices or not all(isinstance(device, mx.Context) for device in devices):
        raise InputError(
            f"ctx is {ctx!r}; want an mx.Context, such as mx.cpu() or mx.gpu(0), or a list of these"
        )
    return devices


def _check_device(device: mx.Context) -> None:
    """Raise DeployError if MXNet cannot compute on a device."""
    try:
        mx.nd.zeros(1, ctx=device).wait_to_read()
    except mx.MXNetError as error:
        raise DeployError(
            f"{device} cannot be used here ({first_line(error)}); "
            "give another ctx, such as mx.cpu()"
        ) from error
