"""Switchable normalization: one layer that learns how much of instance, layer and batch statistics to use."""
from typing import List, Optional, Tuple

from gluonnorm.types import Tensor

import numpy as np
from mxnet.gluon import HybridBlock

SOURCES = ("in", "ln", "bn")  # the order of the mixing weights, the authors' own


class SwitchNorm(HybridBlock):
    """Switchable normalization (Luo et al., 2018, arXiv:1806.10779) as the authors' code computes it.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``, where mean and var are mixed from those of each map (IN),
    of each image (LN) and of each channel of the batch (BN): ``mean = sum_k softmax(mean_weight)[k] * mean_k``, and
    var likewise with ``var_weight``. k runs over ``SOURCES``.

    With S = H * W, ``var_in`` is divided by S - 1, as the authors' is; the other two inherit that and no more:
    ``var_ln = mean_c(var_in) + var_c(mean_in)``, ``var_bn = mean_n(var_in) + var_n(mean_in)``. A map of one pixel has
    var_in 0, where the authors' code gives NaN.

    IN and LN are of the image in training and inference alike. BN is of the batch in training and stored in
    inference. The stored statistics move in the backward pass, as those of Gluon's own batch norm do on the CPU, and
    with the variance above; they start at mean 0 and variance 1. (The authors start the variance at 0: after t
    steps it is then too small by the factor 1 - momentum ** t, which inference answers with outputs too large;
    starting at 1 errs to the harmless side. Loaded weights replace it, and ``recalibrate`` makes both exact.)

    Parameters
    ----------
    in_channels
        C; 0 infers it from the first input.
    use_bn
        Without, the layer mixes IN and LN only: mixing weights of shape (2,), nothing stored, the same in training
        and inference, whatever the batch.
    momentum
        Fraction of the stored statistics that is *kept* at each step.
    epsilon
        Added to the mixed variance.
    center, scale, zero_gamma
        As in ``BatchNorm``.

    Attributes
    ----------
    use_global_stats
        True once frozen: the BN part then uses the stored statistics in training too. Set by ``freeze``.
    for_inference
        True while the network is traced to be folded or exported: the same values as in inference, without what the
        layer only does in training.
    """

    def __init__(self, in_channels: int = 0, use_bn: bool = True, momentum: float = 0.997, epsilon: float = 1e-5,
                 center: bool = True, scale: bool = True, zero_gamma: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f"SwitchNorm got momentum {momentum}; give the fraction to keep, 0 to 1")
        if epsilon <= 0:
            raise ValueError(f"SwitchNorm got epsilon {epsilon}; give a positive number")
        self.use_global_stats = False
        self.for_inference = False
        self._momentum = momentum
        self._epsilon = epsilon
        self._infers_channels = in_channels == 0
        self._float16 = False
        sources = len(SOURCES) if use_bn else len(SOURCES) - 1
        gamma_start = "zeros" if scale and zero_gamma else "ones"
        self.gamma = self.params.get("gamma", shape=(in_channels,), init=gamma_start, allow_deferred_init=True,
                                     differentiable=scale)
        self.beta = self.params.get("beta", shape=(in_channels,), init="zeros", allow_deferred_init=True,
                                    differentiable=center)
        self.mean_weight = self.params.get("mean_weight", shape=(sources,), init="ones")
        self.var_weight = self.params.get("var_weight", shape=(sources,), init="ones")
        if use_bn:
            self.running_mean = self.params.get("running_mean", shape=(in_channels,), init="zeros",
                                                allow_deferred_init=True, differentiable=False)
            self.running_var = self.params.get("running_var", shape=(in_channels,), init="ones",
                                               allow_deferred_init=True, differentiable=False)

    def cast(self, dtype) -> None:
        """Cast the layer; for float16 data its arrays and its arithmetic stay float32."""
        self._float16 = np.dtype(dtype) == np.float16
        super().cast("float32" if self._float16 else dtype)

    def hybrid_forward(self, F, x: Tensor, gamma: Tensor, beta: Tensor, mean_weight: Tensor, var_weight: Tensor,
                       running_mean: Optional[Tensor] = None, running_var: Optional[Tensor] = None) -> Tensor:
        if self._float16:
            x = F.cast(x, dtype="float32")
        if self._infers_channels:  # a sum of equal shapes, from which MXNet learns C
            nothing = F.zeros_like(F.reshape(F.slice(x, begin=(0, None, 0, 0), end=(1, None, 1, 1)), shape=(-1,)))
            gamma, beta = F.elemwise_add(gamma, nothing), F.elemwise_add(beta, nothing)
            if running_mean is not None and self.use_global_stats:
                running_mean, running_var = F.elemwise_add(running_mean, nothing), F.elemwise_add(running_var, nothing)
        # Sums are matrix products with ones: BLAS is several times faster at them than sum or mean. Statistics are
        # (N, C, 1) or broadcast to it; only x, centred and y are large.
        maps = F.reshape(x, shape=(0, 0, -1))
        ones = F.ones_like(F.slice_axis(maps, axis=1, begin=0, end=1))
        count = F.linalg_gemm2(ones, ones, transpose_b=True)
        mean_in = F.broadcast_div(F.linalg_gemm2(maps, ones, transpose_b=True), count)
        centred = F.broadcast_sub(maps, mean_in)  # first, for E[x^2] - E[x]^2 loses everything far from zero
        squares = F.linalg_gemm2(F.square(centred), ones, transpose_b=True)
        var_in = F.broadcast_div(squares, F.maximum(count - 1, 1))
        # Of the means, only how far mean_in is off is needed: exactly 0 where all agree, whatever rounding does to the
        # weights. Few operators read mean_in: from eight on, MXNet with static_alloc adds up their gradients wrongly.
        _, offset_ln, var_ln = _pool(F, mean_in, var_in, axis=1)
        offsets, variances = [F.zeros_like(mean_in), offset_ln], [var_in, var_ln]
        stored = self.use_global_stats or self.for_inference
        if running_mean is not None:
            mean_bn, var_bn = (F.reshape(array, shape=(1, -1, 1)) for array in (running_mean, running_var))
            if not stored:
                mean, _, var = _pool(F, mean_in, var_in, axis=0)
                beta = beta + self._remember(F, mean, var, gamma, beta, running_mean, running_var)
                training = _is_training(F, count)
                mean_bn = F.broadcast_mul(mean, training) + F.broadcast_mul(mean_bn, 1 - training)
                var_bn = F.broadcast_mul(var, training) + F.broadcast_mul(var_bn, 1 - training)
            offsets.append(F.broadcast_sub(mean_in, mean_bn))
            variances.append(var_bn)
        factor = F.rsqrt(_mix(F, var_weight, variances) + self._epsilon)
        if self.for_inference:
            shift = F.broadcast_mul(_mix(F, mean_weight, offsets), factor)
            y = F.broadcast_add(F.broadcast_mul(centred, factor), shift)
            y = scale_and_shift(F, F.reshape_like(y, x), gamma, beta, self.gamma.shape[0])
            return F.cast(y, dtype="float16") if self._float16 else y
        factor = F.broadcast_mul(F.reshape(gamma, shape=(1, -1, 1)), factor)
        shift = F.broadcast_add(F.broadcast_mul(_mix(F, mean_weight, offsets), factor),
                                F.reshape(beta, shape=(1, -1, 1)))
        y = F.reshape_like(F.broadcast_add(F.broadcast_mul(centred, factor), shift), x)
        return F.cast(y, dtype="float16") if self._float16 else y

    def _remember(self, F, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, running_mean: Tensor,
                  running_var: Tensor) -> Tensor:
        """Move the stored statistics towards ``mean`` and ``var``, (1, C, 1) each, in training; return zeros (C,).

        Only operators that own their state can do so in a graph, and BatchNorm is one: it is given two rows of that
        very mean and population variance. The caller adds the zeros to y, or the operator's backward would not run.
        gamma and beta only give it something that learns where x needs no gradient.
        """
        row = F.reshape(mean, shape=(1, -1))
        spread = F.BlockGrad(F.sqrt(F.reshape(var, shape=(1, -1))))  # at 0 its slope is infinite
        # cuDNN would store the variance times n / (n - 1), which is 2 for two rows.
        rows = F.BatchNorm(F.concat(row + spread, row - spread, dim=0), gamma, beta, running_mean, running_var,
                           eps=1e-5, momentum=self._momentum, fix_gamma=False, cudnn_off=True, name="fwd")
        return F.reshape(F.slice_axis(rows, axis=0, begin=0, end=1), shape=(-1,)) * 0


