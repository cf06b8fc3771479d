"""Converters of operators that move elements without computing: reshape, concatenate, repeat.

MXNet infers shapes before a graph runs, and ONNX may not: the sizes of images are open. Shapes are
therefore computed by operators of ONNX while the graph runs.
"""

from typing import Dict, List, Sequence, Tuple, Union

from gluonnorm.deploy.onnx.converter import Convert, Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import FLOAT32, OnnxGraph

import numpy as np

# Codes of MXNet's Reshape. A positive number is a length.
KEEP = 0
INFER = -1
KEEP_REST = -2
MERGE_TWO = -3
SPLIT = -4

# A length of the new shape: a number, or the name of a value of shape (1,). As in ONNX, 0 keeps
# the axis of the same place, and -1 is inferred.
Length = Union[int, str]


def _reshape(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Reshape with all its codes."""
    codes = list(operation.integers("shape"))
    # ONNX infers one length. MXNet also infers one in each axis that is split.
    computes_splits = codes.count(INFER) > 1
    shape = _NewShape(graph, operation, computes_splits)
    while codes:
        code = codes.pop(0)
        if code == KEEP:
            shape.keep()
        elif code == KEEP_REST:
            shape.keep_rest()
        elif code == MERGE_TWO:
            shape.merge_two()
        elif code == SPLIT:
            outer = codes.pop(0)
            inner = codes.pop(0)
            shape.split(outer, inner)
        else:
            shape.set_length(code)
    return graph.add("Reshape", operation.data, shape.value())


class _NewShape:
    """Build the shape that a Reshape of MXNet gives.

    Each method appends the lengths of one code or two, and moves on to the next axis of the input
    that no code has used.
    """

    def __init__(self, graph: OnnxGraph, operation: Operation, computes_splits: bool) -> None:
        self._graph = graph
        self._operation = operation
        self._computes_splits = computes_splits
        self._next_axis = 0
        self._lengths: List[Length] = []

    def keep(self) -> None:
        """Keep the next axis."""
        has_its_place = len(self._lengths) == self._next_axis
        self._lengths.append(0 if has_its_place else self._input_length(self._next_axis))
        self._next_axis += 1

    def keep_rest(self) -> None:
        """Keep all further axes."""
        while self._next_axis < self._operation.rank:
            self.keep()

    def merge_two(self) -> None:
        """Merge the next two axes."""
        first = self._input_length(self._next_axis)
        second = self._input_length(self._next_axis + 1)
        self._lengths.append(self._graph.add("Mul", first, second))
        self._next_axis += 2

    def split(self, outer: int, inner: int) -> None:
        """Split the next axis into two; the length of one of them may be inferred."""
        lengths: List[Length] = [outer, inner]
        if INFER in lengths and self._computes_splits:
            known = self._graph.integers(max(outer, inner))
            length = self._input_length(self._next_axis)
            lengths[lengths.index(INFER)] = self._graph.add("Div", length, known)
        self._lengths.extend(lengths)
        self._next_axis += 1

    def set_length(self, length: int) -> None:
        """Set the length of the next axis; -1 infers it."""
        self._lengths.append(length)
        self._next_axis += 1

    def value(self) -> str:
        """Return the name of the shape."""
        numbers = [length for length in self._lengths if isinstance(length, int)]
        if len(numbers) == len(self._lengths):
            return self._graph.integers(*numbers)
        parts = []
        for length in self._lengths:
            if isinstance(length, int):
                length = self._graph.integers(length)
            parts.append(length)
        return self._graph.add("Concat", *parts, axis=0)

    def _input_length(self, axis: int) -> str:
        """Read the length of an axis of the input while the graph runs."""
        return self._graph.length(self._operation.data, axis)


def _reshape_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert reshape_like.

    The axes from ``lhs_begin`` to ``lhs_end`` become those of the other array from ``rhs_begin`` to
    ``rhs_end``; all axes, if there are no such attributes.
    """
    data, other = operation.inputs
    begin, end = _replaced_axes(operation, "lhs", operation.rank)
    other_begin, other_end = _replaced_axes(operation, "rhs", operation.ranks[1])
    parts = [graph.length(other, *range(other_begin, other_end))]
    if begin > 0:
        parts.insert(0, graph.length(data, *range(begin)))
    if end < operation.rank:
        parts.append(graph.length(data, *range(end, operation.rank)))
    return graph.add("Reshape", data, graph.add("Concat", *parts, axis=0))


def _replaced_axes(operation: Operation, side: str, rank: int) -> Tuple[int, int]:
    """Read from which axis to which one a side of reshape_like is used, counted from 0."""
    (begin,) = operation.integers(f"{side}_begin", (0,))
    (end,) = operation.integers(f"{side}_end", (rank,))
    return begin % rank, end if end >= 0 else end + rank


def _flatten(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Flatten: all axes but the first become one."""
    return graph.add("Flatten", operation.data, axis=1)


def _transpose(graph: OnnxGraph, operation: Operation) -> str:
    """Convert transpose; without axes it reverses their order."""
    reversed_axes = tuple(reversed(range(operation.rank)))
    axes = operation.integers("axes", reversed_axes)
    order = [axis % operation.rank for axis in axes]
    return graph.add("Transpose", operation.data, perm=order)


def _swap_axes(graph: OnnxGraph, operation: Operation) -> str:
    """Convert SwapAxis.

    Two axes change places.
    """
    first = operation.axis("dim1", 0)
    second = operation.axis("dim2", 0)
    order = list(range(operation.rank))
    order[first] = second
    order[second] = first
    return graph.add("Transpose", operation.data, perm=order)


def _expand_dims(graph: OnnxGraph, operation: Operation) -> str:
    """Convert expand_dims.

    The new axis has the length 1. In both, a number below 0 counts from the end of the result.
    """
    axis = graph.integers(*operation.integers("axis"))
    return graph.add("Unsqueeze", operation.data, axis)


def _squeeze(graph: OnnxGraph, operation: Operation) -> str:
    """Convert squeeze of given axes.

    Without an attribute, MXNet removes all axes of length 1. Which these are may depend on the
    image.
    """
    axes = operation.integers("axis")
    if not axes:
        raise operation.refuse("it has no axis")
    return graph.add("Squeeze", operation.data, graph.integers(*axes))


def _stack(graph: OnnxGraph, operation: Operation) -> str:
    """Convert stack.

    The arrays are put beside each other along a new axis.
    """
    axis = operation.axis("axis", 0, rank=operation.rank + 1)
    new_axis = graph.integers(axis)
    parts = [graph.add("Unsqueeze", part, new_axis) for part in operation.inputs]
    return graph.add("Concat", *parts, axis=axis)


def _concat(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Concat."""
    axis = operation.axis("dim", 1)
    return graph.add("Concat", *operation.inputs, axis=axis)


def _slice_channel(graph: OnnxGraph, operation: Operation) -> Sequence[str]:
    """Convert SliceChannel.

    An axis is cut into equal parts. With ``squeeze_axis`` the parts of length 1 lose that axis.
    """
    (count,) = operation.integers("num_outputs")
    axis = operation.axis("axis", 1)
    parts = graph.add_several(count, "Split", operation.data, axis=axis)
    if not operation.node.flag("squeeze_axis"):
        return parts
    squeezed_axis = graph.integers(axis)
    return [graph.add("Squeeze", part, squeezed_axis) for part in parts]


def _repeat(graph: OnnxGraph, operation: Operation) -> str:
    """Convert repeat along an axis.

    Each element comes several times in a row. ONNX repeats complete arrays only.
    """
    if not operation.integers("axis"):
        raise operation.refuse("it has no axis")
    (repeats,) = operation.integers("repeats")
    axis = operation.axis("axis", 0)
    # The copies are made along a new axis behind the repeated one, which then becomes part of it.
    copies = [1] * (operation.rank + 1)
    copies[axis + 1] = repeats
    factors = [1] * operation.rank
    factors[axis] = repeats
    expanded = graph.add("Unsqueeze", operation.data, graph.integers(axis + 1))
    copied = graph.add("Tile", expanded, graph.integers(*copies))
    shape = graph.add("Mul", graph.add("Shape", operation.data), graph.integers(*factors))
    return graph.add("Reshape", copied, shape)


def _broadcast_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert broadcast_like."""
    data, other = operation.inputs
    return graph.add("Expand", data, graph.add("Shape", other))


def _arange_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert arange_like along an axis."""
    if not operation.integers("axis"):
        raise operation.refuse("it has no axis")
    axis = operation.axis("axis", 0)
    places = graph.count_to(graph.length(operation.data, axis))
    return graph.cast(places, FLOAT32)


def _filled_like(number: float) -> Convert:
    """Make a converter of an operator that fills an array of its input's shape."""

    def convert(graph: OnnxGraph, operation: Operation) -> str:
        shape = graph.add("Shape", operation.data)
        return graph.add("ConstantOfShape", shape, value=np.array([number], np.float32))

    return convert


CONVERTERS: Dict[str, Converter] = {
    "Concat": Converter(_concat, reads=("dim",)),
    "Flatten": Converter(_flatten),
    "Reshape": Converter(_reshape, reads=("shape",), requires={"reverse": "False"}),
    "SliceChannel": Converter(_slice_channel, reads=("num_outputs", "axis", "squeeze_axis")),
    "SwapAxis": Converter(_swap_axes, reads=("dim1", "dim2")),
    "_contrib_arange_like": Converter(
        _arange_like,
        reads=("axis",),
        requires={"start": "0", "step": "1", "repeat": "1", "ctx": "None"},
    ),
    "broadcast_like": Converter(_broadcast_like, requires={"lhs_axes": "None", "rhs_axes": "None"}),
    "expand_dims": Converter(_expand_dims, reads=("axis",)),
    "ones_like": Converter(_filled_like(1)),
    "repeat": Converter(_repeat, reads=("repeats", "axis")),
    "reshape_like": Converter(
        _reshape_like, reads=("lhs_begin", "lhs_end", "rhs_begin", "rhs_end")
    ),
    "squeeze": Converter(_squeeze, reads=("axis",)),
    "stack": Converter(_stack, reads=("axis",)),
    "transpose": Converter(_transpose, reads=("axes",)),
    "zeros_like": Converter(_filled_like(0)),
}
