"""The graph of a detector with one output more, which shows whether candidates were cut off."""

import contextlib
import io
import warnings
from typing import Dict, List, NamedTuple, Sequence

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.errors import first_line
from gluonnorm.types import Shape

import mxnet as mx

# How the name of the output ends; ``ops.nms`` names the operator.
CANDIDATES = "candidates_output"
DETECTOR_OUTPUTS = "ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) and perhaps masks (B, D, M, M)"


class DetectorGraph(NamedTuple):
    """A detector with its candidates' scores as a further output.

    Attributes
    ----------
    block : mx.gluon.SymbolBlock
        The graph, on the parameters of the detector: changes of their values are effective at once.
    num_outputs : int
        Number of the detector's own outputs. If ``block`` returns one more, that is the scores of
        the best pairs of RoI and class, best first, (B, ``max_candidates`` + 1). Its last column is
        above the score threshold if candidates were cut off.
    """

    block: mx.gluon.SymbolBlock
    num_outputs: int


def expose_candidate_count(net: mx.gluon.HybridBlock) -> DetectorGraph:
    """Trace a detector into a graph that also returns the scores of its candidates.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A detector. It remains as it is: hybridized or not, on its contexts.

    Returns
    -------
    DetectorGraph
        The block and the number of the detector's outputs. The earliest exports do not have the
        node; the block then returns only the detector's outputs.

    Raises
    ------
    DeployError
        The outputs are not those of a detector, in number or shape, or weights have shapes that do
        not fit.
    """
    data = mx.sym.var("data", dtype="float32")
    outputs = net(data)
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    parameters = net.collect_params()
    _check_outputs(symbol, _known_shapes(symbol, parameters))
    block = mx.gluon.SymbolBlock(list(with_candidates(symbol)), data, params=parameters)
    return DetectorGraph(block, len(symbol.list_outputs()))


def with_candidates(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """Append the scores of the candidates to the outputs of a detector.

    Parameters
    ----------
    symbol : mx.sym.Symbol
        The graph of a detector.

    Returns
    -------
    mx.sym.Symbol
        The same graph. Its last output is the scores of the best pairs of RoI and class, see
        :class:`DetectorGraph`. Without the node of these scores, the graph remains as it is.
    """
    internals = symbol.get_internals()
    for name in internals.list_outputs():
        if name.endswith(CANDIDATES):
            return mx.sym.Group([*symbol, internals[name]])
    return symbol


def _known_shapes(symbol: mx.sym.Symbol, parameters: mx.gluon.ParameterDict) -> Dict[str, Shape]:
    """Shapes of the arguments of a graph, apart from its input and from those not known yet."""
    shapes = {}
    for name in symbol.list_arguments():
        if name == "data":
            continue
        shape = _parameter_shape(parameters[name])
        # A length of 0 waits for the first forward pass.
        if shape and 0 not in shape:
            shapes[name] = shape
    return shapes


def _parameter_shape(parameter: mx.gluon.Parameter) -> Shape:
    """Shape of a parameter; () if it is not known yet."""
    if parameter.shape:
        return parameter.shape
    # The parameters of a loaded SymbolBlock have no shape of their own, only their values have.
    try:
        return parameter.list_data()[0].shape
    except RuntimeError:
        return ()


def _check_outputs(symbol: mx.sym.Symbol, shapes: Dict[str, Shape]) -> None:
    """Raise DeployError unless a graph has the outputs of a detector."""
    # MXNet warns and prints while it infers shapes. The error below says what is wrong.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            _, output_shapes, _ = symbol.infer_shape(data=(1, 3, 64, 64), **shapes)
        except mx.MXNetError as error:
            raise DeployError(f"weights do not fit the layers: {_operator_error(error)}") from error
    if output_shapes is None or not _is_detector(output_shapes):
        shown = ", ".join(map(str, output_shapes or ["of unknown shape"]))
        raise DeployError(
            f"the outputs of an image are {shown}; a detector's are {DETECTOR_OUTPUTS}"
        )


def _is_detector(shapes: Sequence[Shape]) -> bool:
    """Tell whether the shapes of outputs are those of ids, scores, boxes and perhaps masks."""
    if len(shapes) not in (3, 4):
        return False
    ids, scores, boxes, *masks = shapes
    rows = ids[:2]
    expected: List[Shape] = [(*rows, 1), (*rows, 1), (*rows, 4)]
    if [ids, scores, boxes] != expected:
        return False
    return all(len(shape) == 4 and shape[:2] == rows for shape in masks)


def _operator_error(error: mx.MXNetError) -> str:
    """The part of MXNet's message that names the operator, without the stack trace around it."""
    for line in str(error).splitlines():
        start = line.find("Error in operator")
        if start >= 0:
            return line[start:].strip()
    return first_line(error)