def scale_and_shift(F, x: Tensor, gamma: Tensor, beta: Tensor, channels: int) -> Tensor:
    """gamma * x + beta for (N, C, H, W) and (C,), in inference: one pass, whose result has oneDNN's layout.

    That spares the relu and the pooling or convolution that follow a plain one, and bringing it into that layout.
    """
    return F.Convolution(x, F.reshape(gamma, shape=(-1, 1, 1, 1)), beta, kernel=(1, 1), num_filter=channels,
                         num_group=channels)


def _pool(F, mean: Tensor, var: Tensor, axis: int) -> Tuple[Tensor, Tensor, Tensor]:
    """Parts with these means and variances, pooled over an axis: mean, how far each part's is off it, and variance.

    The variance is never negative, unlike E[x^2] - mean^2.
    """
    pooled = F.mean(mean, axis=axis, keepdims=True)
    offset = F.broadcast_sub(mean, pooled)
    return pooled, offset, F.mean(var, axis=axis, keepdims=True) + F.mean(F.square(offset), axis=axis, keepdims=True)


def _mix(F, logits: Tensor, parts: List[Tensor]) -> Tensor:
    """Sum of parts, weighted by softmax(logits)."""
    weights = F.split(F.reshape(F.softmax(logits), shape=(1, -1, 1)), num_outputs=len(parts), axis=1)
    mixed = F.broadcast_mul(parts[0], weights[0])
    for index in range(1, len(parts)):
        mixed = F.broadcast_add(mixed, F.broadcast_mul(parts[index], weights[index]))
    return mixed


def _is_training(F, like: Tensor) -> Tensor:
    """1 in training and 0 in inference, (1, 1, 1) for ``like`` (N, 1, 1), decided when the graph runs, not when traced.

    Dropout at one half makes 0 or 2 of a 1 in training, at random, and leaves it alone in inference. Both are 1 away
    from 1.
    """
    one = F.ones_like(F.slice_axis(like, axis=0, begin=0, end=1))
    return F.BlockGrad(F.square(F.Dropout(one, p=0.5) - 1))
