"""Find the layers that give scores, box deltas and mask logits, and join those with one input.

These layers remain float32 in every number type, like those whose maps only RoIAlign reads.
"""

from typing import Dict, List, Optional, Sequence, Set, Tuple

from gluonnorm.graph.nodes import VARIABLE, Graph, Node
from gluonnorm.graph.trace import Values

import mxnet as mx

LAYERS = ("Convolution", "Deconvolution", "FullyConnected")
ROI_ALIGN = "_contrib_ROIAlign"

# The attribute with the number of output channels, of the operators that can be joined.
CHANNEL_COUNT = {"Convolution": "num_filter", "FullyConnected": "num_hidden"}

# oneDNN has kernels for its blocked layouts if the number of channels is a multiple of this.
CHANNEL_BLOCK = 16


def output_layers(graph: Graph) -> List[Node]:
    """Find the layers whose output no other layer reads: scores, box deltas and mask logits.

    A layer also counts if other layers depend on it only through the RoIs of RoIAlign, as they
    depend on the scores and deltas of an RPN.

    Parameters
    ----------
    graph : Graph
        The graph of a detector.

    Returns
    -------
    list of Node
        The layers, each after its inputs.
    """
    readers = graph.readers()
    # Nodes whose output a further layer reads, directly or not.
    feeding: Set[int] = set()
    for node in reversed(graph.nodes()):
        for reader in readers[id(node)]:
            reaches_layer = reader.op in LAYERS or id(reader) in feeding
            reads_as_rois = reader.op == ROI_ALIGN and reader.inputs[0][0] is not node
            if reaches_layer and not reads_as_rois:
                feeding.add(id(node))
    return [node for node in graph.nodes() if node.op in LAYERS and id(node) not in feeding]


def float32_layers(graph: Graph) -> List[Node]:
    """Find the layers that compute in float32 whatever the others compute in.

    They are the output layers, and layers that only RoIAlign reads, which computes in float32.
    Those run once for an image and not for each RoI, so they gain nothing by another number type.

    Parameters
    ----------
    graph : Graph
        The graph of a detector.

    Returns
    -------
    list of Node
        The layers, each after its inputs.
    """
    readers = graph.readers()
    kept = {id(layer) for layer in output_layers(graph)}
    for node in graph.nodes():
        if node.op in LAYERS and _only_roi_align_reads(node, readers):
            kept.add(id(node))
    return [node for node in graph.nodes() if id(node) in kept]


def _only_roi_align_reads(node: Node, readers: Dict[int, List[Node]]) -> bool:
    """Tell whether nothing but RoIAlign reads a node, perhaps after a reshape."""
    for reader in readers[id(node)]:
        is_reshaped = reader.op == "Reshape" and _only_roi_align_reads(reader, readers)
        if reader.op != ROI_ALIGN and not is_reshaped:
            return False
    return True


def join_output_layers(symbol: mx.sym.Symbol, values: Values) -> Tuple[mx.sym.Symbol, Values]:
    """Join output layers that read the same map in the same way into one layer.

    Scores and deltas of an RPN are such a pair. Separately, each layer with its few channels needs
    a reorder of a large map from oneDNN's blocked layout. The joined layer gets additional
    channels of zeros, up to a multiple of 16, which nothing reads.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph of a detector.
    values : dict of str to mxnet.ndarray.NDArray
        Values of its variables by name.

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        A new graph of the same function.
    values : dict of str to mxnet.ndarray.NDArray
        New values of its variables.
    """
    graph = Graph.read(symbol)
    values = dict(values)
    groups: Dict[Tuple[object, ...], List[Node]] = {}
    for layer in output_layers(graph):
        key = _joining_key(layer, values)
        if key is not None:
            groups.setdefault(key, []).append(layer)
    # A layer that is used for several maps, as for each level of a pyramid, has joined variables
    # only once.
    variables: Dict[str, Node] = {}
    for layers in groups.values():
        if len(layers) > 1:
            _join(graph, layers, values, variables)
    joined = graph.symbol()
    inputs = joined.list_inputs()
    return joined, {name: values[name] for name in inputs if name in values}


def _joining_key(layer: Node, values: Values) -> Optional[Tuple[object, ...]]:
    """Return what layers must have in common to be joined; None for a layer that cannot be."""
    if layer.op not in CHANNEL_COUNT or layer.attrs.get("num_group", "1") != "1":
        return None
    has_weight_and_bias = len(layer.inputs) == 3
    is_constant = all(variable.name in values for variable, _ in layer.inputs[1:])
    if not has_weight_and_bias or not is_constant:
        return None
    attrs = dict(layer.attrs)
    attrs.pop(CHANNEL_COUNT[layer.op], None)
    source, output = layer.inputs[0]
    return id(source), output, layer.op, frozenset(attrs.items())


def _join(graph: Graph, layers: List[Node], values: Values, variables: Dict[str, Node]) -> None:
    """Replace layers by slices of one new layer; ``values`` and ``variables`` gain its arrays."""
    first = layers[0]
    count_name = CHANNEL_COUNT[first.op]
    channels = [int(layer.attrs[count_name]) for layer in layers]
    padding = -sum(channels) % CHANNEL_BLOCK
    inputs = [first.inputs[0]]
    for position in (1, 2):  # the weights, then the biases
        names = [layer.inputs[position][0].name for layer in layers]
        inputs.append((_joined_variable(names, padding, values, variables), 0))
    name = "_and_".join(layer.name for layer in layers)
    attrs = {**first.attrs, count_name: str(sum(channels) + padding)}
    joined = Node(first.op, name, attrs, inputs)
    begin = 0
    for layer, count in zip(layers, channels):
        end = begin + count
        bounds = {"axis": "1", "begin": str(begin), "end": str(end)}
        graph.replace(layer, Node("slice_axis", layer.name, bounds, [(joined, 0)]))
        begin = end


def _joined_variable(
    names: Sequence[str], padding: int, values: Values, variables: Dict[str, Node]
) -> Node:
    """Return the variable that joins others along their first axis, followed by zeros."""
    joined_name = "_and_".join(names)
    if joined_name in variables:
        return variables[joined_name]
    arrays = [values[name] for name in names]
    if padding:
        shape = (padding, *arrays[0].shape[1:])
        arrays.append(mx.nd.zeros(shape, dtype=arrays[0].dtype))
    values[joined_name] = mx.nd.concat(*arrays, dim=0)
    attrs = {"__shape__": str(values[joined_name].shape)}
    variables[joined_name] = Node(VARIABLE, joined_name, attrs)
    return variables[joined_name]
