"""What an exported graph must not hold, or MXNet's executors (``Module``, ``simple_bind``, C predict API) fail on it.

Operators that only look at the shape of an input say so to the executor's memory plan (``FIgnoreInputs``), and it gives
that input's memory away before they run. On the CPU they then find the array of someone else there, maybe in oneDNN's
layout, and the conversion to a plain one fails: "The size of NDArray doesn't match the requested MKLDNN memory desc",
or the operator is skipped and what it should have written is garbage. Gluon's blocks plan without that hint.
"""
from typing import List, Tuple

from gluonnorm.graph.nodes import Graph, Node

import mxnet as mx

FILLED = {"zeros_like": ("_logical_and_scalar", "0"), "ones_like": ("_logical_or_scalar", "1")}  # NaN gives 0 and 1 too
ARANGE = "_contrib_arange_like"


def replace_shape_only_ops(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The same graph with operators that read what they are given, for zeros_like, ones_like and arange_like.

    The input is "data", (B, 3, H, W). reshape_like stays, for nothing in oneDNN's layout can take the place of its
    second input: in norms no layer runs in between, and of masks it is an output of the graph. Raises ValueError for an
    arange_like without an axis, or with more than an axis.
    """
    graph = Graph.read(symbol)
    nodes = graph.nodes()
    aranges = [node for node in nodes if node.op == ARANGE]
    ranks = _ranks([node.inputs[0] for node in aranges])
    for node, rank in zip(aranges, ranks):
        _count(node, rank)
    for node in nodes:
        if node.op in FILLED:
            node.op, scalar = FILLED[node.op]
            node.attrs = {"scalar": scalar}
    return graph.symbol()


def _count(node: Node, rank: int) -> None:
    """Make an arange_like of an input of ``rank`` axes the positions along one line of it."""
    if set(node.attrs) != {"axis"}:
        raise ValueError(f"{node.name} is an arange_like of {node.attrs}; only one of an axis alone can be exported: "
                         "scale and shift what it gives")
    axis = int(node.attrs["axis"]) % rank
    begin, end = ([None if i == axis else side for i in range(rank)] for side in (0, 1))
    line = Node("slice", f"{node.name}_line", {"begin": str(tuple(begin)), "end": str(tuple(end))}, node.inputs)
    places = Node("_contrib_index_array", f"{node.name}_places", {"axes": f"({axis},)"}, [(line, 0)])
    flat = Node("Reshape", f"{node.name}_flat", {"shape": "(-1,)"}, [(places, 0)])
    node.op, node.attrs, node.inputs = "Cast", {"dtype": "float32"}, [(flat, 0)]


def _ranks(edges: List[Tuple[Node, int]]) -> List[int]:
    """How many axes the outputs of nodes have."""
    return [len(shape) for shape in Graph(edges).symbol().infer_shape(data=(1, 3, 64, 64))[1]] if edges else []
