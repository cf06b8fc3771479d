"""Converters of operators that move, join, split or repeat elements, or only read a shape."""

from typing import Dict, Sequence

from gluonnorm.deploy.onnx.converter import Convert, Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import FLOAT32, OnnxGraph

import numpy as np


def _transpose(graph: OnnxGraph, operation: Operation) -> str:
    """Convert transpose; without an attribute it reverses the order of the axes."""
    reversed_axes = tuple(reversed(range(operation.rank)))
    order = []
    for axis in operation.integers("axes", reversed_axes):
        order.append(axis % operation.rank)
    return graph.add("Transpose", operation.data, perm=order)


def _swap_axes(graph: OnnxGraph, operation: Operation) -> str:
    """Convert SwapAxis: two axes change places."""
    first = operation.axis("dim1", 0)
    second = operation.axis("dim2", 0)
    order = list(range(operation.rank))
    order[first] = second
    order[second] = first
    return graph.add("Transpose", operation.data, perm=order)


def _concat(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Concat, which joins arrays along one of their axes."""
    axis = operation.axis("dim", 1)
    return graph.add("Concat", *operation.inputs, axis=axis)


def _stack(graph: OnnxGraph, operation: Operation) -> str:
    """Convert stack, which joins arrays along a new axis."""
    axis = operation.axis("axis", 0, rank=operation.rank + 1)
    parts = []
    for array in operation.inputs:
        part = graph.add("Unsqueeze", array, graph.integers(axis))
        parts.append(part)
    return graph.add("Concat", *parts, axis=axis)


def _slice_channel(graph: OnnxGraph, operation: Operation) -> Sequence[str]:
    """Convert SliceChannel, which cuts an axis into equal parts.

    With ``squeeze_axis``, parts of length 1 lose that axis.
    """
    (num_parts,) = operation.integers("num_outputs")
    axis = operation.axis("axis", 1)
    parts = graph.add_several(num_parts, "Split", operation.data, axis=axis)
    if not operation.node.flag("squeeze_axis"):
        return parts
    squeezed_parts = []
    for part in parts:
        squeezed = graph.add("Squeeze", part, graph.integers(axis))
        squeezed_parts.append(squeezed)
    return squeezed_parts


def _repeat(graph: OnnxGraph, operation: Operation) -> str:
    """Convert repeat along an axis: each element comes several times in a row.

    ONNX repeats complete arrays. So the copies are made along a new axis behind the repeated one,
    which is then merged into it.
    """
    if not operation.integers("axis"):
        raise operation.refuse("it has no axis")
    (num_copies,) = operation.integers("repeats")
    axis = operation.axis("axis", 0)
    copies_by_axis = [1] * (operation.rank + 1)
    copies_by_axis[axis + 1] = num_copies
    growth_by_axis = [1] * operation.rank
    growth_by_axis[axis] = num_copies

    with_new_axis = graph.add("Unsqueeze", operation.data, graph.integers(axis + 1))
    copied = graph.add("Tile", with_new_axis, graph.integers(*copies_by_axis))
    old_shape = graph.add("Shape", operation.data)
    new_shape = graph.add("Mul", old_shape, graph.integers(*growth_by_axis))
    return graph.add("Reshape", copied, new_shape)


def _broadcast_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert broadcast_like: axes of length 1 get the lengths of another array."""
    data, other = operation.inputs
    shape = graph.add("Shape", other)
    return graph.add("Expand", data, shape)


def _arange_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert arange_like along an axis: 0, 1, ... up to the length of the axis."""
    if not operation.integers("axis"):
        raise operation.refuse("it has no axis")
    axis = operation.axis("axis", 0)
    length = graph.length(operation.data, axis)
    places = graph.count_to(length)
    return graph.cast(places, FLOAT32)


def _filled_like(number: float) -> Convert:
    """Make a converter of an operator that fills an array of its input's shape."""

    def convert(graph: OnnxGraph, operation: Operation) -> str:
        shape = graph.add("Shape", operation.data)
        element = np.array([number], np.float32)
        return graph.add("ConstantOfShape", shape, value=element)

    return convert


CONVERTERS: Dict[str, Converter] = {
    "Concat": Converter(
        _concat,
        reads=("dim",),
    ),
    "SliceChannel": Converter(
        _slice_channel,
        reads=("num_outputs", "axis", "squeeze_axis"),
    ),
    "SwapAxis": Converter(
        _swap_axes,
        reads=("dim1", "dim2"),
    ),
    "_contrib_arange_like": Converter(
        _arange_like,
        reads=("axis",),
        requires={"start": "0", "step": "1", "repeat": "1", "ctx": "None"},
    ),
    "broadcast_like": Converter(
        _broadcast_like,
        requires={"lhs_axes": "None", "rhs_axes": "None"},
    ),
    "ones_like": Converter(_filled_like(1)),
    "repeat": Converter(
        _repeat,
        reads=("repeats", "axis"),
    ),
    "stack": Converter(
        _stack,
        reads=("axis",),
    ),
    "transpose": Converter(
        _transpose,
        reads=("axes",),
    ),
    "zeros_like": Converter(_filled_like(0)),
}
