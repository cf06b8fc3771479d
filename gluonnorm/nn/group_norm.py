"""Group normalization with a scale and a shift for each channel."""

import math
from typing import Tuple

from gluonnorm.errors import InputError
from gluonnorm.nn.image_norm import (
    ImageNorm,
    center_rows,
    pixel_of_channels,
    scale_and_shift,
    spread,
)
from gluonnorm.types import Tensor


class GroupNorm(ImageNorm):
    """Group normalization (Wu and He, 2018, arXiv:1803.08494) with one gamma and beta per channel.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``. The C channels of an image are divided
    into ``num_groups`` runs of neighboring channels. Mean and variance are computed over the
    channels of a group, H and W. Training and inference are the same. Gluon's own layer in MXNet
    1.x has one gamma per *group*, and cannot hold the published weights of other codebases.

    Parameters
    ----------
    in_channels : int
        Number of channels, C. 0 infers it from the first input.
    num_groups : int
        Number of groups. It must divide C.
    epsilon : float
        Added to the variance.
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
        ``num_groups`` is below 1 or does not divide ``in_channels``.

    Attributes
    ----------
    used_in_heads : bool
        Whether neck and heads have this norm when the backbone has it, unless told otherwise.
        True, as in the published models.
    for_inference : bool
        True while the network is traced to be folded or exported. The layer then computes the
        same values in operators that suit inference.
    """

    used_in_heads: bool = True

    def __init__(
        self,
        in_channels: int = 0,
        num_groups: int = 32,
        epsilon: float = 1e-5,
        center: bool = True,
        scale: bool = True,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        _check_groups(in_channels, num_groups)
        super().__init__(in_channels, epsilon, center, scale, zero_gamma, **kwargs)
        self._num_groups = num_groups
        # A group is cut into this many rows for its sum of squares. The number must divide the
        # group's size for every H and W, so it divides the number of channels.
        channels_per_group = in_channels // num_groups
        self._rows = math.gcd(channels_per_group, 8) if in_channels else 1

    def hybrid_forward(self, F, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if self._float16:
            # A sum over a group easily passes 65504, the largest float16.
            x = F.cast(x, dtype="float32")
        if self._infers_channels:
            pixel = pixel_of_channels(F, x)
            gamma = F.elemwise_add(gamma, F.zeros_like(pixel))
            beta = F.elemwise_add(beta, F.zeros_like(pixel))
        centered, std = self._statistics(F, x)
        if self.for_inference:
            normalized = F.reshape_like(F.broadcast_div(centered, std), x)
            y = scale_and_shift(F, normalized, gamma, beta, channels=self.gamma.shape[0])
        else:
            y = self._apply_statistics(F, x, centered, std, gamma, beta)
        return F.cast(y, dtype="float16") if self._float16 else y

    def _statistics(self, F, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Center each group (N, G, S) of x and compute its standard deviation (N, G, 1)."""
        groups = F.reshape(x, shape=(0, self._num_groups, -1))
        centered, _, _, count = center_rows(F, groups, self.for_inference)
        # The sum of squares is the trace of a product of a few rows with themselves. A single row
        # would be the slowest case of BLAS.
        rows = F.reshape(centered, shape=(0, 0, self._rows, -1))
        products = F.linalg_gemm2(rows, rows, transpose_b=True)
        squares = F.sum(F.linalg_extractdiag(products), axis=-1, keepdims=True)
        std = F.sqrt(F.broadcast_div(squares, count) + self._epsilon)
        return centered, std

    def _apply_statistics(
        self, F, x: Tensor, centered: Tensor, std: Tensor, gamma: Tensor, beta: Tensor
    ) -> Tensor:
        """Compute ``gamma * centered / std + beta`` in the shape of x, in two passes over it."""
        gamma_by_group = F.reshape(gamma, shape=(1, self._num_groups, -1))
        factor = F.broadcast_div(gamma_by_group, std)
        by_channel = F.reshape(factor, shape=(0, -1, 1))
        shift = F.broadcast_add(F.zeros_like(by_channel), F.reshape(beta, shape=(1, -1, 1)))
        # The factors are diagonals of small matrices, whose products have BLAS in both directions.
        # An elementwise product would hold a second map until the backward pass.
        diagonals = F.linalg_makediag(F.reshape(factor, shape=(0, -1, self._rows)))
        blocks = F.reshape(F.reshape_like(centered, x), shape=(0, -4, -1, self._rows, -3))
        scaled = F.reshape(F.linalg_gemm2(diagonals, blocks), shape=(0, -3, 0))
        ones = F.ones_like(F.slice_axis(scaled, axis=1, begin=0, end=1))
        return F.reshape_like(F.elemwise_add(scaled, spread(F, shift, ones)), x)


def _check_groups(in_channels: int, num_groups: int) -> None:
    """Raise InputError unless the channels can be divided into groups of equal size."""
    if num_groups < 1:
        raise InputError(f"GroupNorm got num_groups {num_groups}; give at least 1")
    if in_channels % num_groups == 0:
        return
    divisors = [number for number in range(1, in_channels + 1) if in_channels % number == 0]
    raise InputError(
        f"GroupNorm cannot cut {in_channels} channels into {num_groups} equal groups; "
        f"num_groups must be one of {divisors}"
    )
