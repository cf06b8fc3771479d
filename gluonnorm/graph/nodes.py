"""A traced network as nodes that can be changed, and back to a symbol."""
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import mxnet as mx

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
