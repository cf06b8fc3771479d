"""Compute the stored statistics of batch norms exactly, as averages over batches (PreciseBN)."""

import itertools
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from gluonnorm.errors import InputError
from gluonnorm.graph.nodes import BATCH_NORMS, Graph

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock
from mxnet.gluon.parameter import DeferredInitializationError


def recalibrate(net: HybridBlock, batches: Iterable[Any], num_batches: int = 200) -> List[str]:
    """Replace the stored statistics of all live batch norms by averages over batches.

    Live norms are ``BatchNorm``, ``SyncBatchNorm`` and ``SwitchNorm`` that use the statistics of
    the batch in training. Running statistics lag behind weights that change, the more so with
    momentum 0.997. Here the weights do not change: ``running_mean = mean over batches of mean_b``
    and ``running_var = mean over batches of (var_b + mean_b ** 2) - running_mean ** 2``. mean_b
    and var_b are what the layer uses on batch b in training, with batch statistics in the layers
    before it too (PreciseBN; Wu and Johnson, 2021, arXiv:2105.07576). All batches have the same
    weight.

    Other parameters, frozen norms (``frozen_bn``, ``global_bn``, ``freeze``) and hybridization
    remain as they are. The network runs on its first device, and all its devices get the result.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        An initialized block with one input, images. Norms inside a branch that only runs in
        training are not reached.
    batches : iterable
        Images (N, C, H, W) as ``NDArray``, or objects with such an attribute ``images``, as the
        loader gives them. Use batches of the size that *one device* is trained with, sampled as in
        training.
    num_batches : int
        How many batches to use at most. PreciseBN and the authors of Switchable Norm use 200.

    Returns
    -------
    list of str
        Structural names of the layers whose statistics were set, "" for ``net`` itself. Without
        live norms the list is empty, and no batch is read.

    Raises
    ------
    InputError
        There is no batch, ``num_batches`` is below 1, or statistics are not finite. The network
        is then unchanged.

    Examples
    --------
    >>> net = mx.gluon.nn.BatchNorm(in_channels=3)
    >>> net.initialize()
    >>> recalibrate(net, [mx.nd.full((2, 3, 4, 4), 5)])
    ['']
    >>> net.running_mean.data().asnumpy()
    array([5., 5., 5.], dtype=float32)
    """
    if num_batches < 1:
        raise InputError(f"recalibrate got num_batches {num_batches}; give at least 1, better 200")
    norms = _live_norms(net)
    if not norms:
        return []
    moments = _average_moments(net, norms, itertools.islice(batches, num_batches))
    not_finite = [name for name, array in moments.items() if not np.isfinite(array).all()]
    if not_finite:
        raise InputError(
            f"the statistics of {len(not_finite)} norms are not finite, the first is that of "
            f"{not_finite[0]}; look for NaN in the images and the weights. Nothing was changed"
        )
    parameters = net.collect_params()
    for norm in norms:
        mean, mean_square = moments[norm.running_mean]
        var = np.maximum(mean_square - mean**2, 0)
        parameters[norm.running_mean].set_data(mx.nd.array(mean))
        parameters[norm.running_var].set_data(mx.nd.array(var))
    layer_names = []
    for name, parameter in net._collect_params_with_prefix().items():
        if parameter.name in moments:
            layer_names.append(name.rpartition(".")[0])
    return layer_names


def has_live_norms(net: HybridBlock) -> bool:
    """Tell whether a network has norms whose running statistics :func:`recalibrate` would set.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        A network with one input, (N, 3, H, W).

    Returns
    -------
    bool
        False if every norm is frozen, or of a type without running statistics.
    """
    return bool(_live_norms(net))


class _LiveNorm(NamedTuple):
    """One use of a live batch norm in the graph; a layer that is used twice has two.

    Attributes
    ----------
    running_mean, running_var : str
        Names of its parameters.
    batch_mean, batch_var : mxnet.symbol.Symbol
        (C,), the statistics of its input.
    """

    running_mean: str
    running_var: str
    batch_mean: mx.sym.Symbol
    batch_var: mx.sym.Symbol


def _live_norms(net: HybridBlock) -> List[_LiveNorm]:
    """Find the batch norms with live statistics in a network, including those of ``SwitchNorm``.

    The graph comes from a call with a symbol, so hybridized and imported blocks work as well.
    """
    outputs = _flatten(net(mx.sym.var("data")))
    graph = Graph.read(mx.sym.Group(outputs))
    _unsynchronize(graph)
    nodes = []
    for node in graph.nodes():
        if node.op in BATCH_NORMS and not node.flag("use_global_stats"):
            nodes.append(node)
    if not nodes:
        return []

    norm_inputs = Graph([node.inputs[0] for node in nodes]).symbol()
    norms = []
    for index, node in enumerate(nodes):
        mean, var = _mean_and_variance(norm_inputs[index], axis=int(node.attrs.get("axis", "1")))
        _, _, _, (running_mean, _), (running_var, _) = node.inputs
        norms.append(_LiveNorm(running_mean.name, running_var.name, mean, var))
    return norms


