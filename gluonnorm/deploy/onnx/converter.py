"""What a converter of an operator is, and what it is given."""

from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple, Union

from gluonnorm.deploy.bundle import DeployError
from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph
from gluonnorm.graph.nodes import Node

# Attributes that tell an operator how to compute, and not what, or repeat the number of inputs.
IGNORED_ATTRIBUTES = ("num_args", "workspace", "cudnn_off", "cudnn_tune", "cudnn_algo_verbose")


class Operation(NamedTuple):
    """An operator of MXNet that is converted.

    Attributes
    ----------
    node : Node
        The operator with its attributes.
    inputs : list of str
        The names of its inputs in the ONNX graph.
    ranks : list of int
        The number of axes of each input.
    """

    node: Node
    inputs: List[str]
    ranks: List[int]

    @property
    def data(self) -> str:
        """The name of the first input."""
        return self.inputs[0]

    @property
    def rank(self) -> int:
        """The number of axes of the first input."""
        return self.ranks[0]

    def text(self, name: str, default: str) -> str:
        """Read an attribute as it is written.

        Parameters
        ----------
        name : str
            Name of the attribute.
        default : str
            Value of an attribute that is not set.

        Returns
        -------
        str
            The value.
        """
        return self.node.attrs.get(name, default)

    def number(self, name: str, default: float) -> float:
        """Read an attribute that is a number.

        Parameters
        ----------
        name : str
            Name of the attribute.
        default : float
            Value of an attribute that is not set.

        Returns
        -------
        float
            The value.
        """
        return float(self.node.attrs.get(name, default))

    def integers(self, name: str, default: Sequence[int] = ()) -> Tuple[int, ...]:
        """Read an attribute that holds integers.

        Parameters
        ----------
        name : str
            Name of the attribute.
        default : sequence of int
            Value of an attribute that is not set, empty, or None.

        Returns
        -------
        tuple of int
            The value.
        """
        if self.text(name, "None") == "None":
            return tuple(default)
        return self.node.numbers(name) or tuple(default)

    def axis(self, name: str, default: int, rank: int = 0) -> int:
        """Read an attribute that is an axis of the first input, and count it from 0.

        Parameters
        ----------
        name : str
            Name of the attribute.
        default : int
            Value of an attribute that is not set.
        rank : int
            The number of axes from which a negative one is counted, if it is not that of the first
            input.

        Returns
        -------
        int
            The axis.
        """
        (axis,) = self.integers(name, (default,))
        return axis % (rank or self.rank)

    def refuse(self, reason: str) -> DeployError:
        """Make the error of an operator that cannot be converted.

        Parameters
        ----------
        reason : str
            What about it cannot be converted.

        Returns
        -------
        DeployError
            The error, to be raised.
        """
        return _refusal(self.node, reason)


Convert = Callable[[OnnxGraph, Operation], Union[str, Sequence[str]]]


class Converter(NamedTuple):
    """How an operator is converted.

    An attribute that is neither read nor required is an error, so that none is overlooked.

    Attributes
    ----------
    convert : callable
        Adds nodes to an ONNX graph and returns the name of the output, or the names of several.
    reads : tuple of str
        The attributes that it reads.
    requires : dict of str to str
        Attributes that must have this value, if they are set.
    """

    convert: Convert
    reads: Tuple[str, ...] = ()
    requires: Dict[str, str] = {}

    def check(self, node: Node) -> None:
        """Refuse attributes that the converter does not know.

        Parameters
        ----------
        node : Node
            The operator.

        Raises
        ------
        DeployError
            An attribute is unknown, or has another value than the converter requires.
        """
        for name, value in node.attrs.items():
            # MXNet writes hints of the user, such as a learning rate, with underscores.
            if name in self.reads or name in IGNORED_ATTRIBUTES or name.startswith("__"):
                continue
            if name not in self.requires or _plain(value) != _plain(self.requires[name]):
                raise _refusal(node, f"its attribute {name} is {value!r:.60}")


def _refusal(node: Node, reason: str) -> DeployError:
    """Make the error of an operator that cannot be converted."""
    return DeployError(
        f"operator {node.op} of {node.name} has no form in ONNX: {reason}; write the layer with "
        "other operators, or export with format='mxnet'"
    )


def _plain(text: str) -> Union[float, str]:
    """Make texts of attributes that mean the same equal: "1", "1.0" and "True"."""
    text = {"True": "1", "False": "0"}.get(text, text)
    try:
        return float(text)
    except ValueError:
        return text
