"""Switchable normalization: a layer that learns how to mix instance, layer and batch statistics."""

from typing import List, NamedTuple, Optional, Tuple

from gluonnorm.errors import InputError
from gluonnorm.nn.image_norm import (
    ImageNorm,
    center_rows,
    pixel_of_channels,
    scale_and_shift,
    scale_and_shift_rows,
)
from gluonnorm.types import Tensor

# Instance, layer and batch statistics, in the order of the mixing weights in the authors' files.
STATISTICS = ("in", "ln", "bn")


class SwitchNorm(ImageNorm):
    """Switchable normalization (Luo et al., 2018, arXiv:1806.10779), as the authors' code does it.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``. ``mean`` is a mix of the mean of each
    map (IN), of each image (LN) and of each channel of the batch (BN):
    ``mean = sum_k softmax(mean_weight)[k] * mean_k``, where k runs over ``STATISTICS``. ``var`` is
    mixed likewise with ``var_weight``.

    With S = H * W, ``var_in`` is divided by S - 1, as in the authors' code. The other variances
    are built from it: ``var_ln = mean_c(var_in) + var_c(mean_in)`` and
    ``var_bn = mean_n(var_in) + var_n(mean_in)``, where var_c and var_n divide by C and N. A map of
    one pixel has ``var_in`` 0, where the authors' code gives NaN.

    IN and LN come from the image in training and in inference. BN comes from the batch in
    training, and from the stored statistics in inference. The stored statistics move in the
    backward pass, like those of Gluon's batch norm on the CPU, and with the variance above. They
    start at mean 0 and variance 1. The authors start the variance at 0. After t steps it is then
    too small by the factor 1 - momentum ** t, and outputs in inference are too large. A start at 1
    makes them smaller instead, which does less harm. Loaded weights replace the stored
    statistics, and ``recalibrate`` makes them exact.

    Parameters
    ----------
    in_channels : int
        Number of channels, C. 0 infers it from the first input.
    use_bn : bool
        False mixes IN and LN only. The mixing weights then have shape (2,), nothing is stored, and
        the output is the same in training and inference, and independent of the batch.
    momentum : float
        Fraction of the stored statistics that is *kept* at each step, 0 to 1.
    epsilon : float
        Added to the mixed variance; positive.
    center : bool
        False keeps beta at 0; beta then does not learn.
    scale : bool
        False keeps gamma at 1; gamma then does not learn.
    zero_gamma : bool
        Start gamma at 0, so that a residual block starts as its shortcut.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        ``momentum`` is outside 0..1, or ``epsilon`` is not positive.

    Attributes
    ----------
    used_in_heads : bool
        Whether neck and heads have this norm when the backbone has it, unless told otherwise.
        True, as in the published models.
    use_global_stats : bool
        True once the layer is frozen. The BN part then uses the stored statistics in training too.
        ``freeze`` sets it.
    for_inference : bool
        True while the network is traced to be folded or exported. The values are those of
        inference, and whatever the layer does in training only is left out of the graph.
    """

    used_in_heads: bool = True

    def __init__(
        self,
        in_channels: int = 0,
        use_bn: bool = True,
        momentum: float = 0.997,
        epsilon: float = 1e-5,
        center: bool = True,
        scale: bool = True,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise InputError(
                f"SwitchNorm got momentum {momentum}; give the fraction to keep, 0 to 1"
            )
        if epsilon <= 0:
            raise InputError(f"SwitchNorm got epsilon {epsilon}; give a positive number")
        super().__init__(in_channels, epsilon, center, scale, zero_gamma, **kwargs)
        self.use_global_stats = False
        self._momentum = momentum
        num_mixed = len(STATISTICS) if use_bn else len(STATISTICS) - 1
        self.mean_weight = self.params.get("mean_weight", shape=(num_mixed,), init="ones")
        self.var_weight = self.params.get("var_weight", shape=(num_mixed,), init="ones")
        if use_bn:
            self.running_mean = self.params.get(
                "running_mean",
                shape=(in_channels,),
                init="zeros",
                allow_deferred_init=True,
                differentiable=False,
            )
            self.running_var = self.params.get(
                "running_var",
                shape=(in_channels,),
                init="ones",
                allow_deferred_init=True,
                differentiable=False,
            )

    def hybrid_forward(
        self,
        F,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        mean_weight: Tensor,
        var_weight: Tensor,
        running_mean: Optional[Tensor] = None,
        running_var: Optional[Tensor] = None,
    ) -> Tensor:
        if self._float16:
            # A sum over a map easily passes 65504, the largest float16.
            x = F.cast(x, dtype="float32")

        if self._infers_channels:
            zeros = F.zeros_like(pixel_of_channels(F, x))
            gamma = F.elemwise_add(gamma, zeros)
            beta = F.elemwise_add(beta, zeros)
            if running_mean is not None and self.use_global_stats:
                running_mean = F.elemwise_add(running_mean, zeros)
                running_var = F.elemwise_add(running_var, zeros)

        maps = _statistics_of_maps(F, x, self.for_inference)
        offsets, variances, beta = self._mixed_parts(
            F, maps, gamma, beta, running_mean, running_var
        )
        inverse_std = F.rsqrt(_mix(F, var_weight, variances) + self._epsilon)
        y = self._apply_statistics(F, x, maps, offsets, mean_weight, inverse_std, gamma, beta)
        return F.cast(y, dtype="float16") if self._float16 else y

    def _mixed_parts(
        self,
        F,
        maps: "MapStatistics",
        gamma: Tensor,
        beta: Tensor,
        running_mean: Optional[Tensor],
        running_var: Optional[Tensor],
    ) -> Tuple[List[Tensor], List[Tensor], Tensor]:
        """Compute what is mixed: a mean and a variance for each of ``STATISTICS``.

        Returns three things: the distance of each map's mean from each mean, the variances, and the
        tensor (C,) that takes the place of beta, see :meth:`_batch_statistics`.
        """
        # A mean is computed as its distance from the map's own mean. The distance is exactly 0
        # where all means agree, however the mixing weights are rounded. It also keeps the
        # operators that read the map's mean few: from eight readers on, MXNet with static_alloc
        # adds their gradients up wrongly.
        _, offset_ln, var_ln = _pool(F, maps.mean, maps.var, axis=1)
        offsets = [F.zeros_like(maps.mean), offset_ln]
        variances = [maps.var, var_ln]
        if running_mean is not None:
            mean_bn, var_bn, beta = self._batch_statistics(
                F, maps, gamma, beta, running_mean, running_var
            )
            offsets.append(F.broadcast_sub(maps.mean, mean_bn))
            variances.append(var_bn)
        return offsets, variances, beta

    def _batch_statistics(
        self,
        F,
        maps: "MapStatistics",
        gamma: Tensor,
        beta: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Compute the BN part's mean and variance, (1, C, 1) each, and move the stored ones.

        Returns a third tensor, beta plus zeros, (C,). It must take the place of beta: the operator
        that moves the stored statistics runs its backward pass only if y depends on it.
        """
        mean = F.reshape(running_mean, shape=(1, -1, 1))
        var = F.reshape(running_var, shape=(1, -1, 1))
        if self.use_global_stats or self.for_inference:
            return mean, var, beta
        batch_mean, _, batch_var = _pool(F, maps.mean, maps.var, axis=0)
        beta = beta + self._move_stored_statistics(
            F, batch_mean, batch_var, gamma, beta, running_mean, running_var
        )
        is_training = _is_training(F, maps.count)
        mean = _choose(F, is_training, batch_mean, mean)
        var = _choose(F, is_training, batch_var, var)
        return mean, var, beta

    def _apply_statistics(
        self,
        F,
        x: Tensor,
        maps: "MapStatistics",
        offsets: List[Tensor],
        mean_weight: Tensor,
        inverse_std: Tensor,
        gamma: Tensor,
        beta: Tensor,
    ) -> Tensor:
        """Mix the means, and compute y, in the shape of x, from the centered maps."""
        if self.for_inference:
            shift = F.broadcast_mul(_mix(F, mean_weight, offsets), inverse_std)
            scaled = F.broadcast_add(F.broadcast_mul(maps.centered, inverse_std), shift)
            normalized = F.reshape_like(scaled, x)
            return scale_and_shift(F, normalized, gamma, beta, channels=self.gamma.shape[0])
        # gamma and beta are applied to the statistics, which are small, and not to the maps.
        factor = F.broadcast_mul(F.reshape(gamma, shape=(1, -1, 1)), inverse_std)
        shift = F.broadcast_mul(_mix(F, mean_weight, offsets), factor)
        shift = F.broadcast_add(shift, F.reshape(beta, shape=(1, -1, 1)))
        y = scale_and_shift_rows(F, maps.centered, factor, shift, maps.ones)
        return F.reshape_like(y, x)

    def _move_stored_statistics(
        self,
        F,
        mean: Tensor,
        var: Tensor,
        gamma: Tensor,
        beta: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
    ) -> Tensor:
        """Move the stored statistics towards mean and var, (1, C, 1) each, in training.

        Returns zeros (C,), on which y must depend.
        """
        # In a graph, only an operator that owns its state can change it. BatchNorm is such an
        # operator. It gets two rows per channel, which have exactly this mean and population
        # variance: mean + std and mean - std.
        row = F.reshape(mean, shape=(1, -1))
        # The slope of a square root is infinite at 0, and a gradient through it would be NaN.
        std = F.BlockGrad(F.sqrt(F.reshape(var, shape=(1, -1))))
        # gamma and beta are parameters that learn. With them MXNet runs the operator's backward
        # pass also where x needs no gradient.
        rows = F.BatchNorm(
            F.concat(row + std, row - std, dim=0),
            gamma,
            beta,
            running_mean,
            running_var,
            eps=1e-5,
            momentum=self._momentum,
            fix_gamma=False,
            # cuDNN stores the variance times n / (n - 1), which is 2 for two rows.
            cudnn_off=True,
            name="fwd",
        )
        return F.reshape(F.slice_axis(rows, axis=0, begin=0, end=1), shape=(-1,)) * 0


class MapStatistics(NamedTuple):
    """Statistics of every map, from :func:`_statistics_of_maps`; only ``centered`` is large.

    Attributes
    ----------
    centered : Tensor
        (N, C, S), every map minus its mean; S is H * W.
    mean : Tensor
        (N, C, 1), mean of each map.
    var : Tensor
        (N, C, 1), variance of each map, divided by S - 1.
    ones : Tensor
        (N, 1, S) of ones.
    count : Tensor
        (N, 1, 1), the number of pixels in a map, S.
    """

    centered: Tensor
    mean: Tensor
    var: Tensor
    ones: Tensor
    count: Tensor


def _statistics_of_maps(F, x: Tensor, for_inference: bool) -> MapStatistics:
    """Compute mean and variance of each map of x, (N, C, H, W)."""
    maps = F.reshape(x, shape=(0, 0, -1))
    # The maps are centered before they are squared: E[x^2] - E[x]^2 loses all digits of a map
    # whose mean is far from zero.
    centered, mean, ones, count = center_rows(F, maps, for_inference)
    squares = F.linalg_gemm2(F.square(centered), ones, transpose_b=True)
    var = F.broadcast_div(squares, F.maximum(count - 1, 1))
    return MapStatistics(centered, mean, var, ones, count)


def _pool(F, mean: Tensor, var: Tensor, axis: int) -> Tuple[Tensor, Tensor, Tensor]:
    """Pool parts with these means and variances over an axis.

    Returns the pooled mean, the distance of each part's mean from it, and the pooled variance.
    Unlike E[x^2] - E[x]^2, the variance is never negative.
    """
    pooled_mean = F.mean(mean, axis=axis, keepdims=True)
    offset = F.broadcast_sub(mean, pooled_mean)
    var_within = F.mean(var, axis=axis, keepdims=True)
    var_between = F.mean(F.square(offset), axis=axis, keepdims=True)
    return pooled_mean, offset, var_within + var_between


def _mix(F, logits: Tensor, parts: List[Tensor]) -> Tensor:
    """Add the parts up, each weighted by its entry of ``softmax(logits)``."""
    shares = F.reshape(F.softmax(logits), shape=(1, -1, 1))
    shares = F.split(shares, num_outputs=len(parts), axis=1)
    mixed = F.broadcast_mul(parts[0], shares[0])
    for index in range(1, len(parts)):
        mixed = F.broadcast_add(mixed, F.broadcast_mul(parts[index], shares[index]))
    return mixed


def _is_training(F, count: Tensor) -> Tensor:
    """Return 1 in training and 0 in inference, (1, 1, 1), for a count (N, 1, 1).

    The value is decided when the graph runs, not when it is traced.
    """
    one = F.ones_like(F.slice_axis(count, axis=0, begin=0, end=1))
    # In training, Dropout with p = 0.5 turns a 1 into 0 or 2, at random. In inference, it returns
    # the 1. The squared distance from 1 is therefore 1 in training and 0 in inference.
    return F.BlockGrad(F.square(F.Dropout(one, p=0.5) - 1))


def _choose(F, is_training: Tensor, in_training: Tensor, in_inference: Tensor) -> Tensor:
    """Return the first tensor where ``is_training`` is 1, and the second one where it is 0."""
    first = F.broadcast_mul(in_training, is_training)
    second = F.broadcast_mul(in_inference, 1 - is_training)
    return first + second