def _unsynchronize(graph: Graph) -> None:
    """Replace synchronized batch norms by those of one device.

    A synchronized norm would wait for the other devices, and only one device runs here.
    """
    for node in graph.nodes():
        if node.op == "_contrib_SyncBatchNorm":
            node.op = "BatchNorm"
            node.attrs.pop("ndev", None)
            node.attrs.pop("key", None)


def _mean_and_variance(x: mx.sym.Symbol, axis: int) -> Tuple[mx.sym.Symbol, mx.sym.Symbol]:
    """Compute the mean and the variance, (C,) float32, over all axes except that of channels."""
    x = mx.sym.cast(x, dtype="float32")
    mean = mx.sym.mean(x, axis=axis, exclude=True, keepdims=True)
    squares = mx.sym.square(mx.sym.broadcast_sub(x, mean))
    var = mx.sym.mean(squares, axis=axis, exclude=True)
    return mx.sym.reshape(mean, shape=(-1,)), var


def _average_moments(
    net: HybridBlock, norms: List[_LiveNorm], batches: Iterable[Any]
) -> Dict[str, np.ndarray]:
    """Average the mean and the mean square of each norm's input, (2, C), over all batches.

    The result is by the name of the norm's running mean. Raise InputError without any batch.
    """
    totals: Dict[str, np.ndarray] = {}
    counts: Dict[str, int] = {}
    statistics: Optional[_BatchStatistics] = None
    for batch in batches:
        images = getattr(batch, "images", batch)
        if statistics is None:
            statistics = _BatchStatistics(net, norms, images)
        means, variances = statistics.compute(images)
        for norm, mean, var in zip(norms, means, variances):
            moments = np.stack([mean, var + mean**2])
            totals[norm.running_mean] = totals.get(norm.running_mean, 0) + moments
            counts[norm.running_mean] = counts.get(norm.running_mean, 0) + 1
    if statistics is None:
        raise InputError(
            f"recalibrate got no batch for {len(norms)} norms; give at least one. "
            "An iterator that has been read to its end is empty: make a new one"
        )
    return {name: total / counts[name] for name, total in totals.items()}


class _BatchStatistics:
    """Compute the statistics of all norms on a batch, in training mode.

    The network does not change: the graph moves copies of its stored statistics.
    """

    def __init__(self, net: HybridBlock, norms: List[_LiveNorm], images: mx.nd.NDArray) -> None:
        values = _values_on_first_device(net, images)
        means = [norm.batch_mean for norm in norms]
        variances = [norm.batch_var for norm in norms]
        symbol = mx.sym.Group(means + variances)
        stored_statistics = set(symbol.list_auxiliary_states())
        # The inputs of the graph in order, with None in the place of the images.
        self._inputs: List[Optional[mx.nd.NDArray]] = []
        for name in symbol.list_inputs():
            if name == "data":
                self._inputs.append(None)
            elif name in stored_statistics:
                self._inputs.append(values[name].copy())
            else:
                self._inputs.append(values[name])
        self._num_norms = len(norms)
        self._context = next(iter(values.values())).context
        self._graph = mx.nd.CachedOp(symbol)

    def compute(self, images: mx.nd.NDArray) -> Tuple[List[np.ndarray], List[np.ndarray]]:
        """Compute the mean and the variance of each norm's input, (C,) float64."""
        images = images.as_in_context(self._context)
        inputs = [images if value is None else value for value in self._inputs]
        with autograd.train_mode():
            outputs = self._graph(*inputs)
        arrays = [output.asnumpy().astype(np.float64) for output in outputs]
        return arrays[: self._num_norms], arrays[self._num_norms :]


def _values_on_first_device(net: HybridBlock, images: mx.nd.NDArray) -> Dict[str, mx.nd.NDArray]:
    """Return the parameters' values on their first device, settled by a forward pass if needed."""
    parameters = net.collect_params()
    try:
        return {name: parameter.list_data()[0] for name, parameter in parameters.items()}
    except DeferredInitializationError:
        first_parameter = next(iter(parameters.values()))
        net(images.as_in_context(first_parameter.list_ctx()[0]))
        return {name: parameter.list_data()[0] for name, parameter in parameters.items()}


def _flatten(outputs: Any) -> List[mx.sym.Symbol]:
    """List the symbols in nested lists and tuples."""
    if not isinstance(outputs, (list, tuple)):
        return [outputs]
    symbols = []
    for output in outputs:
        symbols.extend(_flatten(output))
    return symbols
