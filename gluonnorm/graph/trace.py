"""Trace a network into its graph and the values of its variables, and build a network of them."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from gluonnorm.errors import InputError

import mxnet as mx
from mxnet.gluon import HybridBlock
from mxnet.gluon.parameter import DeferredInitializationError

# Values of a graph's variables by name.
Values = Dict[str, mx.nd.NDArray]


def trace(net: HybridBlock, size: Tuple[int, int] = (64, 64)) -> Tuple[mx.sym.Symbol, Values]:
    """Trace the inference graph of a network with one input, and collect its parameters.

    The graph comes from a call with a symbol, not from the cache of a hybridized block. The
    network remains hybridized as it was.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        A network with values. Its input is an image, (N, 3, H, W).
    size : tuple of int
        (height, width) of an image for a forward pass, which is needed if shapes of parameters
        wait for the first input.

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        The graph. Its input is called "data".
    values : dict of str to mxnet.ndarray.NDArray
        Values of the parameters that the graph reads, by name, on the CPU. Values that differ
        between contexts, such as running statistics, are averaged.

    Raises
    ------
    InputError
        A parameter has no values.
    """
    parameters = net.collect_params()
    try:
        values = {name: _cpu_value(parameter) for name, parameter in parameters.items()}
    except DeferredInitializationError:
        net(mx.nd.zeros((1, 3, *size), ctx=contexts(net)[0]))
        values = {name: _cpu_value(parameter) for name, parameter in parameters.items()}
    with norms_for_inference(net):
        outputs = net(mx.sym.var("data"))
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    inputs = symbol.list_inputs()
    return symbol, {name: value for name, value in values.items() if name in inputs}


def contexts(net: HybridBlock) -> List[mx.Context]:
    """List the devices that hold the parameters of a network.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        Any network.

    Returns
    -------
    list of mxnet.Context
        The devices of the first parameter; the CPU for a network without parameters.
    """
    for parameter in net.collect_params().values():
        return parameter.list_ctx()
    return [mx.cpu()]


def hybridize_for_inference(net: HybridBlock) -> None:
    """Hybridize a network for inputs of changing size, in the best way for its device.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        Any network; it is hybridized in place.
    """
    # On the CPU, a static graph keeps oneDNN's copies of the weights and its own buffers between
    # calls. On a GPU, MXNet would also compile kernels for a static graph, and that fails on
    # devices that are newer than MXNet's CUDA.
    on_cpu = all(device.device_type == "cpu" for device in contexts(net))
    net.hybridize(static_alloc=on_cpu, static_shape=on_cpu)


def inference_block(symbol: mx.sym.Symbol, values: Values, ctx: Any) -> mx.gluon.SymbolBlock:
    """Build a network of a graph and the values of its variables, in which nothing learns.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        A graph whose input is called "data".
    values : dict of str to mxnet.ndarray.NDArray
        Values of all other variables by name.
    ctx : mxnet.Context or list of mxnet.Context
        Where the network's parameters will be.

    Returns
    -------
    mxnet.gluon.SymbolBlock
        The network.
    """
    net = mx.gluon.SymbolBlock(symbol, mx.sym.var("data"))
    for name, parameter in net.collect_params().items():
        parameter.grad_req = "null"
        parameter.shape = values[name].shape
        parameter.dtype = values[name].dtype
        parameter.initialize("zeros", ctx)
        parameter.set_data(values[name])
    return net


def training_block(
    symbol: mx.sym.Symbol,
    inputs: Sequence[mx.sym.Symbol],
    parameters: mx.gluon.ParameterDict,
    **settings: Any,
) -> mx.gluon.SymbolBlock:
    """Build a hybridized block of a graph, on parameters that exist already.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph.
    inputs : sequence of mxnet.symbol.Symbol
        Its inputs, in the order in which the block takes them.
    parameters : mxnet.gluon.ParameterDict
        The parameters of all other variables.
    **settings
        Arguments of ``HybridBlock.hybridize``.

    Returns
    -------
    mxnet.gluon.SymbolBlock
        The block; its call returns an array, or a list of several.
    """
    block = mx.gluon.SymbolBlock(list(symbol), list(inputs), params=parameters)
    block.hybridize(**settings)
    return block


def as_list(outputs: Any) -> List[mx.nd.NDArray]:
    """Put the single output of a block into a list, as its several outputs are.

    Parameters
    ----------
    outputs : mxnet.ndarray.NDArray or list of mxnet.ndarray.NDArray
        What a block returned.

    Returns
    -------
    list of mxnet.ndarray.NDArray
        The outputs.
    """
    return outputs if isinstance(outputs, list) else [outputs]


def _cpu_value(parameter: mx.gluon.Parameter) -> mx.nd.NDArray:
    """Copy a parameter to the CPU, averaged over its devices."""
    try:
        copies = [copy.as_in_context(mx.cpu()) for copy in parameter.list_data()]
    except DeferredInitializationError:
        # This error is a RuntimeError as well. The caller handles it by a forward pass.
        raise
    except RuntimeError as error:
        raise InputError(
            f"parameter {parameter.name} has no values; "
            "load weights or initialize the network first"
        ) from error
    if len(copies) == 1:
        return copies[0].copy()
    return mx.nd.add_n(*copies) / len(copies)


@contextmanager
def norms_for_inference(net: HybridBlock) -> Iterator[None]:
    """Switch norms with statistics of the image to their operators for inference.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        A network, which is traced meanwhile.
    """
    norms: List[HybridBlock] = []

    def collect(layer: HybridBlock) -> None:
        if hasattr(layer, "for_inference"):
            norms.append(layer)

    net.apply(collect)
    try:
        for norm in norms:
            norm.for_inference = True
        yield
    finally:
        for norm in norms:
            norm.for_inference = False
