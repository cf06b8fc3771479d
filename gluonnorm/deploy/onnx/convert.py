"""Walk over a traced graph, and convert each of its operators to operators of ONNX."""

from typing import Dict, List, Mapping, Sequence

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.deploy.onnx import (
    arithmetic,
    detection,
    layers,
    reductions,
    reshape,
    selection,
    shapes,
)
from gluonnorm.deploy.onnx.converter import Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph
from gluonnorm.deploy.onnx.pyramid import convert_pyramid_read, find_pyramid_reads
from gluonnorm.deploy.onnx.row_gather import convert_row_gather, gathered_rows
from gluonnorm.errors import first_few
from gluonnorm.graph.nodes import VARIABLE, Edge, Graph, Node
from gluonnorm.graph.trace import Values
from gluonnorm.types import Shape

import mxnet as mx

CONVERTERS: Dict[str, Converter] = {
    **arithmetic.CONVERTERS,
    **detection.CONVERTERS,
    **layers.CONVERTERS,
    **reductions.CONVERTERS,
    **reshape.CONVERTERS,
    **selection.CONVERTERS,
    **shapes.CONVERTERS,
}


def convert_graph(
    symbol: mx.sym.Symbol,
    values: Values,
    input_shapes: Mapping[str, Shape],
    output_names: Sequence[str],
) -> OnnxGraph:
    """Convert a traced float32 graph to ONNX.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph.
    values : dict of str to mxnet.ndarray.NDArray
        Values of its variables by name, apart from its inputs.
    input_shapes : dict of str to tuple of int
        A shape that each input may have. Only the number of axes matters: the converted graph
        takes inputs of other lengths too.
    output_names : sequence of str
        The names of the outputs in the ONNX graph.

    Returns
    -------
    OnnxGraph
        A graph of the same function. Its inputs have the names of ``input_shapes``.

    Raises
    ------
    DeployError
        The graph has operators that have no converter, or attributes that a converter does not
        know.
    """
    source = Graph.read(symbol)
    operators = [node for node in source.nodes() if node.op != VARIABLE]
    _require_converters(operators)
    ranks = _Ranks(operators, values, input_shapes)
    pyramid_reads = find_pyramid_reads(source)
    graph = OnnxGraph()
    names: Dict[Edge, str] = {}
    for node in source.nodes():
        if node.op == VARIABLE:
            names[node, 0] = node.name
            if node.name in values:
                graph.constants[node.name] = values[node.name].asnumpy()
            continue
        graph.scope = node.name
        if id(node) in pyramid_reads:
            names[node, 0] = convert_pyramid_read(graph, pyramid_reads[id(node)], names)
            continue
        row_indices = gathered_rows(node)
        if row_indices is not None:
            data = names[node.inputs[0]]
            names[node, 0] = convert_row_gather(graph, data, names[row_indices])
            continue
        inputs = [names[edge] for edge in node.inputs]
        operation = Operation(node, inputs, ranks.of_inputs(node))
        outputs = CONVERTERS[node.op].convert(graph, operation)
        for number, name in enumerate([outputs] if isinstance(outputs, str) else outputs):
            names[node, number] = name
    for (node, output), name in zip(source.outputs, output_names):
        graph.name_output(names[node, output], name)
    graph.remove_unused()
    return graph


def _require_converters(operators: Sequence[Node]) -> None:
    """Raise DeployError if an operator or one of its attributes has no converter."""
    missing: Dict[str, str] = {}
    for node in operators:
        if node.op not in CONVERTERS:
            missing.setdefault(node.op, node.name)
    if missing:
        described = [f"{operator} (of {name})" for operator, name in missing.items()]
        raise DeployError(
            f"{len(missing)} operators of the network have no converter to ONNX: "
            f"{first_few(described)}; write the layers with other operators, or export with "
            "format='mxnet'"
        )
    for node in operators:
        CONVERTERS[node.op].check(node)


class _Ranks:
    """The number of axes of everything that the operators of a graph read."""

    def __init__(
        self, operators: Sequence[Node], values: Values, input_shapes: Mapping[str, Shape]
    ) -> None:
        edges: List[Edge] = []
        for node in operators:
            edges.extend(node.inputs)
        known_shapes = {name: value.shape for name, value in values.items()}
        _, shapes, _ = Graph(edges).symbol().infer_shape(**known_shapes, **input_shapes)
        self._ranks = {}
        for (node, output), shape in zip(edges, shapes):
            self._ranks[id(node), output] = len(shape)

    def of_inputs(self, node: Node) -> List[int]:
        """Return the number of axes of each input of an operator."""
        return [self._ranks[id(source), output] for source, output in node.inputs]
