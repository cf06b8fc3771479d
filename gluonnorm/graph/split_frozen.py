"""A block as two graphs for training, what is frozen and the rest, with frozen norms inside the weights."""
from functools import partial
from typing import Any, Dict, List, Sequence, Set, Tuple

from gluonnorm.graph.nodes import NORMS, VARIABLE, Graph, Node

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock


class FrozenSplit:
    """A block with all that lies before what learns in a graph of its own, outside the recording.

    It takes one array and returns a list, on the parameters of ``block``. A recorded graph of MXNet holds every
    intermediate array until its backward pass, those of frozen layers too, where nobody asks for them. Frozen norms of
    the part that learns are no passes over its maps: see :func:`scale_weights`. The input gets no gradient.

    Parameters
    ----------
    block
        Takes one array and returns several. What learns, by ``grad_req``, and which batch norms use their stored
        statistics, is looked up now: after a change make another. Values may change at any time.
    settings
        Of both graphs, as for ``HybridBlock.hybridize``.
    """

    def __init__(self, block: HybridBlock, **settings: Any) -> None:
        parameters = block.collect_params()
        dtypes = {np.dtype(parameter.dtype) for parameter in parameters.values()}
        data = mx.sym.var("data", dtype=min(dtypes, key=lambda dtype: dtype.itemsize, default=np.float32))
        graph = Graph.read(mx.sym.Group(list(block(data))))
        learned = {name for name, parameter in parameters.items() if parameter.grad_req != "null"}
        scale_weights(graph, learned)
        learning = _learning(graph, learned)
        given: List[Tuple[Node, int]] = []  # by the frozen part; first what the other one reads
        cut: Dict[Tuple[int, int], Node] = {}
        for node in graph.nodes():
            for source, output in node.inputs if id(node) in learning else ():
                constant = source.op == VARIABLE and source.name != "data"
                if not constant and id(source) not in learning and (id(source), output) not in cut:
                    cut[id(source), output] = Node(VARIABLE, f"given{len(given)}")
                    given.append((source, output))
        heads: Dict[bool, List[Tuple[Node, int]]] = {True: [], False: given}
        self._places: List[Tuple[bool, int]] = []  # of each output: whether it learns, and its number there
        for node, output in graph.heads:
            learns = id(node) in learning
            self._places.append((learns, len(heads[learns])))
            heads[learns].append((node, output))
        frozen = Graph(given).symbol()
        self._frozen = _block(frozen, [data], parameters, settings)
        for node in graph.nodes():
            if id(node) in learning:
                node.inputs = [(cut[id(source), output], 0) if (id(source), output) in cut else (source, output)
                               for source, output in node.inputs]
        inputs = [mx.sym.var(node.name, dtype=dtype) for node, dtype in zip(cut.values(), frozen.infer_type()[1])]
        self._num_inputs = len(inputs)
        self._learning = _block(Graph(heads[True]).symbol(), inputs, parameters, settings) if heads[True] else None

    def __call__(self, x: mx.nd.NDArray) -> List[mx.nd.NDArray]:
        with autograd.pause(train_mode=autograd.is_training()):
            given = _as_list(self._frozen(x))
        learnt = _as_list(self._learning(*given[:self._num_inputs])) if self._learning else []
        return [(learnt if learns else given)[number] for learns, number in self._places]


def scale_weights(graph: Graph, learned: Set[str]) -> None:
    """Make ``norm(conv(x, w))`` ``conv(x, w * scale) + shift`` where the norm is frozen and alone in reading ``conv``.

    The function and its gradients stay the same. Two passes over the map are saved, and its copy for the norm's
    backward pass; on a GPU also MXNet's slow kernel for stored statistics. ``learned`` are the names of parameters that
    learn: a norm that has one of these, or that uses the batch's statistics, stays.
    """
    readers = graph.readers()
    for node in graph.nodes():
        if node.op != "BatchNorm" or not node.flag("use_global_stats") or node.attrs.get("axis", "1") != "1":
            continue
        conv, constants = node.inputs[0][0], [source for source, _ in node.inputs[1:]]
        if conv.op != "Convolution" or len(readers[id(conv)]) > 1 or any(one.name in learned for one in constants):
            continue
        made = partial(_made, node.name)
        gamma, beta, mean, var = constants
        scale = made("rsqrt", "rsqrt", made("_plus_scalar", "var", var, scalar=node.attrs.get("eps", "1e-3")))
        if not node.flag("fix_gamma", True):
            scale = made("elemwise_mul", "scale", scale, gamma)
        shift = made("elemwise_sub", "shift", beta, made("elemwise_mul", "mean", mean, scale))
        if not conv.flag("no_bias"):
            shift = made("elemwise_add", "bias", made("elemwise_mul", "moved", conv.inputs[2][0], scale), shift)
        column = made("Reshape", "column", scale, shape="(-1, 1, 1, 1)")
        weight = made("broadcast_mul", "weight", conv.inputs[1][0], column)
        graph.replace(node, Node("Convolution", conv.name, {**conv.attrs, "no_bias": "False"},
                                 [conv.inputs[0], (weight, 0), (shift, 0)]))


def _made(stem: str, op: str, kind: str, *sources: Node, **attrs: str) -> Node:
    return Node(op, f"{stem}_{kind}", attrs, [(source, 0) for source in sources])


def _learning(graph: Graph, learned: Set[str]) -> Set[int]:
    """The nodes, by ``id``, that change while these parameters learn: the parameters too, and what moves statistics."""
    found: Set[int] = set()
    for node in graph.nodes():
        if node.op == VARIABLE:
            changes = node.name in learned
        else:
            changes = node.op in NORMS and not node.flag("use_global_stats")
        if changes or any(id(source) in found for source, _ in node.inputs):
            found.add(id(node))
    return found


def _block(symbol: mx.sym.Symbol, inputs: Sequence[mx.sym.Symbol], parameters: mx.gluon.ParameterDict,
           settings: Dict[str, Any]) -> mx.gluon.SymbolBlock:
    block = mx.gluon.SymbolBlock(list(symbol), list(inputs), params=parameters)
    block.hybridize(**settings)
    return block


def _as_list(outputs: Any) -> List[mx.nd.NDArray]:
    return outputs if isinstance(outputs, list) else [outputs]
