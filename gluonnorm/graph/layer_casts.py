"""Place casts in a traced graph, so that its layers compute in a 16-bit type.

The casts are the operators of MXNet's AMP. ``mxnet.contrib.amp.init`` places them by exchanging
MXNet's operators for the entire process, before a network is made. Here they are placed in one
graph that is traced already, and nothing else changes.
"""

from typing import Any, Dict, NamedTuple, Optional, Sequence, Set, Tuple

from gluonnorm.graph.nodes import VARIABLE, Edge, Graph, Node
from gluonnorm.graph.trace import Values

import numpy as np
from mxnet.contrib.amp.amp import bfloat16


class NarrowType(NamedTuple):
    """A 16-bit number type that layers can compute in.

    Attributes
    ----------
    numpy_type : numpy.dtype or type
        The type of its arrays.
    attribute : str
        MXNet's number for the type, as a variable's attribute holds it.
    layers : tuple of str
        The operators that have a kernel for it in both directions, and gain by it.
    """

    numpy_type: Any
    attribute: str
    layers: Tuple[str, ...]


# The backward pass of Deconvolution in bfloat16 crashes the process in MXNet 1.9.1.
NARROW_TYPES: Dict[str, NarrowType] = {
    "bfloat16": NarrowType(bfloat16, "12", ("Convolution", "FullyConnected")),
    "float16": NarrowType(np.float16, "2", ("Convolution", "Deconvolution", "FullyConnected")),
}
# Operators that have kernels for both types and are worth converting between two converted layers.
PASSING_OPS = ("elemwise_add", "Concat", "Flatten", "Pooling")


def cast_layers(
    graph: Graph,
    dtype: str,
    float32_layers: Sequence[Node] = (),
    values: Optional[Values] = None,
) -> Values:
    """Let the layers of a graph compute in a 16-bit type; inputs and outputs remain float32.

    An operator between two such layers computes in it as well, if it has a kernel for it: sums,
    relus and poolings. Everything else remains float32: norms, boxes, RoIAlign, losses.

    Parameters
    ----------
    graph : Graph
        A traced graph; it is changed in place.
    dtype : str
        A key of ``NARROW_TYPES``.
    float32_layers : sequence of Node
        The layers that remain float32.
    values : dict of str to mxnet.ndarray.NDArray, optional
        Float32 values of variables by name. These are converted once for all, and every other
        variable is cast whenever the graph runs, as in training.

    Returns
    -------
    dict of str to mxnet.ndarray.NDArray
        The values after the conversion.
    """
    placer = _CastPlacer(dtype, values or {})
    kept_layers = {id(node) for node in float32_layers}
    for node in graph.nodes():
        if node.op == VARIABLE:
            continue
        if node.op in NARROW_TYPES[dtype].layers:
            is_narrow = id(node) not in kept_layers
        else:
            is_narrow = _passes(node) and placer.has_narrow_inputs(node)
        node.inputs = [placer.cast(edge, is_narrow) for edge in node.inputs]
        if is_narrow:
            placer.narrow_nodes.add(id(node))
    graph.outputs = [placer.cast(edge, to_narrow=False) for edge in graph.outputs]
    return placer.values


class _CastPlacer:
    """Cast edges of a graph between float32 and a 16-bit type, each at most once.

    ``narrow_nodes`` are the nodes, by ``id``, that compute in the 16-bit type. ``values`` are the
    variables' values after the casts.
    """

    def __init__(self, dtype: str, values: Values) -> None:
        self.values = dict(values)
        self.narrow_nodes: Set[int] = set()
        self._dtype = dtype
        self._casts: Dict[Tuple[int, int], Edge] = {}

    def has_narrow_inputs(self, node: Node) -> bool:
        """Tell whether everything that a node reads is computed in the 16-bit type."""
        return all(id(source) in self.narrow_nodes for source, _ in node.inputs)

    def cast(self, edge: Edge, to_narrow: bool) -> Edge:
        """Return an edge with the same numbers in the 16-bit type, or in float32."""
        node, output = edge
        if (id(node) in self.narrow_nodes) == to_narrow:
            return edge
        key = (id(node), output)
        if key not in self._casts:
            self._casts[key] = self._make_cast(edge, to_narrow)
        return self._casts[key]

    def _make_cast(self, edge: Edge, to_narrow: bool) -> Edge:
        """Convert a parameter once for all, or add a node that casts when the graph runs."""
        node, output = edge
        if node.op == VARIABLE and node.name in self.values:
            narrow_type = NARROW_TYPES[self._dtype]
            self.values[node.name] = self.values[node.name].astype(narrow_type.numpy_type)
            attrs = {**node.attrs, "__dtype__": narrow_type.attribute}
            return Node(VARIABLE, node.name, attrs), 0
        dtype = self._dtype if to_narrow else "float32"
        name = f"{node.name}_{output}_{dtype}"
        return Node("amp_cast", name, {"dtype": dtype}, [edge]), 0


def _passes(node: Node) -> bool:
    """Tell whether an operator between two 16-bit layers computes in the 16-bit type as well."""
    if node.op == "Activation":
        return node.attrs.get("act_type") == "relu"
    return node.op in PASSING_OPS
