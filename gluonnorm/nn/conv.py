"""A convolution and the norm that follows it."""
from typing import Optional

from gluonnorm.nn.norm import Norm
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn
from mxnet.initializer import Initializer


class ConvNorm(HybridBlock):
    """A square convolution with "same" padding, then a norm; without a norm the convolution has a bias instead.

    (N, in_channels, H, W) becomes (N, channels, ceil(H / stride), ceil(W / stride)) for odd kernels.

    Parameters
    ----------
    channels, in_channels
        Feature maps out and in.
    kernel, stride
        In pixels; ``kernel`` is odd.
    norm
        Callable channels -> layer, or None.
    weight_initializer
        Of the convolution's weight; None takes the network's.
    """

    def __init__(self, channels: int, in_channels: int, kernel: int, stride: int = 1, norm: Optional[Norm] = None,
                 weight_initializer: Optional[Initializer] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv = nn.Conv2D(channels, kernel, stride, kernel // 2, in_channels=in_channels,
                                  use_bias=norm is None, weight_initializer=weight_initializer)
            self.norm = None if norm is None else norm(channels)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)
