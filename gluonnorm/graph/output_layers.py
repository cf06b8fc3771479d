"""The layers that give scores, box deltas and mask logits: found, and joined where several read the same."""
from typing import Dict, List, Set, Tuple

from gluonnorm.graph.nodes import VARIABLE, Graph, Node

import mxnet as mx

Values = Dict[str, mx.nd.NDArray]

LAYERS = ("Convolution", "Deconvolution", "FullyConnected")
ROI_ALIGN = "_contrib_ROIAlign"
WIDTH = {"Convolution": "num_filter", "FullyConnected": "num_hidden"}
BLOCK = 16  # oneDNN has kernels for its own layouts where channels come in sixteens


def output_layers(graph: Graph) -> List[Node]:
    """Layers whose output reaches no other layer, unless as the RoIs that it reads: scores, box deltas, mask logits."""
    readers = graph.readers()
    feeds: Set[int] = set()  # nodes that a layer further on takes in
    for node in reversed(graph.nodes()):
        for reader in readers[id(node)]:
            through = reader.op in LAYERS or id(reader) in feeds
            if through and not (reader.op == ROI_ALIGN and reader.inputs[0][0] is not node):
                feeds.add(id(node))
    return [node for node in graph.nodes() if node.op in LAYERS and id(node) not in feeds]


def join_output_layers(symbol: mx.sym.Symbol, values: Values) -> Tuple[mx.sym.Symbol, Values]:
    """The same function with one layer for last layers that read the same map in the same way.

    Scores and deltas of an RPN are such a pair. Each of the two, with its few channels, otherwise has a large map
    brought into another layout first. The joined layer gets channels of zeros, up to a multiple of 16, which nobody
    reads. Both results come back new.
    """
    graph, values = Graph.read(symbol), dict(values)
    alike: Dict[Tuple[object, ...], List[Node]] = {}
    for node in output_layers(graph):
        constant = all(source.name in values for source, _ in node.inputs[1:])
        if node.op in WIDTH and len(node.inputs) == 3 and constant and node.attrs.get("num_group", "1") == "1":
            source, output = node.inputs[0]
            how = frozenset((name, value) for name, value in node.attrs.items() if name != WIDTH[node.op])
            alike.setdefault((id(source), output, node.op, how), []).append(node)
    variables: Dict[str, Node] = {}  # layers that are used twice, as on each level of a pyramid, share them
    for nodes in alike.values():
        if len(nodes) > 1:
            _join(graph, nodes, values, variables)
    joined = graph.symbol()
    return joined, {name: values[name] for name in joined.list_inputs() if name in values}


def _join(graph: Graph, nodes: List[Node], values: Values, variables: Dict[str, Node]) -> None:
    first, stem = nodes[0], "_and_".join(node.name for node in nodes)
    widths = [int(node.attrs[WIDTH[node.op]]) for node in nodes]
    rest = -sum(widths) % BLOCK
    inputs = [first.inputs[0]]
    for sources in zip(*(node.inputs[1:] for node in nodes)):  # the weights, then the biases
        names = [source.name for source, _ in sources]
        name = "_and_".join(names)
        if name not in variables:
            arrays = [values[one] for one in names]
            fill = [mx.nd.zeros((rest, *arrays[0].shape[1:]), dtype=arrays[0].dtype)] if rest else []
            values[name] = mx.nd.concat(*arrays, *fill, dim=0)
            variables[name] = Node(VARIABLE, name, {"__shape__": str(values[name].shape)})
        inputs.append((variables[name], 0))
    layer = Node(first.op, stem, {**first.attrs, WIDTH[first.op]: str(sum(widths) + rest)}, inputs)
    start = 0
    for node, width in zip(nodes, widths):
        part = {"axis": "1", "begin": str(start), "end": str(start + width)}
        graph.replace(node, Node("slice_axis", node.name, part, [(layer, 0)]))
        start += width
