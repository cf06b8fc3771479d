"""A traced network in another number format: bfloat16 with MXNet's AMP casts, int8 with its oneDNN quantization.

Both take and return a graph and the values of its variables; both run on the CPU alone, with float32 in and out. In
both the last layers stay float32: those whose output no other layer takes in, that is scores, box deltas and mask
logits. They cost little, and what they say is read by exponentials and sorting.
"""
import json
from typing import Dict, Iterable, List, Set, Tuple

from gluonnorm.graph.nodes import VARIABLE, Graph, Node
from gluonnorm.graph.output_layers import Values, output_layers
from gluonnorm.graph.trace import block

import mxnet as mx
import numpy as np
from mxnet.contrib import quantization
from mxnet.contrib.amp.amp import bfloat16


def to_bfloat16(symbol: mx.sym.Symbol, values: Values) -> Tuple[mx.sym.Symbol, Values]:
    """Convolutions and fully connected layers in bfloat16, and what lies between two of them where it can be.

    Their weights are stored in bfloat16, half the size. Everything else is float32: norms, boxes, RoIAlign.
    """
    graph, values = Graph.read(symbol), dict(values)
    last = {id(node) for node in output_layers(graph)}
    small: Set[int] = set()  # nodes that give bfloat16
    casts: Dict[Tuple[int, int], Tuple[Node, int]] = {}

    def cast(edge: Tuple[Node, int], wanted: bool) -> Tuple[Node, int]:
        node, output = edge
        if (id(node) in small) == wanted:
            return edge
        key = id(node), output
        if key not in casts:
            if node.op == VARIABLE and node.name in values:
                values[node.name] = values[node.name].astype(bfloat16)
                casts[key] = Node(VARIABLE, node.name, {**node.attrs, "__dtype__": "12"}), 0
            else:
                dtype = "bfloat16" if wanted else "float32"
                casts[key] = Node("amp_cast", f"{node.name}_{output}_{dtype}", {"dtype": dtype}, [edge]), 0
        return casts[key]

    for node in graph.nodes():
        if node.op == VARIABLE:
            continue
        if node.op in ("Convolution", "FullyConnected"):
            wanted = id(node) not in last
        else:
            wanted = _passes_bfloat16(node) and all(id(source) in small for source, _ in node.inputs)
        node.inputs = [cast(edge, wanted) for edge in node.inputs]
        if wanted:
            small.add(id(node))
    graph.heads = [cast(edge, False) for edge in graph.heads]
    return graph.symbol(), values


def to_int8(symbol: mx.sym.Symbol, values: Values, images: Iterable[np.ndarray]) -> Tuple[mx.sym.Symbol, Values]:
    """Convolutions and fully connected layers in int8, for the ranges that their inputs and outputs have on ``images``.

    ``images`` are inputs of the network, (1, 3, h, w) float32 each. Weights have a scale a channel, activations one
    each, from their least and greatest value; after a relu they are uint8.
    """
    fused = symbol.get_backend_symbol("MKLDNN_QUANTIZE")
    kept = {node.name for node in output_layers(Graph.read(symbol))}
    excluded = [node["name"] for node in json.loads(fused.tojson())["nodes"]
                if kept & {inner["name"] for part in node.get("subgraphs", []) for inner in part["nodes"]}]
    int8, _, _, collector = quantization.quantize_graph(
        fused, values, {}, mx.cpu(), excluded_sym_names=excluded, excluded_op_names=[], calib_mode="naive",
        quantized_dtype="auto", quantize_mode="smart", quantize_granularity="channel-wise", logger=None)
    collector.min_max_dict = ranges(fused, values, sorted(collector.include_layer), images)
    int8, values, _ = quantization.calib_graph(int8, values, {}, collector, calib_mode="naive", quantized_dtype="auto",
                                               logger=None)
    int8 = int8.get_backend_symbol("MKLDNN_QUANTIZE")
    return int8, {name: values[name] for name in int8.list_inputs() if name in values}


def ranges(symbol: mx.sym.Symbol, values: Values, names: List[str],
           images: Iterable[np.ndarray]) -> Dict[str, Tuple[float, float]]:
    """The least and greatest value that outputs inside a graph have over all ``images``."""
    inside = symbol.get_internals()
    bounds = mx.sym.Group([bound(inside[name]) for name in names for bound in (mx.sym.min, mx.sym.max)])
    net = block(bounds, {name: values[name] for name in bounds.list_inputs() if name != "data"}, mx.cpu())
    net.hybridize()
    rows = np.array([[float(value.asscalar()) for value in net(mx.nd.array(image))] for image in images])
    return dict(zip(names, zip(rows[:, 0::2].min(axis=0).tolist(), rows[:, 1::2].max(axis=0).tolist())))


def _passes_bfloat16(node: Node) -> bool:
    """Whether an operator has a bfloat16 kernel that is worth taking."""
    return (node.op in ("elemwise_add", "Concat", "Flatten", "Pooling")
            or node.op == "Activation" and node.attrs.get("act_type") == "relu")
