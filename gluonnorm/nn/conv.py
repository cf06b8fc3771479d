"""A convolution and the norm that follows it."""

from typing import Optional

from gluonnorm.nn.norm import Norm
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn
from mxnet.initializer import Initializer


class ConvNorm(HybridBlock):
    """A square convolution with "same" padding, followed by a norm.

    Without a norm, the convolution has a bias. For an odd kernel, (N, in_channels, H, W) becomes
    (N, channels, ceil(H / stride), ceil(W / stride)).

    Parameters
    ----------
    channels : int
        Number of output channels.
    in_channels : int
        Number of input channels.
    kernel : int
        Side of the kernel in pixels; odd.
    stride : int
        Step of the convolution in pixels.
    norm : callable, optional
        Makes the norm for a number of channels, as :func:`make_norm` returns it. None adds no
        norm.
    weight_initializer : mxnet.initializer.Initializer, optional
        Initializer of the convolution's weight. None uses that of the network.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.
    """

    def __init__(
        self,
        channels: int,
        in_channels: int,
        kernel: int,
        stride: int = 1,
        norm: Optional[Norm] = None,
        weight_initializer: Optional[Initializer] = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv = nn.Conv2D(
                channels,
                kernel_size=kernel,
                strides=stride,
                padding=kernel // 2,
                in_channels=in_channels,
                use_bias=norm is None,
                weight_initializer=weight_initializer,
            )
            self.norm = None if norm is None else norm(channels)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)
