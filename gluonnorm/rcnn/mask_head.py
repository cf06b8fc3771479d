"""Mask head: from the features of a RoI to a mask for each class (He et al. 2017, Mask R-CNN)."""

from typing import Any, Optional

from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.rcnn.box_heads import conv_initializer
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class MaskHead(mx.gluon.HybridBlock):
    """Convolutions with norms, a deconvolution that doubles the map, and logits for each class.

    Parameters
    ----------
    in_channels : int
        Channels of the features it reads.
    channels : int
        Channels of the hidden layers.
    num_classes : int
        The foreground classes.
    num_convs : int
        3x3 convolutions. A C4 detector has none: its mask head reads the result of the last stage.
    norm : callable, optional
        Makes the norm that follows each convolution from its number of channels. None gives the
        convolutions a bias instead.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    upscale : int
        2: the result has twice the side of the input.
    """

    upscale = 2

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        num_convs: int = 4,
        norm: Optional[Norm] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        init = conv_initializer()
        with self.name_scope():
            self.convs = nn.HybridSequential()
            width = in_channels
            for _ in range(num_convs):
                conv = ConvNorm(channels, width, 3, norm=norm, weight_initializer=init)
                self.convs.add(conv)
                self.convs.add(nn.Activation("relu"))
                width = channels
            self.deconv = nn.Conv2DTranspose(
                channels,
                kernel_size=self.upscale,
                strides=self.upscale,
                in_channels=width,
                weight_initializer=init,
            )
            self.score = self.make_score(num_classes, channels)

    @staticmethod
    def make_score(num_classes: int, in_channels: int, **kwargs: Any) -> nn.Conv2D:
        """Make the last layer, which computes the mask logits of each class.

        Parameters
        ----------
        num_classes : int
            The foreground classes.
        in_channels : int
            Channels of the hidden layers.
        **kwargs
            Arguments of ``HybridBlock``, such as ``prefix``.

        Returns
        -------
        mxnet.gluon.nn.Conv2D
            The layer, without values.
        """
        init = mx.init.Normal(0.001)
        return nn.Conv2D(num_classes, 1, in_channels=in_channels, weight_initializer=init, **kwargs)

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        """Compute mask logits: (N, in_channels, p, p) to (N, num_classes, 2 * p, 2 * p)."""
        hidden = self.deconv(self.convs(x))
        hidden = F.Activation(hidden, act_type="relu")
        return self.score(hidden)
