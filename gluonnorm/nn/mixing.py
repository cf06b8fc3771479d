"""The mixing weights that the switchable norms of a network have learned, and a table of them."""

from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from gluonnorm.nn.switch_norm import STATISTICS, SwitchNorm

import mxnet as mx
import numpy as np
from mxnet.gluon import Block

COLUMN_WIDTH = 7  # characters of a column of numbers


class MixingWeights(NamedTuple):
    """Mixing weights of one switchable norm, after the softmax: positive, with sum 1.

    Attributes
    ----------
    layer : str
        Structural name of the layer, such as "backbone.layer1.0.bn1".
    mean : dict of str to float
        Shares in the mean, {"in": share, "ln": share, "bn": share}. A layer without a BN part has
        no "bn".
    var : dict of str to float
        Shares in the variance, likewise.
    """

    layer: str
    mean: Dict[str, float]
    var: Dict[str, float]


def mixing_weights(net: Block) -> List[MixingWeights]:
    """Read the mixing weights of every ``SwitchNorm`` in a network.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialized network.

    Returns
    -------
    list of MixingWeights
        One entry a layer, in the order of the network. Empty if it has no switchable norm.

    Examples
    --------
    >>> norm = SwitchNorm(8, use_bn=False)
    >>> norm.initialize()
    >>> mixing_weights(norm)[0].mean
    {'in': 0.5, 'ln': 0.5}
    """
    layers = []
    for name, norm in _switch_norms(net, prefix=""):
        layers.append(MixingWeights(name, _shares(norm.mean_weight), _shares(norm.var_weight)))
    return layers


def format_mixing_weights(layers: Sequence[MixingWeights]) -> str:
    """Format mixing weights as a table with a line for each layer, and their mean as last line.

    Parameters
    ----------
    layers : sequence of MixingWeights
        As :func:`mixing_weights` returns them.

    Returns
    -------
    str
        Lines of equal length. A "-" fills the column of BN for a layer without a BN part. Without
        any layer it is a sentence that says so.
    """
    if not layers:
        return "no switchable norm in this network"
    mean_shares = _mean_of_shares([layer.mean for layer in layers])
    var_shares = _mean_of_shares([layer.var for layer in layers])
    shown = [*layers, MixingWeights("mean", mean_shares, var_shares)]
    name_width = max(len("layer"), *(len(layer.layer) for layer in shown))

    header = "layer".ljust(name_width)
    for moment in ("mean", "var"):
        for statistic in STATISTICS:
            title = f"{moment} {statistic}"
            header += "  " + title.rjust(COLUMN_WIDTH)
    lines = [header]
    for layer in shown:
        line = layer.layer.ljust(name_width)
        for shares in (layer.mean, layer.var):
            for statistic in STATISTICS:
                cell = f"{shares[statistic]:.3f}" if statistic in shares else "-"
                line += "  " + cell.rjust(COLUMN_WIDTH)
        lines.append(line)
    return "\n".join(lines)


def _switch_norms(block: Block, prefix: str) -> Iterator[Tuple[str, SwitchNorm]]:
    """Yield the structural name of each switchable norm in a block, and the norm."""
    if isinstance(block, SwitchNorm):
        yield prefix, block
    for name, child in block._children.items():
        yield from _switch_norms(child, f"{prefix}.{name}" if prefix else name)


def _shares(parameter: mx.gluon.Parameter) -> Dict[str, float]:
    """Apply the softmax to the logits (2,) or (3,) of a parameter."""
    logits = parameter.list_data()[0].asnumpy().astype(np.float64)
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    return {statistic: float(share) for statistic, share in zip(STATISTICS, shares)}


def _mean_of_shares(layers: List[Dict[str, float]]) -> Dict[str, float]:
    """Average the share of each statistic over the layers that have it."""
    means = {}
    for statistic in STATISTICS:
        shares = [layer[statistic] for layer in layers if statistic in layer]
        if shares:
            means[statistic] = float(np.mean(shares))
    return means
