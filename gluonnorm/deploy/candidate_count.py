"""A detector's graph as the predictor runs it: checked, and with one more output where it can have it."""
import contextlib
import io
import warnings
from typing import Dict, List, Tuple

from gluonnorm.deploy.bundle import DeployError

import mxnet as mx

CANDIDATES = "candidates_output"  # how the name of the node ends, see ops.nms
NAMES = "ids (B, D, 1), scores (B, D, 1), boxes (B, D, 4) and perhaps masks (B, D, M, M)"


def expose_candidate_count(net: mx.gluon.HybridBlock) -> Tuple[mx.gluon.SymbolBlock, int]:
    """The inference graph of a detector, as a block on the detector's own parameters, and its number of outputs.

    Behind these there is one more output where the graph has the node: the scores of the best (RoI, class) pairs, best
    first, (B, ``max_candidates`` + 1), the last of them above the threshold only where pairs have been cut off.

    ``net`` stays as it is: hybridized or not, on its contexts. What its parameters become later the block sees.

    Raises DeployError for outputs that are not a detector's, in number or shape, or weights of shapes that do not fit.
    """
    data = mx.sym.var("data", dtype="float32")
    outputs = net(data)
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    parameters = net.collect_params()
    shapes = {name: _shape(parameters[name]) for name in symbol.list_arguments() if name != "data"}
    _check(symbol, {name: shape for name, shape in shapes.items() if shape and 0 not in shape})  # 0: not known yet
    internals = symbol.get_internals()
    candidates = [name for name in internals.list_outputs() if name.endswith(CANDIDATES)]
    block = mx.gluon.SymbolBlock([*symbol, *(internals[name] for name in candidates[:1])], data, params=parameters)
    return block, len(symbol.list_outputs())


def _check(symbol: mx.sym.Symbol, shapes: Dict[str, Tuple[int, ...]]) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # of MXNet: what is wrong is said below
        warnings.simplefilter("ignore")
        try:
            _, found, _ = symbol.infer_shape(data=(1, 3, 64, 64), **shapes)
        except mx.MXNetError as error:
            raise DeployError(f"weights do not fit the layers: {_reason(error)}") from error
    if found is None or not _is_detector(found):
        shown = ", ".join(map(str, found or ["of unknown shape"]))
        raise DeployError(f"the outputs of an image are {shown}; a detector's are {NAMES}")


def _shape(parameter: mx.gluon.Parameter) -> Tuple[int, ...]:
    if parameter.shape:
        return parameter.shape
    try:
        return parameter.list_data()[0].shape  # of a loaded block only its values know
    except RuntimeError:
        return ()


def _is_detector(shapes: List[Tuple[int, ...]]) -> bool:
    if len(shapes) not in (3, 4):
        return False
    rows = shapes[0][:2]
    return ([*shapes[:3]] == [(*rows, 1), (*rows, 1), (*rows, 4)]
            and all(len(shape) == 4 and shape[:2] == rows for shape in shapes[3:]))


def _reason(error: Exception) -> str:
    """MXNet's own words without its trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line[line.find("Error in operator"):] for line in lines if "Error in operator" in line), lines[-1])
