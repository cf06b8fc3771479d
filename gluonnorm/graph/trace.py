"""From a network to its graph and the values of its variables, and back to a network."""
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock


def trace(net: HybridBlock, size: Tuple[int, int] = (64, 64)) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray]]:
    """The inference graph of a network with one input, "data", and the values of its parameters on the CPU.

    The graph comes from a call with a symbol, not from the block's cache: what the caller hybridized, and how, stays.
    Values that differ between contexts (running statistics) are averaged. Shapes that wait for a first input are
    settled by a forward pass of an image of ``size``. Raises RuntimeError for a parameter without values.
    """
    parameters = net.collect_params()
    try:
        values = {name: _value(parameter) for name, parameter in parameters.items()}
    except mx.gluon.parameter.DeferredInitializationError:
        net(mx.nd.zeros((1, 3, *size), ctx=contexts(net)[0]))
        values = {name: _value(parameter) for name, parameter in parameters.items()}
    with _for_inference(net):
        outputs = net(mx.sym.var("data"))
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    needed = symbol.list_inputs()
    return symbol, {name: value for name, value in values.items() if name in needed}


def contexts(net: HybridBlock) -> List[mx.Context]:
    """Where the parameters of a network are; the CPU for one without any."""
    return next((parameter.list_ctx() for parameter in net.collect_params().values()), [mx.cpu()])


def hybridize_for_inference(net: HybridBlock) -> None:
    """Hybridize a network whose inputs may change in size, as is best where its parameters are.

    On the CPU static graphs keep oneDNN's copies of the weights and their own buffers from call to call. On a GPU MXNet
    would also compile kernels for them, and fails on devices newer than its CUDA.
    """
    on_cpu = all(device.device_type == "cpu" for device in contexts(net))
    net.hybridize(static_alloc=on_cpu, static_shape=on_cpu)


def block(symbol: mx.sym.Symbol, values: Dict[str, mx.nd.NDArray], ctx: Any) -> mx.gluon.SymbolBlock:
    """A network of this graph, whose input is "data", and these values, on ``ctx``. Nothing of it learns."""
    net = mx.gluon.SymbolBlock(symbol, mx.sym.var("data"))
    for name, parameter in net.collect_params().items():
        parameter.grad_req = "null"
        parameter.shape, parameter.dtype = values[name].shape, values[name].dtype
        parameter.initialize("zeros", ctx)
        parameter.set_data(values[name])
    return net


def _value(parameter: mx.gluon.Parameter) -> mx.nd.NDArray:
    try:
        copies = [copy.as_in_context(mx.cpu()) for copy in parameter.list_data()]
    except mx.gluon.parameter.DeferredInitializationError:
        raise
    except RuntimeError as error:
        raise RuntimeError(f"parameter {parameter.name} has no values; load weights or initialize the network "
                           "first") from error
    return copies[0].copy() if len(copies) == 1 else mx.nd.add_n(*copies) / len(copies)


@contextmanager
def _for_inference(net: HybridBlock) -> Iterator[None]:
    """Norms that look at the image in their form for inference."""
    layers: List[HybridBlock] = []
    net.apply(lambda layer: layers.append(layer) if hasattr(layer, "for_inference") else None)
    try:
        for layer in layers:
            layer.for_inference = True
        yield
    finally:
        for layer in layers:
            layer.for_inference = False
