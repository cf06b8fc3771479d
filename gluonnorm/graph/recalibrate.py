"""Exact stored statistics for batch norms, from batches and not from the tail of training."""
import itertools
import json
from typing import Any, Dict, Iterable, List, NamedTuple

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock
from mxnet.gluon.parameter import DeferredInitializationError


class _Layer(NamedTuple):
    """One place where a live batch norm stands in the graph."""
    running_mean: str  # parameter names
    running_var: str
    mean: mx.sym.Symbol  # (C,) of its input
    var: mx.sym.Symbol


def recalibrate(net: HybridBlock, batches: Iterable[Any], num_batches: int = 200) -> List[str]:
    """Replace the stored statistics of every live ``BatchNorm``, ``SyncBatchNorm`` and ``SwitchNorm`` of a network.

    Running statistics trail behind weights that move, the more so with momentum 0.997. Here the weights stand still:
    ``running_mean = mean over batches of mean_b`` and ``running_var = mean over batches of (var_b + mean_b ** 2) -
    running_mean ** 2``, where mean_b and var_b are what the layer itself uses on batch b in training, behind layers
    that use batch statistics too (PreciseBN; Wu and Johnson, 2021, arXiv:2105.07576). Every batch counts the same.

    Nothing else changes: not other parameters, frozen norms (``frozen_bn``, ``global_bn``, ``freeze``), nor how the
    network is hybridized. It runs on the first of the network's devices; all get the result.

    Parameters
    ----------
    net
        An initialized block of one input, images. A norm that only works in training is out of its reach.
    batches
        Images (N, C, H, W) as ``NDArray``, or anything with such ``images``, as the loader gives. Use batches of
        the size trained with *on one device*, drawn as in training.
    num_batches
        How many to use at most; 200 is what PreciseBN and Switchable Norm's authors took.

    Returns
    -------
    Structural names of the layers that were set; empty, and no batch read, where the network has none.

    Raises
    ------
    ValueError
        No batch, ``num_batches`` below 1, or statistics that are not finite. Then nothing was changed.
    """
    if num_batches < 1:
        raise ValueError(f"recalibrate got num_batches {num_batches}; give at least 1, better 200")
    layers = _live_layers(net)
    if not layers:
        return []
    parameters = net.collect_params()
    totals: Dict[str, np.ndarray] = {}
    places: Dict[str, int] = {}  # a layer may stand in several
    run = None
    for batch in itertools.islice(batches, num_batches):
        images = getattr(batch, "images", batch)
        run = run or _Statistics(net, layers, images)
        for layer, mean, var in zip(layers, *run(images)):
            moments = np.stack([mean, var + mean ** 2])
            totals[layer.running_mean] = totals.get(layer.running_mean, 0) + moments
            places[layer.running_mean] = places.get(layer.running_mean, 0) + 1
    if run is None:
        raise ValueError(f"recalibrate got no batch for {len(layers)} norms; give at least one. An iterator that has "
                         "been read to its end is empty: make a new one")
    broken = [name for name, total in totals.items() if not np.isfinite(total).all()]
    if broken:
        raise ValueError(f"the statistics of {len(broken)} norms are not finite, the first is that of {broken[0]}; "
                         "look for NaN in the images and the weights. Nothing was changed")
    for layer in layers:
        mean, square = totals[layer.running_mean] / places[layer.running_mean]
        parameters[layer.running_mean].set_data(mx.nd.array(mean))
        parameters[layer.running_var].set_data(mx.nd.array(np.maximum(square - mean ** 2, 0)))
    return [name.rpartition(".")[0] for name, parameter in net._collect_params_with_prefix().items()
            if parameter.name in totals]


class _Statistics:
    """Images to the mean and variance of every layer's input, in training mode and with copies of what would move."""

    def __init__(self, net: HybridBlock, layers: List[_Layer], images: mx.nd.NDArray) -> None:
        parameters = net.collect_params()
        try:
            values = {name: parameter.list_data()[0] for name, parameter in parameters.items()}
        except DeferredInitializationError:
            net(images.as_in_context(next(iter(parameters.values())).list_ctx()[0]))
            values = {name: parameter.list_data()[0] for name, parameter in parameters.items()}
        outputs = mx.sym.Group([layer.mean for layer in layers] + [layer.var for layer in layers])
        stored = set(outputs.list_auxiliary_states())
        self._inputs = [None if name == "data" else values[name].copy() if name in stored else values[name]
                        for name in outputs.list_inputs()]
        self._context = next(iter(values.values())).context
        self._graph = mx.nd.CachedOp(outputs)

    def __call__(self, images: mx.nd.NDArray) -> List[List[np.ndarray]]:
        images = images.as_in_context(self._context)
        with autograd.train_mode():
            outputs = self._graph(*[images if value is None else value for value in self._inputs])
        arrays = [output.asnumpy().astype(np.float64) for output in outputs]
        return [arrays[:len(arrays) // 2], arrays[len(arrays) // 2:]]


def _live_layers(net: HybridBlock) -> List[_Layer]:
    """The batch norms with live statistics in the network's graph, those inside ``SwitchNorm`` among them.

    The graph comes from a call with a symbol, so hybridized blocks and those that were imported are no obstacle.
    """
    symbol = _alone(mx.sym.Group(_flat(net(mx.sym.var("data")))))
    stored = set(symbol.list_auxiliary_states())
    layers = []
    for node in symbol.get_internals():
        children = node.get_children()
        inputs = [] if children is None else children.list_outputs()
        if len(inputs) != 5 or not stored.issuperset(inputs[3:]) or node.attr("use_global_stats") in ("True", "1"):
            continue
        axis = int(node.attr("axis") or 1)
        data = mx.sym.cast(children[0], dtype="float32")
        mean = mx.sym.mean(data, axis=axis, exclude=True, keepdims=True)
        var = mx.sym.mean(mx.sym.square(mx.sym.broadcast_sub(data, mean)), axis=axis, exclude=True)
        layers.append(_Layer(inputs[3], inputs[4], mx.sym.reshape(mean, shape=(-1,)), var))
    return layers


def _alone(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The graph with batch norms of one device in place of synchronized ones, which would wait for the others."""
    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "_contrib_SyncBatchNorm":
            node["op"] = "BatchNorm"
            for name in ("ndev", "key"):
                node["attrs"].pop(name, None)
    return mx.sym.load_json(json.dumps(graph))


def _flat(outputs: Any) -> List[mx.sym.Symbol]:
    if isinstance(outputs, (list, tuple)):
        return [symbol for output in outputs for symbol in _flat(output)]
    return [outputs]
