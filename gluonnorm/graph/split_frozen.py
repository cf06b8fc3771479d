"""Split a block for training into a frozen graph without autograd and a trainable graph."""

from typing import Any, List, NamedTuple, Optional, Set, Tuple

from gluonnorm.graph.layer_casts import cast_layers
from gluonnorm.graph.nodes import BATCH_NORMS, VARIABLE, Edge, Graph, Node
from gluonnorm.graph.norm_after_conv import (
    ChannelNorm,
    has_bias,
    is_only_reader,
    match_channel_norm,
)
from gluonnorm.graph.trace import as_list, training_block

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock


class FrozenSplit:
    """Run the frozen part of a block without autograd, and only the rest under it.

    MXNet keeps every intermediate array of a recorded graph until the backward pass, also those
    of frozen layers, where no gradient is ever asked for. This class traces the block once and
    splits the graph in front of the first operations that depend on a trainable parameter. In the
    trainable part, frozen norms become part of the weights: see :func:`scale_weights`.

    Call it with one array, (N, 3, H, W) for a detector's backbone. It returns a list of arrays,
    the outputs of the block, and trains the block's own parameters. The input gets no gradient.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
        A block that takes one array and returns several. Which parameters learn (``grad_req``) and
        which batch norms use stored statistics is read once, now: make another split after a
        change. Values may change at any time.
    dtype : str
        What convolutions and fully connected layers compute in: "float32" leaves them as they are;
        for others see :func:`gluonnorm.graph.layer_casts.cast_layers`.
    **settings
        Arguments of ``HybridBlock.hybridize`` for both graphs.
    """

    def __init__(self, block: HybridBlock, dtype: str = "float32", **settings: Any) -> None:
        parameters = block.collect_params()
        data = mx.sym.var("data", dtype=_smallest_dtype(parameters))
        graph = Graph.read(mx.sym.Group(list(block(data))))
        trainable_parameters = _trainable_names(parameters)
        scale_weights(graph, trainable_parameters)
        if dtype != "float32":
            cast_layers(graph, dtype)
        trainable_nodes = _trainable_nodes(graph, trainable_parameters)
        cut = _cut_edges(graph, trainable_nodes)

        # The outputs of the frozen graph are first the inputs of the trainable graph, then those
        # outputs of the block that do not depend on a trainable parameter.
        frozen_edges = list(cut.edges)
        trainable_edges: List[Edge] = []
        # For each output of the block: whether the trainable graph computes it, and its position
        # among the outputs of that graph.
        self._output_places: List[Tuple[bool, int]] = []
        for node, output in graph.outputs:
            is_trainable = id(node) in trainable_nodes
            edges = trainable_edges if is_trainable else frozen_edges
            self._output_places.append((is_trainable, len(edges)))
            edges.append((node, output))

        # The frozen symbol is made first, because the next step changes the nodes.
        frozen_symbol = Graph(frozen_edges).symbol()
        self._frozen = training_block(frozen_symbol, [data], parameters, **settings)
        _read_variables_at_cut(graph, trainable_nodes, cut)
        self._num_trainable_inputs = len(cut.edges)
        self._trainable: Optional[mx.gluon.SymbolBlock] = None
        if trainable_edges:
            inputs = _input_symbols(cut, frozen_symbol)
            trainable_symbol = Graph(trainable_edges).symbol()
            self._trainable = training_block(trainable_symbol, inputs, parameters, **settings)

    def __call__(self, x: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        # Without the argument, pause would switch layers such as Dropout to inference.
        with autograd.pause(train_mode=autograd.is_training()):
            frozen_outputs = as_list(self._frozen(x))
        trainable_outputs: List[mx.nd.NDArray] = []
        if self._trainable is not None:
            inputs = frozen_outputs[: self._num_trainable_inputs]
            trainable_outputs = as_list(self._trainable(*inputs))
        outputs = []
        for is_trainable, position in self._output_places:
            source = trainable_outputs if is_trainable else frozen_outputs
            outputs.append(source[position])
        return outputs


def scale_weights(graph: Graph, trainable_parameters: Set[str]) -> None:
    """Replace ``norm(conv(x, w))`` by ``conv(x, w * scale) + shift`` for every frozen norm.

    The function and its gradients remain the same. This saves two passes over the map, and its
    copy for the norm's backward pass. On a GPU, it also avoids MXNet's slow kernel for stored
    statistics.

    Parameters
    ----------
    graph : Graph
        A traced graph; it is changed in place. A norm is replaced if it uses stored statistics,
        learns nothing, and is the only reader of its convolution.
    trainable_parameters : set of str
        Names of the parameters that learn.
    """
    readers = graph.readers()
    for node in graph.nodes():
        norm = match_channel_norm(node)
        if norm is None or not _is_frozen(norm, trainable_parameters):
            continue
        convolution, _ = norm.data
        if convolution.op != "Convolution" or not is_only_reader(node, convolution, readers):
            continue
        scaled = _scaled_convolution(convolution, norm)
        graph.replace(node, scaled)
        # A further frozen norm after this one is replaced too.
        readers[id(scaled)] = readers[id(node)]


def _is_frozen(norm: ChannelNorm, trainable_parameters: Set[str]) -> bool:
    """Tell whether a norm of one device uses stored statistics, and none of its arrays learns."""
    if norm.node.op != "BatchNorm" or not norm.node.flag("use_global_stats"):
        return False
    return all(array.name not in trainable_parameters for array in norm.arrays)


def _scaled_convolution(convolution: Node, norm: ChannelNorm) -> Node:
    """Make a convolution that includes the norm after it, with its arithmetic in the graph."""

    def add_node(op: str, suffix: str, *sources: Node, **attrs: str) -> Node:
        inputs = [(source, 0) for source in sources]
        return Node(op, f"{norm.node.name}_{suffix}", attrs, inputs)

    var_plus_epsilon = add_node("_plus_scalar", "var", norm.var, scalar=norm.epsilon)
    scale = add_node("rsqrt", "rsqrt", var_plus_epsilon)
    if norm.uses_gamma:
        scale = add_node("elemwise_mul", "scale", scale, norm.gamma)
    scaled_mean = add_node("elemwise_mul", "mean", norm.mean, scale)
    shift = add_node("elemwise_sub", "shift", norm.beta, scaled_mean)
    if has_bias(convolution):
        bias, _ = convolution.inputs[2]
        scaled_bias = add_node("elemwise_mul", "moved", bias, scale)
        shift = add_node("elemwise_add", "bias", scaled_bias, shift)
    column = add_node("Reshape", "column", scale, shape="(-1, 1, 1, 1)")
    weight, _ = convolution.inputs[1]
    scaled_weight = add_node("broadcast_mul", "weight", weight, column)
    attrs = {**convolution.attrs, "no_bias": "False"}
    inputs = [convolution.inputs[0], (scaled_weight, 0), (shift, 0)]
    return Node("Convolution", convolution.name, attrs, inputs)


def _smallest_dtype(parameters: mx.gluon.ParameterDict) -> np.dtype:
    """Return the smallest number type of the parameters, which is that of the data.

    The arrays of norms are float32 in a network of float16.
    """
    dtypes = {np.dtype(parameter.dtype) for parameter in parameters.values()}
    return min(dtypes, key=lambda dtype: dtype.itemsize, default=np.dtype("float32"))


def _trainable_names(parameters: mx.gluon.ParameterDict) -> Set[str]:
    """Collect the names of the parameters that have a gradient."""
    return {name for name, parameter in parameters.items() if parameter.grad_req != "null"}


def _trainable_nodes(graph: Graph, trainable_parameters: Set[str]) -> Set[int]:
    """Collect the nodes, by ``id``, whose output changes while the parameters learn.

    They include the parameters, and batch norms that move their stored statistics.
    """
    trainable: Set[int] = set()
    for node in graph.nodes():
        if node.op == VARIABLE:
            changes = node.name in trainable_parameters
        else:
            changes = node.op in BATCH_NORMS and not node.flag("use_global_stats")
        if changes or any(id(source) in trainable for source, _ in node.inputs):
            trainable.add(id(node))
    return trainable


class _Cut(NamedTuple):
    """The edges from the frozen part to the trainable one, and a variable for each.

    Attributes
    ----------
    edges : list of (Node, int)
        Outputs of frozen nodes that trainable nodes read, each once.
    variables : list of Node
        The inputs of the trainable graph that take their values, in the same order.
    """

    edges: List[Edge]
    variables: List[Node]


def _cut_edges(graph: Graph, trainable_nodes: Set[int]) -> _Cut:
    """List the edges from the frozen part to the trainable one."""
    cut = _Cut([], [])
    known: Set[Tuple[int, int]] = set()
    for node in graph.nodes():
        if id(node) not in trainable_nodes:
            continue
        for source, output in node.inputs:
            # A frozen parameter is not cut off: both graphs read it as a parameter.
            is_parameter = source.op == VARIABLE and source.name != "data"
            if is_parameter or id(source) in trainable_nodes or (id(source), output) in known:
                continue
            known.add((id(source), output))
            cut.variables.append(Node(VARIABLE, f"frozen_output{len(cut.edges)}"))
            cut.edges.append((source, output))
    return cut


def _read_variables_at_cut(graph: Graph, trainable_nodes: Set[int], cut: _Cut) -> None:
    """Let trainable nodes read variables in place of the outputs of frozen nodes."""
    variables = {}
    for (source, output), variable in zip(cut.edges, cut.variables):
        variables[id(source), output] = (variable, 0)
    for node in graph.nodes():
        if id(node) not in trainable_nodes:
            continue
        inputs = []
        for source, output in node.inputs:
            inputs.append(variables.get((id(source), output), (source, output)))
        node.inputs = inputs


def _input_symbols(cut: _Cut, frozen_symbol: mx.sym.Symbol) -> List[mx.sym.Symbol]:
    """Make the inputs of the trainable graph, with the number types of the frozen outputs.

    The variables at the cut get the same types, because MXNet ignores the bfloat16 of an input.
    """
    _, dtypes, _ = frozen_symbol.infer_type()
    inputs = []
    for variable, dtype in zip(cut.variables, dtypes):
        symbol = mx.sym.var(variable.name, dtype=dtype)
        variable.attrs.update(symbol.list_attr())
        inputs.append(symbol)
    return inputs
