"""Convert a traced network to bfloat16 (MXNet's AMP casts) or to int8 (oneDNN quantization).

Both conversions take and return a graph and the values of its variables. The result runs on the
CPU only, with float32 as input and output. The output layers (scores, box deltas, mask logits)
remain float32: they cost little, and exponentials and sorting amplify their rounding errors. So do
the layers that only RoIAlign reads.
"""

import json
from typing import Dict, Iterable, List, Sequence, Set, Tuple

from gluonnorm.graph.layer_casts import cast_layers
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import float32_layers
from gluonnorm.graph.trace import Values, hybridize_for_inference, inference_block

import mxnet as mx
import numpy as np
from mxnet.contrib import quantization

DATA_SHAPE = (1, 3, 64, 64)  # any image; only axes and channels inside the graph matter
SUBGRAPH_BACKEND = "MKLDNN_QUANTIZE"  # MXNet's fusion of operators for oneDNN's int8 kernels


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
    converted_values = cast_layers(graph, "bfloat16", float32_layers(graph), values)
    return graph.symbol(), converted_values


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
        excluded_sym_names=_names_of_float32_layers(symbol, fused),
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
    return calibrated, _values_of_inputs(calibrated, values)


def _names_of_float32_layers(symbol: mx.sym.Symbol, fused: mx.sym.Symbol) -> List[str]:
    """List the nodes of a fused graph that contain a layer that remains float32."""
    layers = {node.name for node in float32_layers(Graph.read(symbol))}
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
    outputs = mx.sym.Group([internals[name] for name in names])
    negations: Values = {}
    bounds = []
    for output, shape in zip(outputs, _output_shapes(outputs, values)):
        bounds += _least_and_greatest(output, shape, negations)
    bounds_symbol = mx.sym.Group(bounds)
    bounds_values = _values_of_inputs(bounds_symbol, {**values, **negations})
    net = inference_block(bounds_symbol, bounds_values, mx.cpu())
    hybridize_for_inference(net)
    rows = []
    for image in images:
        rows.append([float(bound.asscalar()) for bound in net(mx.nd.array(image))])
    bounds_by_image = np.array(rows)
    least = bounds_by_image[:, 0::2].min(axis=0).tolist()
    greatest = bounds_by_image[:, 1::2].max(axis=0).tolist()
    return dict(zip(names, zip(least, greatest)))


def _values_of_inputs(symbol: mx.sym.Symbol, values: Values) -> Values:
    """Select the values of a graph's variables."""
    return {name: values[name] for name in symbol.list_inputs() if name in values}


def _output_shapes(symbol: mx.sym.Symbol, values: Values) -> Sequence[Tuple[int, ...]]:
    """Compute the shapes of a graph's outputs for an image of ``DATA_SHAPE``."""
    known_values = _values_of_inputs(symbol, values)
    known_shapes = {name: value.shape for name, value in known_values.items()}
    _, shapes, _ = symbol.infer_shape(data=DATA_SHAPE, **known_shapes)
    return shapes


def _least_and_greatest(
    output: mx.sym.Symbol, shape: Sequence[int], negations: Values
) -> List[mx.sym.Symbol]:
    """Compute the least and the greatest value of an output.

    MXNet's min and max over all axes use one thread, those over rows use all of them. Both need
    maps in a plain layout, which takes as long as the network itself. oneDNN's pooling reads its
    own layout, and so does a depthwise convolution that negates. ``negations`` gains the weight of
    that convolution.
    """
    if len(shape) != 4:
        least_of_rows, greatest_of_rows = mx.sym.min(output, axis=-1), mx.sym.max(output, axis=-1)
        return [mx.sym.min(least_of_rows), mx.sym.max(greatest_of_rows)]
    channels = shape[1]
    name = f"negation_of_{channels}_channels"
    negations[name] = -mx.nd.ones((channels, 1, 1, 1))
    negated = mx.sym.Convolution(
        output,
        mx.sym.var(name),
        kernel=(1, 1),
        num_filter=channels,
        num_group=channels,
        no_bias=True,
    )
    greatest_of_channels = [
        mx.sym.Pooling(data, kernel=(1, 1), global_pool=True, pool_type="max")
        for data in (negated, output)
    ]
    negated_greatest, greatest = [mx.sym.max(channel) for channel in greatest_of_channels]
    return [-negated_greatest, greatest]
