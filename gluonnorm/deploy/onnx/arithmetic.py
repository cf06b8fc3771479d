"""Converters of operators that compute each element by itself."""

import math
from typing import Dict

from gluonnorm.deploy.onnx.converter import Convert, Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import FLOAT32, FLOAT64, OnnxGraph

import numpy as np

# Operators of two arrays. MXNet has one name for arrays of one shape, and one for broadcasting.
BINARY = {
    "elemwise_add": "Add",
    "elemwise_sub": "Sub",
    "elemwise_mul": "Mul",
    "elemwise_div": "Div",
    "broadcast_add": "Add",
    "broadcast_sub": "Sub",
    "broadcast_mul": "Mul",
    "broadcast_div": "Div",
    "broadcast_power": "Pow",
    "broadcast_maximum": "Max",
    "broadcast_minimum": "Min",
    "_maximum": "Max",
    "_minimum": "Min",
    "_power": "Pow",
    "_grad_add": "Add",
    "add_n": "Sum",
}
# The array is the first operand.
SCALAR = {
    "_plus_scalar": "Add",
    "_minus_scalar": "Sub",
    "_mul_scalar": "Mul",
    "_div_scalar": "Div",
    "_power_scalar": "Pow",
    "_maximum_scalar": "Max",
    "_minimum_scalar": "Min",
}
# The number is the first operand.
REVERSED_SCALAR = {
    "_rminus_scalar": "Sub",
    "_rdiv_scalar": "Div",
    "_rpower_scalar": "Pow",
}
# With this number as the second operand, an operator returns the array as it is. Formulas of
# detectors have many of these, where a convention adds 0.
NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
COMPARISONS = {
    "equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "lesser": "Less",
    "lesser_equal": "LessOrEqual",
}
UNARY = {
    "abs": "Abs",
    "ceil": "Ceil",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    # Operators that do nothing in inference.
    "BlockGrad": "Identity",
    "_copy": "Identity",
    "identity": "Identity",
}
ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softrelu": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}
TYPES = {"float32": FLOAT32}


def _elementwise(op_type: str) -> Convert:
    """Make a converter to an operator of ONNX that takes the same inputs."""

    def convert(graph: OnnxGraph, operation: Operation) -> str:
        return graph.add(op_type, *operation.inputs)

    return convert


def _with_scalar(op_type: str, reverse: bool) -> Convert:
    """Make a converter of an operator of an array and a number."""

    def convert(graph: OnnxGraph, operation: Operation) -> str:
        scalar = operation.number("scalar", 0)
        if not reverse and scalar == NEUTRAL.get(op_type):
            return operation.data
        operands = [operation.data, graph.number(scalar)]
        if reverse:
            operands.reverse()
        return graph.add(op_type, *operands)

    return convert


def _comparison(op_type: str, has_scalar: bool, negated: bool = False) -> Convert:
    """Make a converter of a comparison, which gives 0 and 1 in MXNet."""

    def convert(graph: OnnxGraph, operation: Operation) -> str:
        operands = list(operation.inputs)
        if has_scalar:
            operands.append(graph.number(operation.number("scalar", 0)))
        truth = graph.add(op_type, *operands)
        return graph.as_float(graph.add("Not", truth) if negated else truth)

    return convert


