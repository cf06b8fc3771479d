"""Converters of operators that select elements: slices, top-k, reads by index."""

from typing import Dict, List, Optional, Sequence, Union

from gluonnorm.deploy.onnx.converter import Converter, Operation
from gluonnorm.deploy.onnx.onnx_graph import FLOAT32, INT64, OnnxGraph

import numpy as np

# The bound of a slice that is open: ONNX moves it to the end of the axis.
OPEN = np.iinfo(np.int64).max


def _slice_axis(graph: OnnxGraph, operation: Operation) -> str:
    """Convert slice_axis.

    Bounds below 0 count from the end in both. MXNet writes an open end as None.
    """
    (begin,) = operation.integers("begin")
    (end,) = operation.integers("end", (OPEN,))
    axis = operation.axis("axis", 0)
    return graph.slice_axis(operation.data, axis, begin, end)


def _slice(graph: OnnxGraph, operation: Operation) -> str:
    """Convert slice.

    It has bounds for the first axes, each of which may be open, and perhaps steps.
    """
    begins = _bounds(operation, "begin")
    ends = _bounds(operation, "end")
    steps = [step or 1 for step in _bounds(operation, "step")]
    if not steps:
        steps = [1] * len(begins)
    known_begins = []
    known_ends = []
    for begin, end, step in zip(begins, ends, steps):
        # A slice with a negative step goes from the end to the beginning.
        first, last = (0, OPEN) if step > 0 else (OPEN, -OPEN)
        known_begins.append(first if begin is None else begin)
        known_ends.append(last if end is None else end)
    axes = range(len(begins))
    return graph.add(
        "Slice",
        operation.data,
        graph.integers(*known_begins),
        graph.integers(*known_ends),
        graph.integers(*axes),
        graph.integers(*steps),
    )


def _bounds(operation: Operation, name: str) -> List[Optional[int]]:
    """Read the numbers of a slice.

    The text is like "(None, 2)". An attribute that is not set has no numbers.
    """
    text = operation.text(name, "()").strip("()[], ")
    if not text:
        return []
    numbers: List[Optional[int]] = []
    for part in text.split(","):
        number = part.strip()
        numbers.append(None if number == "None" else int(number))
    return numbers


def _slice_like(graph: OnnxGraph, operation: Operation) -> str:
    """Convert slice_like.

    The first array is cut to the lengths of the second one, along all its axes or some.
    """
    data, other = operation.inputs
    all_axes = tuple(range(operation.ranks[1]))
    axes = []
    for axis in operation.integers("axes", all_axes):
        axes.append(axis % operation.rank)
    begins = [0] * len(axes)
    return graph.add(
        "Slice",
        data,
        graph.integers(*begins),
        graph.length(other, *axes),
        graph.integers(*axes),
    )


def _top_k(graph: OnnxGraph, operation: Operation) -> Union[str, Sequence[str]]:
    """Convert topk.

    Of equal numbers, ONNX takes those that come first. MXNet takes any of them.
    """
    (count,) = operation.integers("k", (1,))
    if count < 1:
        raise operation.refuse(f"its k is {count}")
    is_ascending = operation.node.flag("is_ascend")
    values, places = graph.add_several(
        2,
        "TopK",
        operation.data,
        graph.integers(count),
        axis=operation.axis("axis", -1),
        largest=int(not is_ascending),
    )
    returned = operation.text("ret_typ", "indices")
    if returned == "value":
        return values
    indices = graph.cast(places, FLOAT32)
    if returned == "indices":
        return indices
    if returned == "both":
        return values, indices
    raise operation.refuse(f"its ret_typ is {returned!r}")


def _take(graph: OnnxGraph, operation: Operation) -> str:
    """Convert take.

    For an index below 0, MXNet reads the first element, and for one that is too large, the last.
    ONNX would count the first kind from the end, and refuse the second.
    """
    data, indices = operation.inputs
    axis = operation.axis("axis", 0)
    length = graph.length(data, axis)
    last = graph.add("Sub", length, graph.integers(1))
    places = graph.cast(indices, INT64)
    places = graph.add("Max", places, graph.integer(0))
    places = graph.add("Min", places, last)
    return graph.add("Gather", data, places, axis=axis)


def _gather_nd(graph: OnnxGraph, operation: Operation) -> str:
    """Convert gather_nd.

    The axis of coordinates is the first one of the indices in MXNet, and the last one in ONNX.
    """
    data, indices = operation.inputs
    other_axes = range(1, operation.ranks[1])
    coordinates = graph.add(
        "Transpose",
        graph.cast(indices, INT64),
        perm=(*other_axes, 0),
    )
    return graph.add("GatherND", data, coordinates)


CONVERTERS: Dict[str, Converter] = {
    "gather_nd": Converter(_gather_nd),
    "slice": Converter(_slice, reads=("begin", "end", "step")),
    "slice_axis": Converter(_slice_axis, reads=("axis", "begin", "end")),
    "slice_like": Converter(_slice_like, reads=("axes",)),
    "take": Converter(
        _take,
        reads=("axis",),
        requires={"mode": "clip"},
    ),
    "topk": Converter(
        _top_k,
        reads=("axis", "k", "ret_typ", "is_ascend"),
        requires={"dtype": "float32"},
    ),
}
