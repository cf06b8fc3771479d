"""Remove operators that MXNet's executors run wrongly in an exported graph.

The executors are those behind ``Module``, ``simple_bind`` and the C predict API. Gluon's blocks
are not affected.

An operator that needs only the shape of an input tells so to the executor's memory planner
(``FIgnoreInputs`` in MXNet's sources). The planner then gives the memory of that input to another
array before the operator runs. On the CPU, that array may be in oneDNN's blocked layout. Its
conversion to a plain layout fails with "The size of NDArray doesn't match the requested MKLDNN
memory desc", or MXNet skips the operator and leaves garbage in its output. Gluon's blocks plan
their memory without that hint.
"""

from typing import Dict, List, Tuple

from gluonnorm.errors import InputError
from gluonnorm.graph.nodes import Edge, Graph, Node

import mxnet as mx

# Operators that fill an array of the input's shape, and for each an operator with a scalar that
# gives the same constant but reads its input. "x and 0" and "x or 1" hold for NaN too.
CONSTANT_OPS: Dict[str, Tuple[str, str]] = {
    "zeros_like": ("_logical_and_scalar", "0"),
    "ones_like": ("_logical_or_scalar", "1"),
}
ARANGE_LIKE = "_contrib_arange_like"
DATA_SHAPE = (1, 3, 64, 64)  # any image; only the number of axes inside the graph matters


def replace_shape_only_ops(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """Replace operators that read only the shape of an input by operators that read its values.

    The operators are zeros_like, ones_like and arange_like. reshape_like remains, because nothing
    in oneDNN's layout can take the memory of its second input: in norms no layer runs in between,
    and for masks that input is an output of the graph.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        A graph whose input is "data", (B, 3, H, W).

    Returns
    -------
    mxnet.symbol.Symbol
        A graph of the same function.

    Raises
    ------
    InputError
        The graph has an arange_like with other attributes than an axis.
    """
    graph = Graph.read(symbol)
    nodes = graph.nodes()
    aranges = [node for node in nodes if node.op == ARANGE_LIKE]
    ranks = _ranks([node.inputs[0] for node in aranges])
    for node, rank in zip(aranges, ranks):
        _replace_arange(node, rank)
    for node in nodes:
        if node.op in CONSTANT_OPS:
            node.op, scalar = CONSTANT_OPS[node.op]
            node.attrs = {"scalar": scalar}
    return graph.symbol()


def _replace_arange(node: Node, rank: int) -> None:
    """Let an arange_like of an input with ``rank`` axes read values of its input."""
    if set(node.attrs) != {"axis"}:
        raise InputError(
            f"{node.name} is an arange_like with {node.attrs}; an exported graph may have one "
            "with an axis alone: scale and shift its result instead"
        )
    axis = int(node.attrs["axis"]) % rank
    # The slice has all entries along the axis, and the first entry of every other axis.
    begin = tuple(None if index == axis else 0 for index in range(rank))
    end = tuple(None if index == axis else 1 for index in range(rank))
    bounds = {"begin": str(begin), "end": str(end)}
    line = Node("slice", f"{node.name}_line", bounds, node.inputs)
    positions = Node(
        "_contrib_index_array", f"{node.name}_places", {"axes": f"({axis},)"}, [(line, 0)]
    )
    flat = Node("Reshape", f"{node.name}_flat", {"shape": "(-1,)"}, [(positions, 0)])
    node.op = "Cast"
    node.attrs = {"dtype": "float32"}
    node.inputs = [(flat, 0)]


def _ranks(edges: List[Edge]) -> List[int]:
    """Count the axes of outputs inside a graph."""
    if not edges:
        return []
    _, shapes, _ = Graph(edges).symbol().infer_shape(data=DATA_SHAPE)
    return [len(shape) for shape in shapes]
