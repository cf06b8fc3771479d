"""From a RoI's features to a mask for each class (He et al. 2017, Mask R-CNN)."""
from typing import Any, Optional

from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class MaskHead(mx.gluon.HybridBlock):
    """Convolutions, each with a norm, a deconvolution that doubles the map, and one map of logits a class.

    (N, in_channels, p, p) to (N, num_classes, 2 p, 2 p). Without a norm the convolutions have a bias. A C4 detector has
    no convolutions: its head reads what stage 4 makes of a RoI.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, num_convs: int = 4,
                 norm: Optional[Norm] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        init = mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2)
        with self.name_scope():
            self.convs = nn.HybridSequential()
            for i in range(num_convs):
                self.convs.add(ConvNorm(channels, channels if i else in_channels, 3, norm=norm,
                                        weight_initializer=init))
                self.convs.add(nn.Activation("relu"))
            self.deconv = nn.Conv2DTranspose(channels, 2, 2, in_channels=channels if num_convs else in_channels,
                                             weight_initializer=init)
            self.score = nn.Conv2D(num_classes, 1, in_channels=channels, weight_initializer=mx.init.Normal(0.001))

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        return self.score(F.Activation(self.deconv(self.convs(x)), act_type="relu"))
