"""What the switchable norms of a network have learned: which statistics each of them uses."""
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from gluonnorm.nn.switch_norm import SOURCES, SwitchNorm

import numpy as np
from mxnet.gluon import Block


class MixingRow(NamedTuple):
    """One switchable norm; the weights are positive and sum to 1."""
    layer: str  # its structural name
    mean: Dict[str, float]  # {"in": ..., "ln": ..., "bn": ...}; without "bn" where the layer has no BN part
    var: Dict[str, float]


def mixing_weights(net: Block) -> List[MixingRow]:
    """The mixing weights of every ``SwitchNorm`` in an initialized network, after the softmax, in the network's order.

    Empty if there is none.
    """
    return [MixingRow(name, _weights(layer.mean_weight), _weights(layer.var_weight))
            for name, layer in _switch_norms(net, "")]


def format_mixing_weights(rows: Sequence[MixingRow]) -> str:
    """A table as text: a line a layer, the mean over the layers below; "-" where a layer has no BN part."""
    if not rows:
        return "no switchable norm in this network"
    shown = [*rows, MixingRow("mean", _mean([row.mean for row in rows]), _mean([row.var for row in rows]))]
    width = max(len("layer"), *(len(row.layer) for row in shown))
    titles = [f"{kind} {source}" for kind in ("mean", "var") for source in SOURCES]
    lines = ["  ".join(["layer".ljust(width), *(title.rjust(7) for title in titles)])]
    for row in shown:
        cells = [weights.get(source) for weights in (row.mean, row.var) for source in SOURCES]
        lines.append("  ".join([row.layer.ljust(width), *("      -" if cell is None else f"{cell:7.3f}"
                                                          for cell in cells)]))
    return "\n".join(lines)


def _switch_norms(block: Block, prefix: str) -> Iterator[Tuple[str, SwitchNorm]]:
    if isinstance(block, SwitchNorm):
        yield prefix, block
    for name, child in block._children.items():
        yield from _switch_norms(child, f"{prefix}.{name}" if prefix else name)


def _weights(parameter) -> Dict[str, float]:
    logits = parameter.list_data()[0].asnumpy().astype(np.float64)
    powers = np.exp(logits - logits.max())
    return {source: float(share) for source, share in zip(SOURCES, powers / powers.sum())}


def _mean(weights: List[Dict[str, float]]) -> Dict[str, float]:
    """Over the layers that have the source."""
    return {source: float(np.mean([each[source] for each in weights if source in each]))
            for source in SOURCES if any(source in each for each in weights)}
