"""An ONNX graph under construction: its nodes, its constants, and the names of its values."""

from collections import Counter
from typing import Any, Dict, Hashable, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

# ONNX's numbers of the types that values are cast to (``onnx.TensorProto``).
FLOAT32 = 1
INT64 = 7
BOOL = 9
FLOAT64 = 11

Attribute = Union[int, float, str, Sequence[int], np.ndarray]


class OnnxNode(NamedTuple):
    """An operator of an ONNX graph.

    Attributes
    ----------
    op_type : str
        ONNX's name of the operator.
    inputs, outputs : tuple of str
        Names of values. An optional input that is left out is "".
    attributes : dict of str to attribute
        The operator's attributes.
    """

    op_type: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    attributes: Dict[str, Attribute]


class _AxisSlice(NamedTuple):
    """What a slice was cut from, and along which axis."""

    source: str
    axis: int


class OnnxGraph:
    """Collect the nodes of an ONNX graph in the order in which they run.

    Operators have no side effects, so a node with the operator, inputs and attributes of an earlier
    one is not added: its values are those of the earlier node.

    Attributes
    ----------
    nodes : list of OnnxNode
        The nodes so far.
    constants : dict of str to numpy.ndarray
        The constants so far by name, weights among them.
    outputs : list of str
        The names of the outputs.
    scope : str
        The beginning of the names of new values: the name of the node of MXNet.
    """

    def __init__(self) -> None:
        self.nodes: List[OnnxNode] = []
        self.constants: Dict[str, np.ndarray] = {}
        self.outputs: List[str] = []
        self.scope = ""
        self._known_outputs: Dict[Hashable, Tuple[str, ...]] = {}
        self._name_counts: Counter = Counter()
        self._truth_values: Dict[str, str] = {}
        self._slices: Dict[str, _AxisSlice] = {}

    def add(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operator with one output.

        Parameters
        ----------
        op_type : str
            ONNX's name of the operator.
        *inputs : str
            Names of values; "" for an optional input that is left out.
        **attributes
            The operator's attributes.

        Returns
        -------
        str
            The name of the output.
        """
        return self.add_several(1, op_type, *inputs, **attributes)[0]

    def add_several(
        self, num_outputs: int, op_type: str, *inputs: str, **attributes: Attribute
    ) -> Tuple[str, ...]:
        """Add an operator with several outputs.

        Parameters
        ----------
        num_outputs : int
            The number of outputs.
        op_type, *inputs, **attributes
            As for :meth:`add`.

        Returns
        -------
        tuple of str
            The names of the outputs.
        """
        described = tuple((name, _key(value)) for name, value in sorted(attributes.items()))
        key = (op_type, inputs, num_outputs, described)
        if key not in self._known_outputs:
            names = tuple(self._new_name(op_type) for _ in range(num_outputs))
            self.nodes.append(OnnxNode(op_type, inputs, names, attributes))
            self._known_outputs[key] = names
        return self._known_outputs[key]

    def name_output(self, value: str, name: str) -> None:
        """Make a value an output of the graph.

        Parameters
        ----------
        value : str
            Name of the value.
        name : str
            The name of the output, which no other value has.
        """
        self.nodes.append(OnnxNode("Identity", (value,), (name,), {}))
        self.outputs.append(name)

    def remove_unused(self) -> None:
        """Remove the nodes and constants that no output of the graph needs."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}

    def constant(self, array: np.ndarray) -> str:
        """Add a constant; equal ones are stored once.

        Parameters
        ----------
        array : numpy.ndarray
            Its value.

        Returns
        -------
        str
            The name of the value.
        """
        key = ("constant", _key(array))
        if key not in self._known_outputs:
            name = self._new_name("constant")
            self.constants[name] = array
            self._known_outputs[key] = (name,)
        return self._known_outputs[key][0]

    def number(self, value: float) -> str:
        """Add a float32 constant without axes.

        Parameters
        ----------
        value : float
            Its value.

        Returns
        -------
        str
            The name of the value.
        """
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Add an int64 constant with one axis.

        Parameters
        ----------
        *values : int
            Its elements.

        Returns
        -------
        str
            The name of the value.
        """
        return self.constant(np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Add an int64 constant without axes.

        Parameters
        ----------
        value : int
            Its value.

        Returns
        -------
        str
            The name of the value.
        """
        return self.constant(np.array(value, np.int64))

    def count_to(self, length: str) -> str:
        """Add the integers from 0 up to a length that is known while the graph runs.

        Parameters
        ----------
        length : str
            Name of the length, (1,) int64.

        Returns
        -------
        str
            The name of the integers, (length,) int64.
        """
        end = self.add("Squeeze", length, self.integers(0))
        return self.add("Range", self.integer(0), end, self.integer(1))

    def length(self, value: str, *axes: int) -> str:
        """Read the lengths of axes while the graph runs.

        Parameters
        ----------
        value : str
            Name of a value.
        *axes : int
            Its axes, from 0.

        Returns
        -------
        str
            The name of the lengths, (number of axes,) int64.
        """
        # A graph of MXNet reads the height and width of a slice of one channel, which costs less
        # there. Here the slice need not be made at all.
        while value in self._slices and self._slices[value].axis not in axes:
            value = self._slices[value].source
        return self.add("Gather", self.add("Shape", value), self.integers(*axes), axis=0)

    def slice_axis(self, value: str, axis: int, begin: int, end: int) -> str:
        """Cut a value along an axis.

        Parameters
        ----------
        value : str
            Name of the value.
        axis : int
            The axis, from 0.
        begin, end : int
            The first element, and the one behind the last; numbers below 0 count from the end.

        Returns
        -------
        str
            The name of the slice.
        """
        part = self.add(
            "Slice",
            value,
            self.integers(begin),
            self.integers(end),
            self.integers(axis),
        )
        self._slices[part] = _AxisSlice(value, axis)
        return part

    def cast(self, value: str, dtype: int) -> str:
        """Convert a value to another type.

        Parameters
        ----------
        value : str
            Name of the value.
        dtype : int
            ``FLOAT32``, ``FLOAT64``, ``INT64`` or ``BOOL``.

        Returns
        -------
        str
            The name of the converted value.
        """
        return self.add("Cast", value, to=dtype)

    def as_float(self, truth: str) -> str:
        """Convert truth values to 0 and 1, as MXNet's comparisons return them.

        Parameters
        ----------
        truth : str
            Name of a value of type bool.

        Returns
        -------
        str
            The name of a float32 value.
        """
        number = self.cast(truth, FLOAT32)
        self._truth_values[number] = truth
        return number

    def as_truth(self, number: str) -> str:
        """Convert numbers to truth values; the result of :meth:`as_float` needs no operator.

        Parameters
        ----------
        number : str
            Name of a float32 value.

        Returns
        -------
        str
            The name of a value of type bool: whether each number differs from 0.
        """
        return self._truth_values.get(number) or self.cast(number, BOOL)

    def _new_name(self, kind: str) -> str:
        """Make a name for a new value."""
        name = f"{self.scope}/{kind}"
        self._name_counts[name] += 1
        repeated = self._name_counts[name] - 1
        return f"{name}_{repeated}" if repeated else name


def _key(value: Any) -> Hashable:
    """Make a key that is equal for equal attributes and constants alone."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return tuple(value) if isinstance(value, (list, tuple)) else (type(value), value)
