"""Frozen scales and shifts, folded into the convolutions beside them: the same function with fewer passes."""
from typing import Any, Dict, List, Optional, Tuple

from gluonnorm.graph.nodes import NORMS, VARIABLE, Graph, Node
from gluonnorm.graph.trace import block, contexts, trace

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

SCALARS = ("_mul_scalar", "_div_scalar", "_plus_scalar", "_minus_scalar")
SAYS = ("spec", "classes", "config", "preprocess", "has_masks")  # what a detector says of itself, and its copy as well

Edge = Tuple[Node, int]
Affine = Tuple[Edge, np.ndarray, np.ndarray]  # what is scaled and shifted, and by how much a channel, float64


def fold(net: HybridBlock) -> mx.gluon.SymbolBlock:
    """A copy of a network for inference, every frozen scale and shift folded into a convolution.

    What counts: batch norms of all kinds with their stored statistics, and ``Rescale``. Norms that look at the image
    (group, switchable) stay. All arithmetic is in float64, the result float32.

    - After a convolution, deconvolution or fully connected layer that nobody else reads, scale and shift become its
      weight and bias.
    - In front of convolutions alone, such as on the image, the scale goes into their weights, and the shift into their
      biases if they do not pad. Where they do, an addition of shift / scale stays: their padding must go on being zero
      *after* the shift.
    - Everywhere else, such as after the additions of a pre-activation ResNet, a scale and a shift by constants stay, as
      a depthwise 1x1 convolution. No batch norm is left.

    Parameters
    ----------
    net
        A network with values and one input, an image (N, 3, H, W). It stays as it is.

    Returns
    -------
    A block on the same contexts. ``spec``, ``classes``, ``config``, ``preprocess`` and ``has_masks`` are those of
    ``net`` where it has them. Its graph is fixed: thresholds cannot be changed any more, and nothing in it learns.

    Raises RuntimeError for a parameter without values.
    """
    symbol, values = trace(net)
    folded = block(*fold_graph(symbol, values), contexts(net))
    for name in SAYS:
        if hasattr(net, name):
            setattr(folded, name, getattr(net, name))
    return folded


def fold_graph(symbol: mx.sym.Symbol,
               values: Dict[str, mx.nd.NDArray]) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray]]:
    """What ``fold`` does, for a traced graph and the values of its variables; both come back new."""
    folder = _Folder(Graph.read(symbol), {name: value.asnumpy() for name, value in values.items()})
    folder.run()
    folded = folder.graph.symbol()
    needed = set(folded.list_inputs())
    return folded, {name: mx.nd.array(value, dtype=value.dtype) for name, value in folder.values.items()
                    if name in needed}


