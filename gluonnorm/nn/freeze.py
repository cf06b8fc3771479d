"""Stopping parts of a network from learning. Frozen means no gradient *and* stored statistics."""
from gluonnorm.nn.switch_norm import SwitchNorm

import mxnet as mx
from mxnet.gluon import HybridBlock


def freeze(block: HybridBlock) -> None:
    """Freeze everything in ``block``: no parameter learns, and batch and switchable norms use stored statistics.

    The stored statistics do not move either. Gradients still flow through the block to its input. A hybridized
    network that has already run must be hybridized anew, since the operators of its graph are fixed by then.
    """
    block.collect_params().setattr("grad_req", "null")
    freeze_batch_norms(block)
    block.apply(_freeze_switch_norm)


def freeze_batch_norms(block: HybridBlock) -> None:
    """Freeze Gluon's batch norms in ``block``, our own among them: stored statistics, and no gradient.

    What is said of hybridized networks in ``freeze`` holds here too.
    """
    def freeze_one(layer: HybridBlock) -> None:
        if isinstance(layer, mx.gluon.nn.BatchNorm):
            layer._kwargs["use_global_stats"] = True  # Gluon reads its operator's attributes from here at each call
            for parameter in layer.params.values():
                parameter.grad_req = "null"

    block.apply(freeze_one)


def _freeze_switch_norm(layer: HybridBlock) -> None:
    if isinstance(layer, SwitchNorm):
        layer.use_global_stats = True
