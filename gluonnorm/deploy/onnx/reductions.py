"""Converters of operators that compute one number of many: sums, means, matrix products."""

from typing import Dict, Tuple

from gluonnorm.deploy.onnx.converter import Convert, Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph

# Reductions whose axes are an attribute in ONNX. Those of a sum are an input.
REDUCTIONS = {
    "max": "ReduceMax",
    "mean": "ReduceMean",
    "min": "ReduceMin",
    "prod": "ReduceProd",
}


def _reduction(op_type: str) -> Convert:
    """Make a converter of one of ``REDUCTIONS``."""

    def convert(graph: OnnxGraph, operation: Operation) -> str:
        axes = _reduced_axes(operation)
        keepdims = int(operation.node.flag("keepdims"))
        reduced = graph.add(op_type, operation.data, axes=axes, keepdims=keepdims)
        return _with_an_axis(graph, operation, reduced)

    return convert


def _sum(graph: OnnxGraph, operation: Operation) -> str:
    """Convert sum."""
    axes = graph.integers(*_reduced_axes(operation))
    keepdims = int(operation.node.flag("keepdims"))
    reduced = graph.add("ReduceSum", operation.data, axes, keepdims=keepdims)
    return _with_an_axis(graph, operation, reduced)


def _reduced_axes(operation: Operation) -> Tuple[int, ...]:
    """List the axes over which an operator reduces, from 0; without an attribute, all."""
    all_axes = tuple(range(operation.rank))
    axes = operation.integers("axis", all_axes)
    return tuple(sorted(axis % operation.rank for axis in axes))


def _with_an_axis(graph: OnnxGraph, operation: Operation, reduced: str) -> str:
    """Give the result of a reduction over all axes the shape that it has in MXNet, (1,)."""
    reduces_all = len(_reduced_axes(operation)) == operation.rank
    if reduces_all and not operation.node.flag("keepdims"):
        return graph.add("Reshape", reduced, graph.integers(1))
    return reduced


def _softmax(graph: OnnxGraph, operation: Operation) -> str:
    """Convert softmax."""
    axis = operation.axis("axis", -1)
    return graph.add("Softmax", operation.data, axis=axis)


def _matrix_product(graph: OnnxGraph, operation: Operation) -> str:
    """Convert linalg_gemm2, the products of two stacks of matrices."""
    left, right = operation.inputs
    if operation.node.flag("transpose_a"):
        left = _transposed(graph, left, operation.rank)
    if operation.node.flag("transpose_b"):
        right = _transposed(graph, right, operation.rank)
    return graph.add("MatMul", left, right)


def _transposed(graph: OnnxGraph, matrices: str, rank: int) -> str:
    """Transpose each matrix of a stack with ``rank`` axes in all."""
    axes = list(range(rank))
    axes[-2:] = reversed(axes[-2:])
    return graph.add("Transpose", matrices, perm=axes)


def _diagonal(graph: OnnxGraph, operation: Operation) -> str:
    """Convert linalg_extractdiag, the diagonals of a stack of square matrices.

    All other elements are multiplied by 0 before each row is summed up.
    """
    last_axis = operation.rank - 1
    columns = graph.count_to(graph.length(operation.data, last_axis))
    rows = graph.add("Unsqueeze", columns, graph.integers(1))
    is_diagonal = graph.as_float(graph.add("Equal", rows, columns))
    diagonals = graph.add("Mul", operation.data, is_diagonal)
    return graph.add("ReduceSum", diagonals, graph.integers(last_axis), keepdims=0)


def _converters_of_reductions() -> Dict[str, Converter]:
    """Make the converters of all reductions."""
    functions = {name: _reduction(op_type) for name, op_type in REDUCTIONS.items()}
    converters = {}
    for name, function in {**functions, "sum": _sum}.items():
        converters[name] = Converter(
            function, reads=("axis", "keepdims"), requires={"exclude": "False"}
        )
    return converters


CONVERTERS: Dict[str, Converter] = {
    **_converters_of_reductions(),
    "_linalg_extractdiag": Converter(_diagonal, requires={"offset": "0"}),
    "_linalg_gemm2": Converter(
        _matrix_product,
        reads=("transpose_a", "transpose_b"),
        requires={"alpha": "1", "axis": "-2"},
    ),
    "softmax": Converter(
        _softmax,
        reads=("axis",),
        requires={"temperature": "None", "use_length": "False", "dtype": "None"},
    ),
}
