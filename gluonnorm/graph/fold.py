"""Fold frozen scales and shifts into the convolutions beside them: same function, fewer passes."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from gluonnorm.graph.nodes import VARIABLE, Edge, Graph, Node
from gluonnorm.graph.norm_after_conv import has_bias, is_only_reader, match_channel_norm
from gluonnorm.graph.trace import Values, contexts, inference_block, trace

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

# Operators of a tensor and a Python number, of which ``Rescale`` consists.
SCALAR_OPS = ("_mul_scalar", "_div_scalar", "_plus_scalar", "_minus_scalar")

# Attributes of a detector that its folded copy has too.
DETECTOR_ATTRIBUTES = ("spec", "classes", "config", "preprocess", "has_masks")


class Affine(NamedTuple):
    """A node that scales and shifts each channel by constants: ``scale * source + shift``.

    Attributes
    ----------
    source : (Node, int)
        What is scaled and shifted.
    scale, shift : numpy.ndarray
        (C,) float64.
    """

    source: Edge
    scale: np.ndarray
    shift: np.ndarray


def fold(net: HybridBlock) -> mx.gluon.SymbolBlock:
    """Copy a network for inference, with every frozen scale and shift folded into a convolution.

    It folds batch norms of all kinds, with their stored statistics, and ``Rescale``. Norms with
    statistics of the image (group, switchable) remain. The arithmetic is in float64, the result
    in float32.

    - After a convolution, deconvolution or fully connected layer that nothing else reads, scale
      and shift become part of its weight and bias.
    - If only convolutions follow, as after a norm on the image, the scale becomes part of their
      weights. The shift becomes part of their biases if they do not pad. If they pad, an addition
      of shift / scale remains, because padding must be zero *after* the shift.
    - Everywhere else, as after the additions of a pre-activation ResNet, scale and shift become a
      depthwise 1x1 convolution.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        A network with values and one input, an image (N, 3, H, W). It is not changed.

    Returns
    -------
    mxnet.gluon.SymbolBlock
        A block on the same contexts. It has ``spec``, ``classes``, ``config``, ``preprocess`` and
        ``has_masks`` of a detector. Its graph is fixed: thresholds can no longer be changed, and
        nothing in it learns.

    Raises
    ------
    InputError
        A parameter has no values.

    Examples
    --------
    >>> net = mx.gluon.nn.HybridSequential()
    >>> net.add(mx.gluon.nn.Conv2D(8, 3, use_bias=False), mx.gluon.nn.BatchNorm())
    >>> net.initialize()
    >>> sorted(parameter.shape for parameter in fold(net).collect_params().values())
    [(8, 3, 3, 3)]
    """
    symbol, values = trace(net)
    symbol, values = fold_graph(symbol, values)
    folded = inference_block(symbol, values, contexts(net))
    for name in DETECTOR_ATTRIBUTES:
        if hasattr(net, name):
            setattr(folded, name, getattr(net, name))
    return folded


def fold_graph(symbol: mx.sym.Symbol, values: Values) -> Tuple[mx.sym.Symbol, Values]:
    """Fold every frozen scale and shift of a traced graph into a convolution, like :func:`fold`.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        A graph whose input is "data".
    values : dict of str to mxnet.ndarray.NDArray
        Values of its variables by name.

    Returns
    -------
    symbol : mxnet.symbol.Symbol
        A new graph of the same function.
    values : dict of str to mxnet.ndarray.NDArray
        New values of its variables.
    """
    arrays = {name: value.asnumpy() for name, value in values.items()}
    folder = _Folder(Graph.read(symbol), arrays)
    folder.fold_reshaped_constants()
    folder.fold_affines()
    folded = folder.graph.symbol()
    inputs = set(folded.list_inputs())
    folded_values = {}
    for name, array in folder.values.items():
        if name in inputs:
            folded_values[name] = mx.nd.array(array, dtype=array.dtype)
    return folded, folded_values


class _Folder:
    """Fold a graph in place; ``values`` gains the arrays that folding makes."""

    def __init__(self, graph: Graph, values: Dict[str, np.ndarray]) -> None:
        self.graph = graph
        self.values = values
        # Variables made so far by their content, so that layers that share weights still do.
        self._made_variables: Dict[Tuple[Any, ...], Node] = {}

    def fold_reshaped_constants(self) -> None:
        """Replace each reshape of a constant by a constant of the new shape."""
        for node in self.graph.nodes():
            if node.op != "Reshape":
                continue
            name = node.inputs[0][0].name
            shape = node.numbers("shape")
            # 0 and codes below -1 depend on the input's shape in ways that NumPy does not know.
            if name in self.values and 0 not in shape and min(shape) >= -1:
                reshaped = self.values[name].reshape(shape)
                self.graph.replace(node, self._variable(name, reshaped))

    def fold_affines(self) -> None:
        """Fold each scale and shift into a layer before it, or after it, or into one of its own."""
        # From the last node to the first: the last of several scales in a row absorbs the others.
        for node in reversed(self.graph.nodes()):
            affine = self._match_affine(node)
            if affine is None:
                continue
            readers = self.graph.readers()
            # A later scale that absorbed this one has removed it from the graph.
            is_absorbed = id(node) not in readers
            if is_absorbed:
                continue
            affine = self._absorb_preceding(node, affine, readers)
            layer, _ = affine.source
            own_readers = readers[id(node)]
            if self._can_scale_output(layer) and is_only_reader(node, layer, readers):
                self._scale_output(layer, affine)
                self.graph.replace(node, layer)
            # The shift is divided by the scale, so no channel's scale may be 0.
            elif affine.scale.all() and all(
                _can_scale_input(reader, node) for reader in own_readers
            ):
                self._scale_inputs(own_readers, affine, node.name)
            else:
                self.graph.replace(node, self._affine_layer(node, affine))

    def _match_affine(self, node: Node) -> Optional[Affine]:
        """Recognize a batch norm of constants or a ``Rescale``; None for any other node."""
        norm = match_channel_norm(node)
        if norm is None:
            return _match_rescale(node)
        if not all(variable.name in self.values for variable in norm.arrays):
            return None
        gamma, beta, mean, var = [
            self.values[variable.name].astype(np.float64) for variable in norm.arrays
        ]
        scale = 1 / np.sqrt(var + float(norm.epsilon))
        if norm.uses_gamma:
            scale = scale * gamma
        return Affine(norm.data, scale, beta - mean * scale)

    def _absorb_preceding(
        self, node: Node, affine: Affine, readers: Dict[int, List[Node]]
    ) -> Affine:
        """Combine a scale and shift with those in front of it that nothing else reads."""
        source = affine.source[0]
        inner = self._match_affine(source)
        while inner is not None and is_only_reader(node, source, readers):
            scale = affine.scale * inner.scale
            shift = affine.scale * inner.shift + affine.shift
            affine = Affine(inner.source, scale, shift)
            source = affine.source[0]
            inner = self._match_affine(source)
        return affine

    def _can_scale_output(self, layer: Node) -> bool:
        """Tell whether a scale of the layer's output can become part of its constant weight."""
        if not all(variable.name in self.values for variable, _ in layer.inputs[1:]):
            return False
        if layer.op == "FullyConnected":
            # Without flatten, the layer's output channels are not on axis 1.
            return layer.flag("flatten", True)
        if layer.op == "Deconvolution":
            # The weight of a grouped deconvolution has no axis of all output channels.
            return layer.attrs.get("num_group", "1") == "1"
        return layer.op == "Convolution"

    def _scale_output(self, layer: Node, affine: Affine) -> None:
        """Make scale and shift part of the weight and bias of the layer before them."""
        weight, bias = self._weight_and_bias(layer)
        shape = [1] * weight.ndim
        shape[_output_axis(layer)] = -1
        scaled_weight = weight * affine.scale.reshape(shape)
        self._set_weight_and_bias(layer, scaled_weight, bias * affine.scale + affine.shift)

    def _scale_inputs(self, convolutions: List[Node], affine: Affine, name: str) -> None:
        """Make a scale part of the weights of the convolutions after it, and add its shift."""
        source = affine.source
        pads = any(any(convolution.numbers("pad")) for convolution in convolutions)
        adds_shift = bool(affine.shift.any()) and pads
        if adds_shift:
            # A convolution pads its input with zeros after the shift. A shift in the bias would
            # act on the padding as well, so it is added to the input.
            shift = (affine.shift / affine.scale).reshape(1, -1, 1, 1)
            variable = self._variable(f"{name}_shift", shift)
            shifted = Node("broadcast_add", f"{name}_shifted", {}, [source, (variable, 0)])
            source = (shifted, 0)
        distinct = {id(convolution): convolution for convolution in convolutions}
        for convolution in distinct.values():
            weight, bias = self._weight_and_bias(convolution)
            if not adds_shift:
                bias = bias + np.einsum("oihw,i->o", weight, affine.shift)
            scaled_weight = weight * affine.scale.reshape(1, -1, 1, 1)
            self._set_weight_and_bias(convolution, scaled_weight, bias)
            convolution.inputs[0] = source

    def _affine_layer(self, node: Node, affine: Affine) -> Node:
        """Make a layer that scales and shifts by constants, to take the place of a node."""
        scale_name = f"{node.name}_scale"
        shift_name = f"{node.name}_shift"
        if affine.source[0].op in ("FullyConnected", "Flatten"):
            scale = self._variable(scale_name, affine.scale.reshape(1, -1))
            shift = self._variable(shift_name, affine.shift.reshape(1, -1))
            product = Node("broadcast_mul", f"{node.name}_scaled", {}, [affine.source, (scale, 0)])
            return Node("broadcast_add", node.name, {}, [(product, 0), (shift, 0)])
        # A depthwise convolution is one pass, and its result keeps oneDNN's blocked layout.
        channels = str(len(affine.scale))
        attrs = {"kernel": "(1, 1)", "num_filter": channels, "num_group": channels}
        weight = self._variable(scale_name, affine.scale.reshape(-1, 1, 1, 1))
        bias = self._variable(shift_name, affine.shift)
        return Node("Convolution", node.name, attrs, [affine.source, (weight, 0), (bias, 0)])

    def _weight_and_bias(self, layer: Node) -> Tuple[np.ndarray, np.ndarray]:
        """Read a layer's weight and bias in float64; a missing bias is zeros."""
        weight = self.values[layer.inputs[1][0].name].astype(np.float64)
        if has_bias(layer):
            return weight, self.values[layer.inputs[2][0].name].astype(np.float64)
        return weight, np.zeros(weight.shape[_output_axis(layer)])

    def _set_weight_and_bias(self, layer: Node, weight: np.ndarray, bias: np.ndarray) -> None:
        """Give a layer a new weight, and a new bias unless it had none and the new one is zero."""
        name = layer.inputs[1][0].name
        dtype = self.values[name].dtype
        needs_bias = bool(bias.any()) or has_bias(layer)
        layer.attrs["no_bias"] = str(not needs_bias)
        layer.inputs[1:] = [(self._variable(name, weight.astype(dtype)), 0)]
        if needs_bias:
            stem = name[: -len("_weight")] if name.endswith("_weight") else name
            layer.inputs.append((self._variable(f"{stem}_bias", bias.astype(dtype)), 0))

    def _variable(self, name: str, value: np.ndarray) -> Node:
        """Make a variable of a value, or return the one that was made of the same value.

        If the name is taken, the variable gets another one. float64 becomes float32.
        """
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        key = (name, value.shape, value.tobytes())
        if key not in self._made_variables:
            free_name = name
            count = 0
            while free_name in self.values:
                count += 1
                free_name = f"{name}_folded{count}"
            self.values[free_name] = value
            attrs = {"__shape__": str(value.shape)}
            self._made_variables[key] = Node(VARIABLE, free_name, attrs)
        return self._made_variables[key]