class _Folder:
    def __init__(self, graph: Graph, values: Dict[str, np.ndarray]) -> None:
        self.graph, self.values = graph, values
        self._variables: Dict[Tuple[Any, ...], Node] = {}  # made so far: layers that share weights go on sharing them

    def run(self) -> None:
        for node in self.graph.nodes():
            if node.op == "Reshape" and node.inputs[0][0].name in self.values:  # of a constant: another constant
                shape = node.numbers("shape")
                if 0 not in shape and min(shape) >= -1:
                    value = self.values[node.inputs[0][0].name].reshape(shape)
                    self.graph.replace(node, self._variable(node.inputs[0][0].name, value))
        for node in reversed(self.graph.nodes()):  # of scales in a row the last takes in those before it
            found = self._affine(node)
            readers = self.graph.readers() if found else {}
            if found is None or id(node) not in readers:
                continue
            (source, output), scale, shift = found
            inner = self._affine(source)
            while inner is not None and set(map(id, readers[id(source)])) <= {id(node)}:
                (source, output), scale, shift = inner[0], scale * inner[1], scale * inner[2] + shift
                inner = self._affine(source)
            if self._is_producer(source) and set(map(id, readers[id(source)])) == {id(node)}:
                self._into_producer(source, scale, shift)
                self.graph.replace(node, source)
            elif scale.all() and all(_takes_scale(reader, node) for reader in readers[id(node)]):
                self._into_readers(readers[id(node)], (source, output), scale, shift, node.name)
            else:
                self.graph.replace(node, self._applied(node, (source, output), scale, shift))

    def _affine(self, node: Node) -> Optional[Affine]:
        """What a node scales and shifts, and by how much; None if that is not what it does, or not with constants."""
        if node.op in NORMS and node.attrs.get("axis", "1") == "1":
            names = [variable.name for variable, _ in node.inputs[1:]]
            if all(name in self.values for name in names):
                gamma, beta, mean, var = (self.values[name].astype(np.float64) for name in names)
                scale = 1 / np.sqrt(var + float(node.attrs.get("eps", 1e-3)))
                scale = scale if node.flag("fix_gamma", True) else scale * gamma
                return node.inputs[0], scale, beta - mean * scale
        if node.op == "Concat" and node.attrs.get("dim", "1") == "1":
            return _rescale(node)
        return None

    def _is_producer(self, node: Node) -> bool:
        weights = [source.name in self.values for source, _ in node.inputs[1:]]
        if node.op == "FullyConnected":
            return all(weights) and node.flag("flatten", True)
        return node.op in ("Convolution", "Deconvolution") and all(weights) and (
            node.op == "Convolution" or node.attrs.get("num_group", "1") == "1")

    def _into_producer(self, node: Node, scale: np.ndarray, shift: np.ndarray) -> None:
        weight, bias = self._weights(node)
        axis = 1 if node.op == "Deconvolution" else 0
        shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
        self._set_weights(node, weight * scale.reshape(shape), bias * scale + shift)

    def _into_readers(self, readers: List[Node], source: Edge, scale: np.ndarray, shift: np.ndarray,
                      name: str) -> None:
        shifted = source
        if shift.any() and any(any(reader.numbers("pad")) for reader in readers):
            added = self._variable(f"{name}_shift", (shift / scale).reshape(1, -1, 1, 1))
            shifted = Node("broadcast_add", f"{name}_shifted", {}, [source, (added, 0)]), 0
        for reader in {id(reader): reader for reader in readers}.values():
            weight, bias = self._weights(reader)
            if shifted is source:
                bias = bias + np.einsum("oihw,i->o", weight, shift)
            self._set_weights(reader, weight * scale.reshape(1, -1, 1, 1), bias)
            reader.inputs[0] = shifted

    def _applied(self, node: Node, source: Edge, scale: np.ndarray, shift: np.ndarray) -> Node:
        """Scale and shift by themselves: a depthwise convolution, one pass that keeps oneDNN's layout."""
        channels = str(len(scale))
        if source[0].op in ("FullyConnected", "Flatten"):
            variables = [(self._variable(f"{node.name}_{kind}", array.reshape(1, -1)), 0)
                         for kind, array in (("scale", scale), ("shift", shift))]
            scaled = Node("broadcast_mul", f"{node.name}_scaled", {}, [source, variables[0]])
            return Node("broadcast_add", node.name, {}, [(scaled, 0), variables[1]])
        return Node("Convolution", node.name, {"kernel": "(1, 1)", "num_filter": channels, "num_group": channels},
                    [source, (self._variable(f"{node.name}_scale", scale.reshape(-1, 1, 1, 1)), 0),
                     (self._variable(f"{node.name}_shift", shift), 0)])

    def _weights(self, node: Node) -> Tuple[np.ndarray, np.ndarray]:
        weight = self.values[node.inputs[1][0].name].astype(np.float64)
        if not node.flag("no_bias", node.op == "Deconvolution"):
            return weight, self.values[node.inputs[2][0].name].astype(np.float64)
        return weight, np.zeros(weight.shape[1 if node.op == "Deconvolution" else 0])

    def _set_weights(self, node: Node, weight: np.ndarray, bias: np.ndarray) -> None:
        name = node.inputs[1][0].name
        dtype = self.values[name].dtype
        stem = name[:-len("_weight")] if name.endswith("_weight") else name
        biased = bool(bias.any()) or not node.flag("no_bias", node.op == "Deconvolution")
        node.attrs["no_bias"] = str(not biased)
        node.inputs[1:] = [(self._variable(name, weight.astype(dtype)), 0)]
        if biased:
            node.inputs.append((self._variable(f"{stem}_bias", bias.astype(dtype)), 0))

    def _variable(self, name: str, value: np.ndarray) -> Node:
        """A variable of this value: one made before if it is the same, else a new one, under another name if taken."""
        value = value.astype(np.float32) if value.dtype == np.float64 else value
        key = (name, value.shape, value.tobytes())
        if key not in self._variables:
            fresh, count = name, 1
            while fresh in self.values:
                fresh, count = f"{name}_folded{count}", count + 1
            self.values[fresh] = value
            self._variables[key] = Node(VARIABLE, fresh, {"__shape__": str(value.shape)})
        return self._variables[key]


def _takes_scale(reader: Node, node: Node) -> bool:
    """Whether a reader is a convolution of this node, so that a scale of its input can go into its weight."""
    return (reader.op == "Convolution" and reader.inputs[0][0] is node and reader.attrs.get("num_group", "1") == "1"
            and all(source.op == VARIABLE and source is not node for source, _ in reader.inputs[1:]))


def _rescale(node: Node) -> Optional[Affine]:
    """A node that joins the channels of one image, each scaled and shifted by scalars, as ``Rescale`` does."""
    scales, shifts, sources = [], [], []
    for number, (part, _) in enumerate(node.inputs):
        chain = []
        while part.op in SCALARS:
            chain.append(part)
            part = part.inputs[0][0]
        wanted = {"axis": "1", "begin": str(number), "end": str(number + 1)}
        if not chain or part.op != "slice_axis" or part.attrs != wanted:
            return None
        scale, shift = 1.0, 0.0
        for step in reversed(chain):
            scalar = float(step.attrs["scalar"])
            if step.op in ("_mul_scalar", "_div_scalar"):
                factor = scalar if step.op == "_mul_scalar" else 1 / scalar
                scale, shift = scale * factor, shift * factor
            else:
                shift += scalar if step.op == "_plus_scalar" else -scalar
        scales.append(scale)
        shifts.append(shift)
        sources.append(part.inputs[0])
    if any(source[0] is not sources[0][0] or source[1] != sources[0][1] for source in sources):
        return None
    return sources[0], np.array(scales), np.array(shifts)
