"""A traced network as a graph that can be changed: nodes, their inputs, and the values of its variables."""
import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Tuple

import mxnet as mx
from mxnet.gluon import HybridBlock

VARIABLE = "null"  # MXNet's name for the operator of a variable
NORMS = ("BatchNorm", "_contrib_SyncBatchNorm")  # batch norms of all kinds


@dataclass(eq=False)
class Node:
    """One operator, or a variable; ``inputs`` are (node, which of its outputs)."""
    op: str
    name: str
    attrs: Dict[str, str] = field(default_factory=dict)
    inputs: List[Tuple["Node", int]] = field(default_factory=list)

    def numbers(self, name: str) -> Tuple[int, ...]:
        """An attribute such as "(3, 3)" or "1" as whole numbers; none where it is not set."""
        text = self.attrs.get(name, "").strip("()[], ")
        return tuple(int(part) for part in text.split(",")) if text else ()

    def flag(self, name: str, default: bool = False) -> bool:
        """An attribute that is true or false."""
        return self.attrs.get(name, str(default)) in ("True", "1")


@dataclass
class Graph:
    """A graph by its outputs, ``heads``; what no head needs is not written."""
    heads: List[Tuple[Node, int]]

    @classmethod
    def read(cls, symbol: mx.sym.Symbol) -> "Graph":
        """The graph of a symbol without subgraphs."""
        text = json.loads(symbol.tojson())
        nodes: List[Node] = []
        for entry in text["nodes"]:
            inputs = [(nodes[number], output) for number, output, *_ in entry["inputs"]]
            nodes.append(Node(entry["op"], entry["name"], dict(entry.get("attrs", {})), inputs))
        return cls([(nodes[number], output) for number, output, *_ in text["heads"]])

    def symbol(self) -> mx.sym.Symbol:
        """The symbol of this graph. Operators get names of their own: layers that are used twice share one in Gluon."""
        nodes = self.nodes()
        number = {id(node): i for i, node in enumerate(nodes)}
        used: Counter = Counter()
        entries = []
        for node in nodes:
            name = f"{node.name}_{used[node.name]}" if used[node.name] else node.name
            used[node.name] += 1
            entries.append({"op": node.op, "name": name, "attrs": node.attrs,
                            "inputs": [[number[id(source)], output, 0] for source, output in node.inputs]})
        return mx.sym.load_json(json.dumps({
            "nodes": entries, "heads": [[number[id(node)], output, 0] for node, output in self.heads],
            "arg_nodes": [i for i, node in enumerate(nodes) if node.op == VARIABLE],
            "attrs": {"mxnet_version": ["int", 10901]}}))

    def nodes(self) -> List[Node]:
        """All that the heads need, each after its inputs."""
        done: Dict[int, Node] = {}
        stack = [node for node, _ in reversed(self.heads)]
        while stack:
            waiting = [source for source, _ in stack[-1].inputs if id(source) not in done]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                node = stack.pop()
                done[id(node)] = node
        return list(done.values())

    def readers(self) -> Dict[int, List[Node]]:
        """Who reads a node, by its ``id``, once for each edge. The graph's own outputs are read by a node "head"."""
        found: Dict[int, List[Node]] = {id(node): [] for node in self.nodes()}
        for node in self.nodes():
            for source, _ in node.inputs:
                found[id(source)].append(node)
        for node, _ in self.heads:
            found[id(node)].append(Node("head", "head"))
        return found

    def replace(self, old: Node, new: Node) -> None:
        """Let ``new`` take the place of ``old``: whoever read it reads the first output of ``new``."""
        for node in self.nodes():
            if node is not new:
                node.inputs = [(new, 0) if source is old else (source, output) for source, output in node.inputs]
        self.heads = [(new, 0) if node is old else (node, output) for node, output in self.heads]


def trace(net: HybridBlock, size: Tuple[int, int] = (64, 64)) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray]]:
    """The inference graph of a network with one input, "data", and the values of its parameters on the CPU.

    The graph comes from a call with a symbol, not from the block's cache: what the caller hybridized, and how, stays.
    Values that differ between contexts (running statistics) are averaged. Shapes that wait for a first input are
    settled by a forward pass of an image of ``size``. Raises RuntimeError for a parameter without values.
    """
    parameters = net.collect_params()
    try:
        values = {name: _value(parameter) for name, parameter in parameters.items()}
    except mx.gluon.parameter.DeferredInitializationError:
        net(mx.nd.zeros((1, 3, *size), ctx=contexts(net)[0]))
        values = {name: _value(parameter) for name, parameter in parameters.items()}
    with _for_inference(net):
        outputs = net(mx.sym.var("data"))
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    needed = symbol.list_inputs()
    return symbol, {name: value for name, value in values.items() if name in needed}


def contexts(net: HybridBlock) -> List[mx.Context]:
    """Where the parameters of a network are; the CPU for one without any."""
    return next((parameter.list_ctx() for parameter in net.collect_params().values()), [mx.cpu()])


def hybridize_for_inference(net: HybridBlock) -> None:
    """Hybridize a network whose inputs may change in size, as is best where its parameters are.

    On the CPU static graphs keep oneDNN's copies of the weights and their own buffers from call to call. On a GPU MXNet
    would also compile kernels for them, and fails on devices newer than its CUDA.
    """
    on_cpu = all(device.device_type == "cpu" for device in contexts(net))
    net.hybridize(static_alloc=on_cpu, static_shape=on_cpu)


def block(symbol: mx.sym.Symbol, values: Dict[str, mx.nd.NDArray], ctx: Any) -> mx.gluon.SymbolBlock:
    """A network of this graph, whose input is "data", and these values, on ``ctx``. Nothing of it learns."""
    net = mx.gluon.SymbolBlock(symbol, mx.sym.var("data"))
    for name, parameter in net.collect_params().items():
        parameter.grad_req = "null"
        parameter.shape, parameter.dtype = values[name].shape, values[name].dtype
        parameter.initialize("zeros", ctx)
        parameter.set_data(values[name])
    return net


def _value(parameter: mx.gluon.Parameter) -> mx.nd.NDArray:
    try:
        copies = [copy.as_in_context(mx.cpu()) for copy in parameter.list_data()]
    except mx.gluon.parameter.DeferredInitializationError:
        raise
    except RuntimeError as error:
        raise RuntimeError(f"parameter {parameter.name} has no values; load weights or initialize the network "
                           "first") from error
    return copies[0].copy() if len(copies) == 1 else mx.nd.add_n(*copies) / len(copies)


@contextmanager
def _for_inference(net: HybridBlock) -> Iterator[None]:
    """Norms that look at the image in their form for inference."""
    layers: List[HybridBlock] = []
    net.apply(lambda layer: layers.append(layer) if hasattr(layer, "for_inference") else None)
    try:
        for layer in layers:
            layer.for_inference = True
        yield
    finally:
        for layer in layers:
            layer.for_inference = False
