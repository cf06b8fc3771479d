"""The checks that a network's weights are numbers, and in float32."""

from gluonnorm.deploy.bundle import DeployError

import mxnet as mx
import numpy as np


def require_finite_weights(net: mx.gluon.HybridBlock) -> None:
    """Check that no weight of a network is NaN or infinite.

    A network with such a weight detects nothing, and raises no error: its scores compare as less
    than any threshold.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        Any network. Parameters without values yet are passed over.

    Raises
    ------
    DeployError
        A weight is not finite. The message names its parameter.
    """
    for name, parameter in net.collect_params().items():
        try:
            value = parameter.list_data()[0]
        except (RuntimeError, mx.gluon.parameter.DeferredInitializationError):
            continue
        is_float = value.dtype in (np.float16, np.float32, np.float64)
        if is_float and not np.isfinite(value.asnumpy()).all():
            raise DeployError(
                f"the weights hold NaN or infinity, first in {name}: the training has diverged, or "
                "the file is damaged"
            )


def require_float32_weights(net: mx.gluon.HybridBlock) -> None:
    """Check that the weights of a network are float32, as the images that it gets.

    MXNet computes nothing of arrays of two types. An export of other weights would have a graph
    that no run time loads.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        Any network, with values or without.

    Raises
    ------
    DeployError
        Weights are of another type of floating-point numbers. The message names the first one.
    """
    for name, parameter in net.collect_params().items():
        dtype = np.dtype(parameter.dtype)
        # Indices and other integers that a layer of the user keeps are no weights.
        if dtype.kind not in "iub" and dtype != np.float32:
            raise DeployError(
                f"the weights are {dtype}, first in {name}, and the images that a predictor or an "
                "export gets are float32; call net.cast('float32'), after which the weights have "
                "the same values"
            )
