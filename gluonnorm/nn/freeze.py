"""Freeze parts of a network: no gradient for the parameters, *and* stored statistics in norms."""

import mxnet as mx
from mxnet.gluon import HybridBlock, Parameter


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
    for parameter in block.collect_params().values():
        _freeze_parameter(parameter)
    freeze_batch_norms(block)
    block.apply(_use_stored_statistics)


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


def is_frozen(parameter: Parameter) -> bool:
    """Tell whether a parameter is a constant, stored statistics, or of a frozen block.

    Programs that train a part of a network set ``grad_req`` of all parameters and then of some, so
    ``grad_req`` does not tell it.

    Parameters
    ----------
    parameter : mxnet.gluon.Parameter
        Any parameter.

    Returns
    -------
    bool
        Whether it is not meant to learn.
    """
    return getattr(parameter, "is_frozen", False) or not parameter._differentiable


def _freeze_batch_norm(layer: HybridBlock) -> None:
    """Freeze a layer if it is a batch norm."""
    if not isinstance(layer, mx.gluon.nn.BatchNorm):
        return
    # Gluon's layer passes this dictionary to its operator at every call, so a change takes effect
    # at the next one.
    layer._kwargs["use_global_stats"] = True
    for parameter in layer.params.values():
        _freeze_parameter(parameter)


def _freeze_parameter(parameter: Parameter) -> None:
    """Take the gradient of a parameter away, and note on it that it is frozen."""
    parameter.grad_req = "null"
    parameter.is_frozen = True


def _use_stored_statistics(layer: HybridBlock) -> None:
    """Let a layer use its stored statistics if it says that it can, as ``SwitchNorm`` does."""
    if hasattr(layer, "use_global_stats"):
        layer.use_global_stats = True
