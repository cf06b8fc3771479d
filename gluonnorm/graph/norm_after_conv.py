"""Recognize a batch norm, and the convolution before it that nothing else reads.

``fold`` multiplies the norm into the convolution's weight as constants. ``split_frozen`` writes
the same arithmetic into the graph. Both use the functions of this file.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

from gluonnorm.graph.nodes import BATCH_NORMS, Edge, Node
from gluonnorm.graph.trace import Values

# MXNet's default of the attribute "eps", as it would be written.
DEFAULT_EPSILON = "1e-3"


class ChannelNorm(NamedTuple):
    """A batch norm over axis 1, taken apart.

    With stored statistics it computes ``gamma * (x - mean) / sqrt(var + epsilon) + beta``.

    Attributes
    ----------
    node : Node
        The operator.
    data : (Node, int)
        What it normalizes, x.
    gamma, beta, mean, var : Node
        Its four arrays, (C,) each.
    epsilon : str
        Added to the variance; text as in the graph, so that it can be written back unchanged.
    uses_gamma : bool
        False if the operator takes 1 in place of gamma.
    """

    node: Node
    data: Edge
    gamma: Node
    beta: Node
    mean: Node
    var: Node
    epsilon: str
    uses_gamma: bool

    @property
    def arrays(self) -> List[Node]:
        """gamma, beta, mean and var."""
        return [self.gamma, self.beta, self.mean, self.var]


def match_channel_norm(node: Node) -> Optional[ChannelNorm]:
    """Recognize a batch norm of any kind over axis 1.

    Parameters
    ----------
    node : Node
        Any node.

    Returns
    -------
    ChannelNorm or None
        None if the node is something else.
    """
    if node.op not in BATCH_NORMS or node.attrs.get("axis", "1") != "1":
        return None
    gamma, beta, mean, var = [source for source, _ in node.inputs[1:]]
    return ChannelNorm(
        node=node,
        data=node.inputs[0],
        gamma=gamma,
        beta=beta,
        mean=mean,
        var=var,
        epsilon=node.attrs.get("eps", DEFAULT_EPSILON),
        # MXNet's default is to ignore gamma.
        uses_gamma=not node.flag("fix_gamma", True),
    )


def is_only_reader(reader: Node, source: Node, readers: Dict[int, List[Node]]) -> bool:
    """Tell whether nothing but one node reads another one.

    Parameters
    ----------
    reader, source : Node
        ``reader`` reads ``source``, directly or not.
    readers : dict of int to list of Node
        As :meth:`Graph.readers` returns it.

    Returns
    -------
    bool
        False as well if ``source`` is an output of the graph.
    """
    return all(node is reader for node in readers[id(source)])


def has_bias(layer: Node) -> bool:
    """Tell whether a convolution, deconvolution or fully connected layer has a bias.

    Parameters
    ----------
    layer : Node
        A node with operator "Convolution", "Deconvolution" or "FullyConnected".

    Returns
    -------
    bool
        Whether its third input is a bias.
    """
    # MXNet's deconvolution has no bias by default; the other two have one.
    return not layer.flag("no_bias", default=layer.op == "Deconvolution")


def convolution_channels(layer: Node, values: Values) -> Tuple[int, int]:
    """Read the channels of a convolution from its weight.

    Parameters
    ----------
    layer : Node
        A node with operator "Convolution", in one group.
    values : dict of str to mxnet.ndarray.NDArray
        Values of the graph's variables, among them the weight.

    Returns
    -------
    out_channels, in_channels : int
        The number of its output channels, and that of its input channels.
    """
    weight, _ = layer.inputs[1]
    out_channels, in_channels = values[weight.name].shape[:2]
    return out_channels, in_channels