def _activation(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Activation."""
    act_type = operation.text("act_type", "")
    if act_type not in ACTIVATIONS:
        raise operation.refuse(f"its act_type is {act_type!r}")
    return graph.add(ACTIVATIONS[act_type], operation.data)


def _leaky_relu(graph: OnnxGraph, operation: Operation) -> str:
    """Convert LeakyReLU, which has several activations."""
    data = operation.data
    act_type = operation.text("act_type", "leaky")
    slope = operation.number("slope", 0.25)
    if act_type == "leaky":
        return graph.add("LeakyRelu", data, alpha=slope)
    if act_type == "elu":
        return graph.add("Elu", data, alpha=slope)
    raise operation.refuse(f"its act_type is {act_type!r}")


def _hard_sigmoid(graph: OnnxGraph, operation: Operation) -> str:
    """Convert hard_sigmoid."""
    return graph.add(
        "HardSigmoid",
        operation.data,
        alpha=operation.number("alpha", 0.2),
        beta=operation.number("beta", 0.5),
    )


def _clip(graph: OnnxGraph, operation: Operation) -> str:
    """Convert clip."""
    least = graph.number(operation.number("a_min", -math.inf))
    greatest = graph.number(operation.number("a_max", math.inf))
    return graph.add("Clip", operation.data, least, greatest)


def _square(graph: OnnxGraph, operation: Operation) -> str:
    """Convert square."""
    return graph.add("Mul", operation.data, operation.data)


def _rsqrt(graph: OnnxGraph, operation: Operation) -> str:
    """Convert rsqrt, 1 / sqrt(x)."""
    return graph.add("Reciprocal", graph.add("Sqrt", operation.data))


def _log2(graph: OnnxGraph, operation: Operation) -> str:
    """Convert log2."""
    # ONNX has the natural logarithm alone. In float32 the quotient would be 14.999999 for 2 ** 15,
    # and the level of a RoI is such a logarithm, rounded down.
    logarithm = graph.add("Log", graph.cast(operation.data, FLOAT64))
    quotient = graph.add("Div", logarithm, graph.constant(np.array(math.log(2))))
    return graph.cast(quotient, FLOAT32)


def _cast(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Cast; every value of the converted graph is float32."""
    dtype = operation.text("dtype", "")
    if dtype not in TYPES:
        raise operation.refuse(f"its dtype is {dtype!r}")
    return graph.cast(operation.data, TYPES[dtype])


def _where(graph: OnnxGraph, operation: Operation) -> str:
    """Convert where, whose condition may be one number for each row."""
    condition, chosen, other = operation.inputs
    truth = graph.as_truth(condition)
    missing_axes = range(operation.rank, operation.ranks[1])
    if missing_axes:
        truth = graph.add("Unsqueeze", truth, graph.integers(*missing_axes))
    return graph.add("Where", truth, chosen, other)


def _tables() -> Dict[str, Converter]:
    """Make the converters of all operators of the tables above."""
    converters = {}
    for name, op_type in {**BINARY, **UNARY}.items():
        converters[name] = Converter(_elementwise(op_type))
    for name, op_type in SCALAR.items():
        converters[name] = Converter(_with_scalar(op_type, reverse=False), ("scalar", "is_int"))
    for name, op_type in REVERSED_SCALAR.items():
        converters[name] = Converter(_with_scalar(op_type, reverse=True), ("scalar", "is_int"))
    compared = [(name, op_type, False) for name, op_type in COMPARISONS.items()]
    for name, op_type, negated in [*compared, ("not_equal", "Equal", True)]:
        of_arrays = _comparison(op_type, False, negated)
        of_number = _comparison(op_type, True, negated)
        converters[f"_{name}"] = Converter(of_arrays)
        converters[f"broadcast_{name}"] = Converter(of_arrays)
        converters[f"_{name}_scalar"] = Converter(of_number, ("scalar", "is_int"))
    return converters


CONVERTERS: Dict[str, Converter] = {
    **_tables(),
    "Activation": Converter(_activation, reads=("act_type",)),
    "Cast": Converter(_cast, reads=("dtype",)),
    # In inference the share p and the axes have no effect. The mode "always" would drop values.
    "Dropout": Converter(
        _elementwise("Identity"), reads=("p", "axes"), requires={"mode": "training"}
    ),
    "LeakyReLU": Converter(_leaky_relu, reads=("act_type", "slope")),
    "clip": Converter(_clip, reads=("a_min", "a_max")),
    "hard_sigmoid": Converter(_hard_sigmoid, reads=("alpha", "beta")),
    "log2": Converter(_log2),
    "rsqrt": Converter(_rsqrt),
    "square": Converter(_square),
    "where": Converter(_where),
}
