"""Proof that two run times may choose other proposals, because the scores at the limit are ties."""

from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.trace import as_list, inference_block, trace

import mxnet as mx
import numpy as np
from onnx_programs import onnx_program

# The largest difference of an RPN's scores, in 0..1, that is rounding: float32 has 1.2e-7 near 1,
# and a score is the result of some fifty layers.
ROUNDING = 2e-5


def tied_proposals(net, pixels):
    """Count the proposals that miss the best of their level only by a tie.

    MXNet and onnxruntime must give every anchor the same score, up to rounding. Two run times can
    then choose differently only among scores that lie within twice the largest rounding of the last
    one that is chosen. Of equal scores, MXNet takes any.

    Parameters
    ----------
    net : gluonnorm.rcnn.FasterRCNN
        A detector.
    pixels : mx.nd.NDArray
        (B, 3, H, W).

    Returns
    -------
    int
        The number of proposals of all levels and images that were not chosen, but might have been.
        If it is 0, no rounding explains that a run time chose others.
    """
    symbol, values = fold_graph(*trace(net))
    graph = Graph.read(symbol)
    selections = _first_selections(graph)
    counts = [int(node.attrs["k"]) for node in selections]
    scores = Graph([node.inputs[0] for node in selections]).symbol()
    known = {name: values[name] for name in scores.list_inputs() if name in values}
    expected = as_list(inference_block(scores, known, mx.cpu())(pixels))
    program = onnx_program(scores, known, {"data": pixels.shape})
    found = program({"data": pixels.asnumpy()})
    tied = 0
    for count, level_expected, level_found in zip(counts, expected, found):
        for row, other_row in zip(level_expected.asnumpy(), level_found):
            tied += _tied(row, other_row, count)
    return tied


def _first_selections(graph):
    """List the top-k operators that depend on no other one: those of the RPN's scores."""
    behind = set()
    first = []
    for node in graph.nodes():
        if any(id(source) in behind for source, _ in node.inputs):
            behind.add(id(node))
        elif node.op == "topk":
            behind.add(id(node))
            first.append(node)
    return first


def _tied(row, other_row, count):
    """Count the scores of a row (N,) that tie with the last of the ``count`` best."""
    rounding = np.abs(row - other_row).max()
    assert rounding <= ROUNDING, f"the scores differ by {rounding}, which is no rounding"
    ranked = np.sort(row)[::-1]
    last_chosen = ranked[count - 1]
    # A score of -1 is padding, which is no proposal.
    is_tied = (ranked[count:] >= last_chosen - 2 * rounding) & (ranked[count:] >= 0)
    return int(is_tied.sum())
