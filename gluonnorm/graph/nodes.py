"""A traced network as nodes that can be changed, read from a symbol and written to one."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import mxnet as mx

VARIABLE = "null"  # the operator of a variable in MXNet's JSON
BATCH_NORMS = ("BatchNorm", "_contrib_SyncBatchNorm")  # operators of all batch norms
MXNET_VERSION = 10901  # noted in the graphs that are written


@dataclass(eq=False)
class Node:
    """An operator of a graph, or a variable; nodes are compared by identity.

    Attributes
    ----------
    op : str
        MXNet's name of the operator; ``VARIABLE`` for a variable.
    name : str
        Name of the node.
    attrs : dict of str to str
        Attributes of the operator, as MXNet writes them.
    inputs : list of (Node, int)
        The nodes that this one reads, and which of their outputs.
    """

    op: str
    name: str
    attrs: Dict[str, str] = field(default_factory=dict)
    inputs: List[Tuple["Node", int]] = field(default_factory=list)

    def numbers(self, name: str) -> Tuple[int, ...]:
        """Read an attribute that holds integers.

        Parameters
        ----------
        name : str
            Name of an attribute whose text is like "(3, 3)" or "1".

        Returns
        -------
        tuple of int
            Empty if the attribute is not set.

        Examples
        --------
        >>> Node("Convolution", "conv", {"kernel": "(3, 3)"}).numbers("kernel")
        (3, 3)
        """
        text = self.attrs.get(name, "").strip("()[], ")
        if not text:
            return ()
        return tuple(int(part) for part in text.split(","))

    def flag(self, name: str, default: bool = False) -> bool:
        """Read an attribute that is true or false.

        Parameters
        ----------
        name : str
            Name of the attribute.
        default : bool
            Value of an attribute that is not set.

        Returns
        -------
        bool
            Whether the attribute is true.
        """
        return self.attrs.get(name, str(default)) in ("True", "1")


# A node and which of its outputs.
Edge = Tuple[Node, int]


@dataclass
class Graph:
    """A graph that is defined by its outputs; nodes that no output needs are not part of it.

    Attributes
    ----------
    outputs : list of (Node, int)
        The nodes that are outputs of the graph, and which of their outputs.
    """

    outputs: List[Edge]

    @classmethod
    def read(cls, symbol: mx.sym.Symbol) -> "Graph":
        """Read the graph of a symbol.

        Parameters
        ----------
        symbol : mxnet.symbol.Symbol
            A symbol without subgraphs.

        Returns
        -------
        Graph
            New nodes; changes do not affect the symbol.
        """
        description = json.loads(symbol.tojson())
        nodes: List[Node] = []
        for entry in description["nodes"]:
            inputs = [(nodes[number], output) for number, output, *_ in entry["inputs"]]
            nodes.append(Node(entry["op"], entry["name"], dict(entry.get("attrs", {})), inputs))
        return cls([(nodes[number], output) for number, output, *_ in description["heads"]])

    def symbol(self) -> mx.sym.Symbol:
        """Write the graph as a symbol.

        Returns
        -------
        mxnet.symbol.Symbol
            Every operator has a name of its own. In Gluon, the operators of a layer that is used
            twice share one.
        """
        nodes = self.nodes()
        numbers = {id(node): number for number, node in enumerate(nodes)}
        name_counts: Counter = Counter()
        entries = []
        for node in nodes:
            repeated = name_counts[node.name]
            name_counts[node.name] += 1
            entries.append(
                {
                    "op": node.op,
                    "name": f"{node.name}_{repeated}" if repeated else node.name,
                    "attrs": node.attrs,
                    "inputs": [[numbers[id(source)], output, 0] for source, output in node.inputs],
                }
            )
        return mx.sym.load_json(
            json.dumps(
                {
                    "nodes": entries,
                    "heads": [[numbers[id(node)], output, 0] for node, output in self.outputs],
                    "arg_nodes": [numbers[id(node)] for node in nodes if node.op == VARIABLE],
                    "attrs": {"mxnet_version": ["int", MXNET_VERSION]},
                }
            )
        )

    def nodes(self) -> List[Node]:
        """List all nodes that the outputs need.

        Returns
        -------
        list of Node
            Each node comes after its inputs.
        """
        # A loop with a stack, because a recursion would be too deep for Python in large networks.
        done: Dict[int, Node] = {}
        stack = [node for node, _ in reversed(self.outputs)]
        while stack:
            waiting = [source for source, _ in stack[-1].inputs if id(source) not in done]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            node = stack.pop()
            done[id(node)] = node
        return list(done.values())

    def readers(self) -> Dict[int, List[Node]]:
        """List for each node the nodes that read it.

        Returns
        -------
        dict of int to list of Node
            The readers by the ``id`` of the node that they read. A reader appears once for each
            edge. An output of the graph has a further reader, a node with operator "output".
        """
        nodes = self.nodes()
        readers: Dict[int, List[Node]] = {id(node): [] for node in nodes}
        for node in nodes:
            for source, _ in node.inputs:
                readers[id(source)].append(node)
        for node, _ in self.outputs:
            readers[id(node)].append(Node("output", "output"))
        return readers

    def replace(self, old: Node, new: Node) -> None:
        """Let the readers of a node read another one.

        Parameters
        ----------
        old : Node
            The node that is removed from the graph.
        new : Node
            The node whose first output takes its place. It may read ``old`` itself.
        """
        for node in self.nodes():
            if node is new:
                continue
            inputs = []
            for source, output in node.inputs:
                inputs.append((new, 0) if source is old else (source, output))
            node.inputs = inputs
        outputs = []
        for node, output in self.outputs:
            outputs.append((new, 0) if node is old else (node, output))
        self.outputs = outputs


class Constants:
    """New variables of a graph with their values, each of which is made once.

    Attributes
    ----------
    values : dict of str to mxnet.ndarray.NDArray
        The values by the names of the variables.
    """

    def __init__(self) -> None:
        self.values: Dict[str, mx.nd.NDArray] = {}
        self._variables: Dict[str, Node] = {}

    def variable(self, name: str, value: mx.nd.NDArray) -> Node:
        """Return the variable of a name, which is made at the first call.

        Parameters
        ----------
        name : str
            The name.
        value : mxnet.ndarray.NDArray
            Its value; that of the first call counts.

        Returns
        -------
        Node
            The variable.
        """
        if name not in self._variables:
            self.values[name] = value
            self._variables[name] = Node(VARIABLE, name, {"__shape__": str(value.shape)})
        return self._variables[name]


def attach(symbol: mx.sym.Symbol, inputs: Dict[str, Edge]) -> Edge:
    """Make nodes of a symbol that read nodes of a graph.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
        A symbol with one output.
    inputs : dict of str to (Node, int)
        What takes the place of each variable of the symbol, by the variable's name.

    Returns
    -------
    (Node, int)
        The output. It becomes part of the graph when a node of the graph reads it.
    """
    attached = Graph.read(symbol)
    for node in attached.nodes():
        edges = []
        for source, output in node.inputs:
            edges.append(inputs[source.name] if source.op == VARIABLE else (source, output))
        node.inputs = edges
    return attached.outputs[0]
