"""The check that a network's weights are numbers."""

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
