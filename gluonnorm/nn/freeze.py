"""Freeze parts of a network: no gradient for the parameters, *and* stored statistics in norms."""

from gluonnorm.nn.switch_norm import SwitchNorm

import mxnet as mx
from mxnet.gluon import HybridBlock


def freeze(block: HybridBlock) -> None:
    """Freeze everything in a block: no parameter learns, and norms use their stored statistics.

    The stored statistics do not move either. Gradients still flow through the block to its input.
    A hybridized network that has already run must be hybridized again, because the operators of
    its cached graph do not change.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
        Any block; it is changed in place.
    """
    block.collect_params().setattr("grad_req", "null")
    freeze_batch_norms(block)
    block.apply(_freeze_switch_norm)


def freeze_batch_norms(block: HybridBlock) -> None:
    """Freeze the batch norms in a block: Gluon's own ones, and those of this package.

    They use their stored statistics, and their parameters have no gradient. A hybridized network
    that has already run must be hybridized again.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
        Any block; it is changed in place.
    """
    block.apply(_freeze_batch_norm)


def _freeze_batch_norm(layer: HybridBlock) -> None:
    """Freeze a layer if it is a batch norm."""
    if not isinstance(layer, mx.gluon.nn.BatchNorm):
        return
    # Gluon's layer passes this dictionary to its operator at every call, so a change takes effect
    # at the next one.
    layer._kwargs["use_global_stats"] = True
    for parameter in layer.params.values():
        parameter.grad_req = "null"


def _freeze_switch_norm(layer: HybridBlock) -> None:
    """Let a layer use its stored statistics if it is a switchable norm."""
    if isinstance(layer, SwitchNorm):
        layer.use_global_stats = True
