"""Base of the norms that compute statistics of each image: ``GroupNorm`` and ``SwitchNorm``."""

from typing import NamedTuple

from gluonnorm.nn.batch_norm import gamma_initializer
from gluonnorm.types import Tensor

import numpy as np
from mxnet.gluon import HybridBlock


class ImageNorm(HybridBlock):
    """Base of norms whose statistics come from the image, in training and inference alike.

    It owns ``gamma`` and ``beta``, one of each per channel, and chooses the number type of the
    arithmetic. The subclass has the formula and further parameters.

    Parameters
    ----------
    in_channels : int
        Number of channels, C. 0 infers it from the first input.
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
        in_channels: int,
        epsilon: float,
        center: bool,
        scale: bool,
        zero_gamma: bool,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.for_inference = False
        self._epsilon = epsilon
        self._infers_channels = in_channels == 0
        self._float16 = False
        self.gamma = self.params.get(
            "gamma",
            shape=(in_channels,),
            init=gamma_initializer(scale, zero_gamma),
            allow_deferred_init=True,
            differentiable=scale,
        )
        self.beta = self.params.get(
            "beta",
            shape=(in_channels,),
            init="zeros",
            allow_deferred_init=True,
            differentiable=center,
        )

    def cast(self, dtype) -> None:
        """Cast the layer to another number type.

        Parameters
        ----------
        dtype : str or numpy.dtype
            Type of the data. For float16 data the layer's arrays and its arithmetic remain
            float32.
        """
        self._float16 = np.dtype(dtype) == np.float16
        super().cast("float32" if self._float16 else dtype)


class CenteredRows(NamedTuple):
    """Rows of pixels minus their mean, from :func:`center_rows`.

    Attributes
    ----------
    centered : Tensor
        (N, R, S), every row minus its mean.
    mean : Tensor
        (N, R, 1), mean of each row.
    ones : Tensor
        (N, 1, S) of ones; a matrix product with it is a sum over a row.
    count : Tensor
        (N, 1, 1), the number of pixels in a row, S.
    """

    centered: Tensor
    mean: Tensor
    ones: Tensor
    count: Tensor


def center_rows(F, rows: Tensor, for_inference: bool = False) -> CenteredRows:
    """Subtract from each row of pixels its mean.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    rows : Tensor
        (N, R, S).
    for_inference : bool
        Whether no gradient will be asked for.

    Returns
    -------
    CenteredRows
        The centered rows, their means, and what further sums need.
    """
    # Sums are matrix products with ones: BLAS is several times faster at them than the operators
    # mean, sum or LayerNorm, and its sums are a hundred times more exact.
    ones = F.ones_like(F.slice_axis(rows, axis=1, begin=0, end=1))
    count = F.linalg_gemm2(ones, ones, transpose_b=True)
    mean = F.broadcast_div(F.linalg_gemm2(rows, ones, transpose_b=True), count)
    if for_inference:
        centered = F.broadcast_sub(rows, mean)
    else:
        centered = F.elemwise_sub(rows, spread(F, mean, ones))
    return CenteredRows(centered, mean, ones, count)


def spread(F, values: Tensor, ones: Tensor) -> Tensor:
    """Repeat the value of each row over the row's pixels, as a matrix product with ones.

    The gradient of the values is then a matrix product, too. That of a broadcasting operator is a
    sum by MXNet, which takes several times as long.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    values : Tensor
        (N, R, 1).
    ones : Tensor
        (N, 1, S) of ones.

    Returns
    -------
    Tensor
        (N, R, S).
    """
    return F.linalg_gemm2(values, ones)


def scale_and_shift_rows(F, rows: Tensor, factor: Tensor, shift: Tensor, ones: Tensor) -> Tensor:
    """Compute ``factor * rows + shift`` in training, with one factor and one shift for each row.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    rows : Tensor
        (N, R, S).
    factor, shift : Tensor
        (N, R, 1).
    ones : Tensor
        (N, 1, S) of ones.

    Returns
    -------
    Tensor
        (N, R, S).
    """
    scaled = F.elemwise_mul(rows, spread(F, factor, ones))
    return F.elemwise_add(scaled, spread(F, shift, ones))


def pixel_of_channels(F, x: Tensor) -> Tensor:
    """Take one pixel with all its channels, from which MXNet can infer a parameter's shape.

    MXNet infers C for a parameter that is added elementwise to an array of known shape (C,), but
    not for one that is reshaped first.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    x : Tensor
        (N, C, H, W).

    Returns
    -------
    Tensor
        (C,).
    """
    pixel = F.slice(x, begin=(0, None, 0, 0), end=(1, None, 1, 1))
    return F.reshape(pixel, shape=(-1,))


def scale_and_shift(F, x: Tensor, gamma: Tensor, beta: Tensor, channels: int) -> Tensor:
    """Compute ``gamma * x + beta`` in inference, as a depthwise 1x1 convolution.

    The convolution is a single pass, and its result has oneDNN's blocked layout. The relu,
    pooling or convolution that follows then needs no reorder.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    x : Tensor
        (N, C, H, W).
    gamma, beta : Tensor
        (C,).
    channels : int
        C.

    Returns
    -------
    Tensor
        (N, C, H, W).
    """
    weight = F.reshape(gamma, shape=(-1, 1, 1, 1))
    return F.Convolution(x, weight, beta, kernel=(1, 1), num_filter=channels, num_group=channels)
