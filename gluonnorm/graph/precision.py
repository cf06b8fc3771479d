"""Convert a traced network to bfloat16 (MXNet's AMP casts) or to int8 (oneDNN quantization).

Both conversions take and return a graph and the values of its variables. The result runs on the
CPU only, with float32 as input and output. The output layers (scores, box deltas, mask logits)
remain float32: they cost little, and exponentials and sorting amplify their rounding errors.
"""

import json
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from gluonnorm.graph.nodes import VARIABLE, Edge, Graph, Node
from gluonnorm.graph.output_layers import output_layers
from gluonnorm.graph.trace import Values, inference_block

import mxnet as mx
import numpy as np
from mxnet.contrib import quantization
from mxnet.contrib.amp.amp import bfloat16

BFLOAT16_ATTRIBUTE = "12"  # MXNet's number for the type bfloat16
SUBGRAPH_BACKEND = "MKLDNN_QUANTIZE"  # MXNet's fusion of operators for oneDNN's int8 kernels

BFLOAT16_LAYERS = ("Convolution", "FullyConnected")
# Operators that have a bfloat16 kernel and are worth converting between two converted layers.
PASSING_OPS = ("elemwise_add", "Concat", "Flatten", "Pooling")


def to_bfloat16(symbol: mx.sym.Symbol, values: Values) -> Tuple[mx.sym.Symbol, Values]:
    """Convert convolutions and fully connected layers to bfloat16.

    An operator between two of them becomes bfloat16 too if it has a kernel for it. Everything
    else remains float32: norms, boxes, RoIAlign. Weights are stored in bfloat16, in half the space.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph of a detector.
    values : dict of str to mxnet.ndarray.NDArray
        Float32 values of its variables by name.

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        A new graph.
    values : dict of str to mxnet.ndarray.NDArray
        New values of its variables.
    """
    graph = Graph.read(symbol)
    converted_values = cast_layers_to_bfloat16(graph, output_layers(graph), values)
    return graph.symbol(), converted_values


