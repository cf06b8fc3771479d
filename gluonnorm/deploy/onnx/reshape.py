"""Converters of operators that change the axes of an array, and neither elements nor order.

MXNet infers shapes before a graph runs. An ONNX graph takes images of any size, so operators of
ONNX compute the shapes while it runs.
"""

from typing import Dict, List, Tuple, Union

from gluonnorm.deploy.onnx.converter import Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph

# Codes of MXNet's Reshape. A positive number is a length.
KEEP = 0
INFER = -1
KEEP_REST = -2
MERGE_TWO = -3
SPLIT = -4

# A length of the new shape: a number, or the name of a value of shape (1,). As in ONNX, 0 keeps
# the length of the axis in the same place, and -1 is inferred from the number of elements.
Length = Union[int, str]


def _reshape(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Reshape, whose shape is a list of codes."""
    codes = list(operation.integers("shape"))
    shape = _NewShape(graph, operation, infers_several=codes.count(INFER) > 1)
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
    """The shape that a Reshape of MXNet gives, built code by code.

    Each method appends the lengths of one code, and goes on to the next axis of the input that no
    code has used.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that computes the lengths.
    operation : Operation
        The Reshape.
    infers_several : bool
        Whether several lengths are inferred. MXNet infers one for the array, and one in each axis
        that is split. ONNX infers a single one, so those of splits are then computed.
    """

    def __init__(self, graph: OnnxGraph, operation: Operation, infers_several: bool) -> None:
        self._graph = graph
        self._operation = operation
        self._infers_several = infers_several
        self._next_axis = 0
        self._lengths: List[Length] = []

    def keep(self) -> None:
        """Keep the next axis."""
        if len(self._lengths) == self._next_axis:
            self._lengths.append(KEEP)
        else:
            self._lengths.append(self._input_length(self._next_axis))
        self._next_axis += 1

    def keep_rest(self) -> None:
        """Keep all further axes."""
        while self._next_axis < self._operation.rank:
            self.keep()

    def merge_two(self) -> None:
        """Make one axis of the next two."""
        first_length = self._input_length(self._next_axis)
        second_length = self._input_length(self._next_axis + 1)
        product = self._graph.add("Mul", first_length, second_length)
        self._lengths.append(product)
        self._next_axis += 2

    def split(self, outer: int, inner: int) -> None:
        """Make two axes of the next one; the length of one of them may be inferred."""
        lengths: List[Length] = [outer, inner]
        if self._infers_several and INFER in lengths:
            known_length = self._graph.integers(max(outer, inner))
            complete_length = self._input_length(self._next_axis)
            quotient = self._graph.add("Div", complete_length, known_length)
            lengths[lengths.index(INFER)] = quotient
        self._lengths.extend(lengths)
        self._next_axis += 1

    def set_length(self, length: int) -> None:
        """Give the next axis a length, or infer it from the number of elements."""
        self._lengths.append(length)
        self._next_axis += 1

    def value(self) -> str:
        """Return the name of the shape."""
        numbers = [length for length in self._lengths if isinstance(length, int)]
        if len(numbers) == len(self._lengths):
            return self._graph.integers(*numbers)
        names = []
        for length in self._lengths:
            name = self._graph.integers(length) if isinstance(length, int) else length
            names.append(name)
        return self._graph.add("Concat", *names, axis=0)

    def _input_length(self, axis: int) -> str:
        """Read the length of an axis of the input while the graph runs."""
        return self._graph.length(self._operation.data, axis)


def _reshape_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert reshape_like.

    The axes of the first array from ``lhs_begin`` to ``lhs_end`` become those of the second array
    from ``rhs_begin`` to ``rhs_end``. Without these attributes all axes do.
    """
    data, other = operation.inputs
    begin, end = _axis_range(operation, "lhs", operation.ranks[0])
    other_begin, other_end = _axis_range(operation, "rhs", operation.ranks[1])
    kept_before = range(begin)
    taken = range(other_begin, other_end)
    kept_behind = range(end, operation.rank)

    parts = []
    for array, axes in ((data, kept_before), (other, taken), (data, kept_behind)):
        if axes:
            parts.append(graph.length(array, *axes))
    shape = graph.add("Concat", *parts, axis=0)
    return graph.add("Reshape", data, shape)


def _axis_range(operation: Operation, side: str, rank: int) -> Tuple[int, int]:
    """Read the first axis of a side of reshape_like, and the one behind the last, from 0."""
    (begin,) = operation.integers(f"{side}_begin", (0,))
    (end,) = operation.integers(f"{side}_end", (rank,))
    return begin % rank, end if end >= 0 else end + rank


def _flatten(graph: OnnxGraph, operation: Operation) -> str:
    """Convert Flatten: all axes but the first become one."""
    return graph.add("Flatten", operation.data, axis=1)


def _expand_dims(graph: OnnxGraph, operation: Operation) -> str:
    """Convert expand_dims, which adds an axis of length 1.

    A number below 0 counts from the end of the result, in ONNX as in MXNet.
    """
    axis = graph.integers(*operation.integers("axis"))
    return graph.add("Unsqueeze", operation.data, axis)


def _squeeze(graph: OnnxGraph, operation: Operation) -> str:
    """Convert squeeze of axes that the attribute names.

    Without the attribute, MXNet removes all axes of length 1. Which these are may depend on the
    size of the image.
    """
    axes = operation.integers("axis")
    if not axes:
        raise operation.refuse("it has no axis")
    return graph.add("Squeeze", operation.data, graph.integers(*axes))


CONVERTERS: Dict[str, Converter] = {
    "Flatten": Converter(_flatten),
    "Reshape": Converter(
        _reshape,
        reads=("shape",),
        requires={"reverse": "False"},
    ),
    "expand_dims": Converter(
        _expand_dims,
        reads=("axis",),
    ),
    "reshape_like": Converter(
        _reshape_like,
        reads=("lhs_begin", "lhs_end", "rhs_begin", "rhs_end"),
    ),
    "squeeze": Converter(
        _squeeze,
        reads=("axis",),
    ),
}
