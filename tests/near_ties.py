"""Proof that two run times may choose other proposals, because the scores at the limit are ties."""

from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.trace import as_list, inference_block, trace

import mxnet as mx
import numpy as np
from onnx_programs import onnx_program

# An error of an RPN's scores, in 0..1, that is rounding in any network: float32 has 1.2e-7 near 1,
# and a score is the result of some fifty layers.
ROUNDING = 1e-5
# Networks of random weights may enlarge rounding. A run time whose errors are at most so many times
# those of MXNet computes the same function.
RATIO = 4


def tied_proposals(net, pixels):
    """Count the proposals that miss the best of their level only by a tie.

    MXNet and onnxruntime must give every anchor the same score, up to rounding: neither may be much
    further than the other from the scores in float64. Two run times can then choose differently
    only among scores that lie within twice their largest difference of the last one that is chosen.
    Of equal scores, MXNet takes any.

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
    program = onnx_program(scores, known, {"data": pixels.shape})
    found = program({"data": pixels.asnumpy()})
    expected = _mxnet_scores(scores, known, pixels, "float32")
    exact = _mxnet_scores(scores, known, pixels, "float64")
    tied = 0
    for count, level_found, level_expected, level_exact in zip(counts, found, expected, exact):
        _assert_rounding(level_found, level_expected, level_exact)
        difference = np.abs(level_found - level_expected).max()
        for row in level_expected:
            tied += _tied(row, count, difference)
    return tied


def _mxnet_scores(scores, known, pixels, dtype):
    """Compute the scores of each level, (B, N), with MXNet in a number type."""
    values = {name: value.astype(dtype) for name, value in known.items()}
    outputs = inference_block(scores, values, mx.cpu())(pixels.astype(dtype))
    return [output.asnumpy() for output in as_list(outputs)]


def _assert_rounding(found, expected, exact):
    """Check that the errors of some scores are of the size of MXNet's own."""
    error = np.abs(found - exact).max()
    limit = max(ROUNDING, RATIO * np.abs(expected - exact).max())
    assert error <= limit, f"the scores differ by {error} from float64, at most {limit} is rounding"


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


def _tied(row, count, difference):
    """Count the scores of a row (N,) that tie with the last of the ``count`` best."""
    ranked = np.sort(row)[::-1]
    last_chosen = ranked[count - 1]
    # A score of -1 is padding, which is no proposal.
    is_tied = (ranked[count:] >= last_chosen - 2 * difference) & (ranked[count:] >= 0)
    return int(is_tied.sum())