def cast_layers_to_bfloat16(
    graph: Graph, float32_layers: Sequence[Node] = (), values: Optional[Values] = None
) -> Values:
    """Let the layers of a graph compute in bfloat16; inputs and outputs remain float32.

    Parameters
    ----------
    graph : Graph
        A traced graph; it is changed in place.
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
    converter = _Bfloat16Converter(values or {})
    kept_layers = {id(node) for node in float32_layers}
    for node in graph.nodes():
        if node.op == VARIABLE:
            continue
        if node.op in BFLOAT16_LAYERS:
            computes_bfloat16 = id(node) not in kept_layers
        else:
            computes_bfloat16 = _passes_bfloat16(node) and converter.has_bfloat16_inputs(node)
        node.inputs = [converter.cast(edge, computes_bfloat16) for edge in node.inputs]
        if computes_bfloat16:
            converter.bfloat16_nodes.add(id(node))
    graph.outputs = [converter.cast(edge, to_bfloat16=False) for edge in graph.outputs]
    return converter.values


class _Bfloat16Converter:
    """Cast edges of a graph between float32 and bfloat16, each at most once.

    ``bfloat16_nodes`` are the nodes, by ``id``, that compute in bfloat16. ``values`` are the
    variables' values after the casts.
    """

    def __init__(self, values: Values) -> None:
        self.values = dict(values)
        self.bfloat16_nodes: Set[int] = set()
        self._casts: Dict[Tuple[int, int], Edge] = {}

    def has_bfloat16_inputs(self, node: Node) -> bool:
        """Tell whether everything that a node reads is computed in bfloat16."""
        return all(id(source) in self.bfloat16_nodes for source, _ in node.inputs)

    def cast(self, edge: Edge, to_bfloat16: bool) -> Edge:
        """Return an edge with the same numbers in bfloat16, or in float32."""
        node, output = edge
        if (id(node) in self.bfloat16_nodes) == to_bfloat16:
            return edge
        key = (id(node), output)
        if key not in self._casts:
            self._casts[key] = self._make_cast(edge, to_bfloat16)
        return self._casts[key]

    def _make_cast(self, edge: Edge, to_bfloat16: bool) -> Edge:
        """Convert a parameter once for all, or add a node that casts when the graph runs."""
        node, output = edge
        if node.op == VARIABLE and node.name in self.values:
            self.values[node.name] = self.values[node.name].astype(bfloat16)
            attrs = {**node.attrs, "__dtype__": BFLOAT16_ATTRIBUTE}
            return Node(VARIABLE, node.name, attrs), 0
        dtype = "bfloat16" if to_bfloat16 else "float32"
        name = f"{node.name}_{output}_{dtype}"
        return Node("amp_cast", name, {"dtype": dtype}, [edge]), 0


def _passes_bfloat16(node: Node) -> bool:
    """Tell whether an operator between two bfloat16 layers becomes bfloat16 as well."""
    if node.op == "Activation":
        return node.attrs.get("act_type") == "relu"
    return node.op in PASSING_OPS


def to_int8(
    symbol: mx.sym.Symbol, values: Values, images: Iterable[np.ndarray]
) -> Tuple[mx.sym.Symbol, Values]:
    """Convert convolutions and fully connected layers to int8.

    Weights have a scale per channel. Activations have one scale each, from their least and
    greatest value on the images. After a relu they are uint8.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        The graph of a detector.
    values : dict of str to mxnet.ndarray.NDArray
        Float32 values of its variables by name.
    images : iterable of numpy.ndarray
        Inputs of the network for calibration, (1, 3, h, w) float32 each.

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        A new graph.
    values : dict of str to mxnet.ndarray.NDArray
        New values of its variables.
    """
    fused = symbol.get_backend_symbol(SUBGRAPH_BACKEND)
    # All variables are in ``values``, so the dictionaries of auxiliary states are empty.
    quantized, _, _, collector = quantization.quantize_graph(
        fused,
        values,
        {},
        mx.cpu(),
        excluded_sym_names=_names_of_output_layers(symbol, fused),
        excluded_op_names=[],
        calib_mode="naive",
        quantized_dtype="auto",
        quantize_mode="smart",
        quantize_granularity="channel-wise",
        logger=None,
    )
    collector.min_max_dict = measure_ranges(fused, values, sorted(collector.include_layer), images)
    calibrated, values, _ = quantization.calib_graph(
        quantized,
        values,
        {},
        collector,
        calib_mode="naive",
        quantized_dtype="auto",
        logger=None,
    )
    calibrated = calibrated.get_backend_symbol(SUBGRAPH_BACKEND)
    inputs = calibrated.list_inputs()
    return calibrated, {name: values[name] for name in inputs if name in values}


def _names_of_output_layers(symbol: mx.sym.Symbol, fused: mx.sym.Symbol) -> List[str]:
    """List the nodes of a fused graph that contain an output layer of the original one."""
    layers = {node.name for node in output_layers(Graph.read(symbol))}
    names = []
    for node in json.loads(fused.tojson())["nodes"]:
        inner_names: Set[str] = set()
        for subgraph in node.get("subgraphs", []):
            inner_names.update(inner["name"] for inner in subgraph["nodes"])
        if layers & inner_names:
            names.append(node["name"])
    return names


def measure_ranges(
    symbol: mx.sym.Symbol, values: Values, names: List[str], images: Iterable[np.ndarray]
) -> Dict[str, Tuple[float, float]]:
    """Measure the least and the greatest value of outputs inside a graph.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        A graph whose input is "data".
    values : dict of str to mxnet.ndarray.NDArray
        Values of its variables by name.
    names : list of str
        Names of outputs inside the graph, as ``symbol.get_internals()`` lists them.
    images : iterable of numpy.ndarray
        Inputs of the graph.

    Returns
    -------
    dict of str to tuple of float
        (least, greatest) value over all images, by name.
    """
    internals = symbol.get_internals()
    bounds = []
    for name in names:
        bounds.append(mx.sym.min(internals[name]))
        bounds.append(mx.sym.max(internals[name]))
    bounds_symbol = mx.sym.Group(bounds)
    inputs = [name for name in bounds_symbol.list_inputs() if name != "data"]
    net = inference_block(bounds_symbol, {name: values[name] for name in inputs}, mx.cpu())
    net.hybridize()
    rows = []
    for image in images:
        rows.append([float(bound.asscalar()) for bound in net(mx.nd.array(image))])
    bounds_by_image = np.array(rows)
    least = bounds_by_image[:, 0::2].min(axis=0).tolist()
    greatest = bounds_by_image[:, 1::2].max(axis=0).tolist()
    return dict(zip(names, zip(least, greatest)))
