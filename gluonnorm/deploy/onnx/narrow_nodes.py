"""The nodes of an ONNX graph that compute in fewer bits, in the formats that have them."""

from typing import Set

from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import LAYERS, float32_layers

import mxnet as mx

LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Operators that all run times have in bfloat16 and int8, and that keep the numbers they read or add
# a few of them.
PASSING_TYPES = ("Add", "AveragePool", "Concat", "Flatten", "MaxPool", "Relu")


def narrow_nodes(symbol: mx.sym.Symbol, graph: OnnxGraph) -> Set[str]:
    """Name the nodes that compute in bfloat16 or int8: layers, and what stands between them.

    Output layers (scores, box deltas, mask logits) and everything else remain float32: boxes,
    RoIAlign, and the statistics of norms.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph of a detector.
    graph : OnnxGraph
        The graph that ``convert_graph`` made of it.

    Returns
    -------
    set of str
        The names of nodes, which are those of their outputs.
    """
    source = Graph.read(symbol)
    kept_names = {node.name for node in float32_layers(source)}
    layer_names = {node.name for node in source.nodes() if node.op in LAYERS} - kept_names
    narrow: Set[str] = set()
    for node in graph.nodes:
        (name, *_) = node.outputs
        if node.op_type in LAYER_TYPES:
            # A scale of group norm is a convolution too, whose weights come from the image.
            has_weights = node.op_type == "MatMul" or node.inputs[1] in graph.constants
            is_narrow = has_weights and name.rpartition("/")[0] in layer_names
        else:
            read_values = [value for value in node.inputs if value not in graph.constants]
            is_narrow = node.op_type in PASSING_TYPES and narrow.issuperset(read_values)
        if is_narrow:
            narrow.add(name)
    return narrow
