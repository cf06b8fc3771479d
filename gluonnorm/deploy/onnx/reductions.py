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
        reduced = graph.add(
            op_type,
            operation.data,
            axes=_reduced_axes(operation),
            keepdims=_keeps_axes(operation),
        )
        return _with_one_axis(graph, operation, reduced)

    return convert


def _sum(graph: OnnxGraph, operation: Operation) -> str:
    """Convert sum."""
    axes = _reduced_axes(operation)
    reduced = graph.add(
        "ReduceSum",
        operation.data,
        graph.integers(*axes),
        keepdims=_keeps_axes(operation),
    )
    return _with_one_axis(graph, operation, reduced)


def _reduced_axes(operation: Operation) -> Tuple[int, ...]:
    """List the axes over which an operator reduces, from 0; without an attribute, all."""
    all_axes = tuple(range(operation.rank))
    axes = []
    for axis in operation.integers("axis", all_axes):
        axes.append(axis % operation.rank)
    return tuple(sorted(axes))


def _keeps_axes(operation: Operation) -> int:
    """Return 1 if the reduced axes remain with length 1, else 0, as ONNX writes it."""
    return int(operation.node.flag("keepdims"))


def _with_one_axis(graph: OnnxGraph, operation: Operation, reduced: str) -> str:
    """Give the result of a reduction over all axes the shape (1,), which it has in MXNet."""
    if _keeps_axes(operation):
        return reduced
    if len(_reduced_axes(operation)) < operation.rank:
        return reduced
    return graph.add("Reshape", reduced, graph.integers(1))


def _softmax(graph: OnnxGraph, operation: Operation) -> str:
    """Convert softmax along an axis."""
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
    stack_axes = range(rank - 2)
    row_axis = rank - 2
    column_axis = rank - 1
    order = (*stack_axes, column_axis, row_axis)
    return graph.add("Transpose", matrices, perm=order)


def _diagonal(graph: OnnxGraph, operation: Operation) -> str:
    """Convert linalg_extractdiag, the diagonals of a stack of square matrices.

    ONNX has no such operator. All other elements are multiplied by 0, and each row is summed up.
    """
    last_axis = operation.rank - 1
    num_columns = graph.length(operation.data, last_axis)
    columns = graph.count_to(num_columns)
    rows = graph.add("Unsqueeze", columns, graph.integers(1))
    is_diagonal = graph.add("Equal", rows, columns)
    diagonals = graph.add("Mul", operation.data, graph.as_float(is_diagonal))
    return graph.add(
        "ReduceSum",
        diagonals,
        graph.integers(last_axis),
        keepdims=0,
    )


def _converters_of_reductions() -> Dict[str, Converter]:
    """Make the converters of all reductions."""
    functions: Dict[str, Convert] = {"sum": _sum}
    for name, op_type in REDUCTIONS.items():
        functions[name] = _reduction(op_type)
    converters = {}
    for name, function in functions.items():
        converters[name] = Converter(
            function,
            reads=("axis", "keepdims"),
            requires={"exclude": "False"},
        )
    return converters


CONVERTERS: Dict[str, Converter] = {
    **_converters_of_reductions(),
    "_linalg_extractdiag": Converter(
        _diagonal,
        requires={"offset": "0"},
    ),
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
