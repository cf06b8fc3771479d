"""Normalization layers with one call shape, and ``make_norm``, the one place that knows their names.

Every norm is made as ``norm(channels, center=True, scale=True, zero_gamma=False)`` and maps (N, C, H, W) to the
same shape, so a network takes any of them without an ``if``. Parameters are called ``gamma``, ``beta``,
``running_mean`` and ``running_var``, each of shape (C,); ``SwitchNorm`` adds ``mean_weight`` and ``var_weight``.
"""
import difflib
import functools
import inspect
import math
from typing import Callable, Dict, Optional, Tuple

from gluonnorm.nn.switch_norm import SwitchNorm, scale_and_shift
from gluonnorm.types import Tensor

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

Norm = Callable[..., HybridBlock]  # (channels, center=True, scale=True, zero_gamma=False) -> layer


class BatchNorm(mx.gluon.nn.BatchNorm):
    """Batch normalization (Ioffe and Szegedy, 2015, arXiv:1502.03167) over N, H and W.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``, where mean and variance are those of the batch in
    training, and the stored running ones in inference.

    Parameters
    ----------
    in_channels
        C; 0 infers it from the first input.
    epsilon
        Added to the variance.
    momentum
        Fraction of the running statistics that is *kept* at each step.
    use_global_stats
        Use the stored statistics in training as well; gamma and beta go on learning.
    center, scale
        Without ``center`` beta stays 0, without ``scale`` gamma stays 1; neither then learns.
    zero_gamma
        Start gamma at 0: the last norm of a residual branch, which then starts as the identity.
    """

    def __init__(self, in_channels: int = 0, epsilon: float = 1e-5, momentum: float = 0.9,
                 use_global_stats: bool = False, center: bool = True, scale: bool = True,
                 zero_gamma: bool = False, **kwargs) -> None:
        super().__init__(in_channels=in_channels, epsilon=epsilon, momentum=momentum,
                         use_global_stats=use_global_stats, center=center, scale=scale,
                         gamma_initializer=_gamma_start(scale, zero_gamma), **kwargs)


class SyncBatchNorm(mx.gluon.contrib.nn.SyncBatchNorm):
    """``BatchNorm`` whose batch is spread over the GPUs of one process; Gluon's own layer in the shared call shape.

    Takes the arguments of ``BatchNorm`` and ``num_devices``, the number of GPUs that run the network together
    (default: all that are visible, with a warning). It never crosses processes and holds float32 only.
    """

    def __init__(self, in_channels: int = 0, num_devices: Optional[int] = None, epsilon: float = 1e-5,
                 momentum: float = 0.9, use_global_stats: bool = False, center: bool = True, scale: bool = True,
                 zero_gamma: bool = False, **kwargs) -> None:
        super().__init__(in_channels=in_channels, num_devices=num_devices, epsilon=epsilon, momentum=momentum,
                         use_global_stats=use_global_stats, center=center, scale=scale,
                         gamma_initializer=_gamma_start(scale, zero_gamma), **kwargs)