def _output_axis(layer: Node) -> int:
    """Return the axis of a layer's weight that counts its output channels."""
    return 1 if layer.op == "Deconvolution" else 0


def _can_scale_input(reader: Node, node: Node) -> bool:
    """Tell whether a reader is a convolution whose weight can include a scale of its input."""
    if reader.op != "Convolution" or reader.inputs[0][0] is not node:
        return False
    if reader.attrs.get("num_group", "1") != "1":
        return False
    weights = [source for source, _ in reader.inputs[1:]]
    return all(weight.op == VARIABLE and weight is not node for weight in weights)


def _match_rescale(node: Node) -> Optional[Affine]:
    """Recognize ``Rescale``: it joins the channels of one image, each scaled and shifted."""
    if node.op != "Concat" or node.attrs.get("dim", "1") != "1":
        return None
    scales = []
    shifts = []
    sources = []
    for channel, (part, _) in enumerate(node.inputs):
        scalar_nodes = []
        while part.op in SCALAR_OPS:
            scalar_nodes.append(part)
            part = part.inputs[0][0]
        channel_slice = {"axis": "1", "begin": str(channel), "end": str(channel + 1)}
        if not scalar_nodes or part.op != "slice_axis" or part.attrs != channel_slice:
            return None
        scale, shift = _combine_scalars(scalar_nodes[::-1])
        scales.append(scale)
        shifts.append(shift)
        sources.append(part.inputs[0])
    image, output = sources[0]
    for other_image, other_output in sources:
        if other_image is not image or other_output != output:
            return None
    return Affine((image, output), np.array(scales), np.array(shifts))


def _combine_scalars(nodes: List[Node]) -> Tuple[float, float]:
    """Combine operators with a scalar, first to last, into one scale and one shift."""
    scale = 1.0
    shift = 0.0
    for node in nodes:
        scalar = float(node.attrs["scalar"])
        if node.op == "_plus_scalar":
            shift += scalar
        elif node.op == "_minus_scalar":
            shift -= scalar
        else:
            factor = scalar if node.op == "_mul_scalar" else 1 / scalar
            scale *= factor
            shift *= factor
    return scale, shift