class FrozenBatchNorm(HybridBlock):
    """Batch normalization in which nothing learns: a fixed scale and shift for each channel.

    ``y = gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta`` in training and inference alike. The
    four arrays are loaded from a checkpoint and never change: their ``grad_req`` is "null" and stays so, even
    after ``collect_params().setattr("grad_req", "write")``. Gradients flow through to x.

    Parameters
    ----------
    in_channels
        C; 0 infers it from the first input.
    epsilon
        Added to the variance. It belongs to the checkpoint: 1e-5 for most, 0 where statistics were stored with
        it already added, or were merged into gamma and beta.
    center, scale
        Without ``center`` beta counts as 0, without ``scale`` gamma counts as 1.
    zero_gamma
        Ignored, and there for the shared call shape: a gamma frozen at 0 would cut its branch off for good.
    """

    def __init__(self, in_channels: int = 0, epsilon: float = 1e-5, center: bool = True, scale: bool = True,
                 zero_gamma: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if epsilon < 0:
            raise ValueError(f"FrozenBatchNorm got epsilon {epsilon}; give 0 or a positive number")
        self._attributes = {"eps": epsilon, "fix_gamma": not scale, "use_global_stats": True}
        self.gamma = _constant(self, "gamma", in_channels, "ones")
        self.beta = _constant(self, "beta", in_channels, "zeros")
        self.running_mean = _constant(self, "running_mean", in_channels, "zeros")
        self.running_var = _constant(self, "running_var", in_channels, "ones")

    def cast(self, dtype) -> None:
        """Cast the layer; like Gluon's own, its arrays stay float32 for float16 data."""
        super().cast("float32" if np.dtype(dtype) == np.float16 else dtype)

    def hybrid_forward(self, F, x: Tensor, gamma: Tensor, beta: Tensor, running_mean: Tensor,
                       running_var: Tensor) -> Tensor:
        # The BatchNorm operator, not multiply and add: oneDNN has a fast kernel for it and folds it into convolutions.
        return F.BatchNorm(x, gamma, beta, running_mean, running_var, name="fwd", **self._attributes)


class GroupNorm(HybridBlock):
    """Group normalization (Wu and He, 2018, arXiv:1803.08494) with one gamma and beta per channel.

    The C channels of each image are cut into ``num_groups`` runs of neighbours; mean and variance are taken over
    a group's channels, H and W. ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``. No batch statistics, so
    training and inference are the same. (Gluon's own layer of MXNet 1.x has one gamma per *group*, and cannot hold
    the weights others publish.)

    Parameters
    ----------
    in_channels
        C; 0 infers it from the first input.
    num_groups
        Must divide C.
    epsilon
        Added to the variance.
    center, scale, zero_gamma
        As in ``BatchNorm``.

    Attributes
    ----------
    for_inference
        True while the network is traced to be folded or exported: the same values, in operators that suit that.
    """

    def __init__(self, in_channels: int = 0, num_groups: int = 32, epsilon: float = 1e-5, center: bool = True,
                 scale: bool = True, zero_gamma: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if num_groups < 1:
            raise ValueError(f"GroupNorm got num_groups {num_groups}; give at least 1")
        if in_channels % num_groups:
            divisors = [n for n in range(1, in_channels + 1) if in_channels % n == 0]
            raise ValueError(f"GroupNorm cannot cut {in_channels} channels into {num_groups} equal groups; "
                             f"num_groups must be one of {divisors}")
        self.for_inference = False
        self._num_groups = num_groups
        self._epsilon = epsilon
        # Rows a group is cut into for its sum of squares; they must divide it whatever H and W are.
        self._rows = math.gcd(in_channels // num_groups, 8) if in_channels else 1
        self._infers_channels = in_channels == 0
        self._float16 = False
        self.gamma = self.params.get("gamma", shape=(in_channels,), init=_gamma_start(scale, zero_gamma),
                                     allow_deferred_init=True, differentiable=scale)
        self.beta = self.params.get("beta", shape=(in_channels,), init="zeros", allow_deferred_init=True,
                                    differentiable=center)

    def cast(self, dtype) -> None:
        """Cast the layer; for float16 data its arrays and its arithmetic stay float32."""
        self._float16 = np.dtype(dtype) == np.float16
        super().cast("float32" if self._float16 else dtype)

    def hybrid_forward(self, F, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if self._float16:  # a sum over a group passes 65504 easily
            x = F.cast(x, dtype="float32")
        if self._infers_channels:  # a sum of equal shapes, from which MXNet learns C
            pixel = F.reshape(F.slice(x, begin=(0, None, 0, 0), end=(1, None, 1, 1)), shape=(-1,))
            gamma = F.elemwise_add(gamma, F.zeros_like(pixel))
            beta = F.elemwise_add(beta, F.zeros_like(pixel))
        # Sums are matrix products: BLAS is faster at them than mean or LayerNorm, and a hundred times more exact.
        groups = F.reshape(x, shape=(0, self._num_groups, -1))
        ones = F.ones_like(F.slice_axis(groups, axis=1, begin=0, end=1))
        count = F.linalg_gemm2(ones, ones, transpose_b=True)
        mean = F.broadcast_div(F.linalg_gemm2(groups, ones, transpose_b=True), count)
        centred = F.broadcast_sub(groups, mean)
        # The sum of squares is the trace of a product of a few rows: one row alone is what BLAS is slowest at.
        rows = F.reshape(centred, shape=(0, 0, self._rows, -1))
        products = F.linalg_gemm2(rows, rows, transpose_b=True)
        squares = F.sum(F.linalg_extractdiag(products), axis=-1, keepdims=True)
        std = F.sqrt(F.broadcast_div(squares, count) + self._epsilon)
        if self.for_inference:
            y = scale_and_shift(F, F.reshape_like(F.broadcast_div(centred, std), x), gamma, beta, self.gamma.shape[0])
        else:
            factor = F.broadcast_div(F.reshape(gamma, shape=(1, self._num_groups, -1)), std)
            y = F.broadcast_mul(F.reshape_like(centred, x), F.reshape(factor, shape=(0, -1, 1, 1)))
            y = F.broadcast_add(y, F.reshape(beta, shape=(1, -1, 1, 1)))
        return F.cast(y, dtype="float16") if self._float16 else y


_NORMS: Dict[str, Norm] = {
    "frozen_bn": FrozenBatchNorm,
    "global_bn": functools.partial(BatchNorm, use_global_stats=True),
    "bn": BatchNorm,
    "sync_bn": SyncBatchNorm,
    "gn": GroupNorm,
    "sn": SwitchNorm,
    "sn_nobn": functools.partial(SwitchNorm, use_bn=False),
}
NORM_NAMES: Tuple[str, ...] = tuple(_NORMS)


def make_norm(name: str, **settings) -> Norm:
    """Return the norm called ``name`` as a callable ``(channels, center=, scale=, zero_gamma=) -> layer``.

    ``settings`` are further arguments of the layer, the same at every place: ``make_norm("gn", num_groups=16)``.
    Raises ValueError for an unknown name and TypeError for a setting the layer does not have.
    """
    if name not in _NORMS:
        near = difflib.get_close_matches(str(name), NORM_NAMES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no norm is called {name!r}; {hint}There are: {', '.join(NORM_NAMES)}")
    known = set(inspect.signature(_NORMS[name]).parameters) - {"kwargs"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise TypeError(f"norm {name!r} has no setting {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    return functools.partial(_NORMS[name], **settings)


def _gamma_start(scale: bool, zero_gamma: bool) -> str:
    return "zeros" if scale and zero_gamma else "ones"


def _constant(block: HybridBlock, name: str, channels: int, init: str) -> mx.gluon.Parameter:
    """An array of the block that is saved and loaded, and that no one can make learn."""
    return block.params.get(name, shape=(channels,), init=init, allow_deferred_init=True, differentiable=False)
