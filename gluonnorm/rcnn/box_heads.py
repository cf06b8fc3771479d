"""From a RoI's features to class scores and box deltas: two-layer, convolutional and res5 heads, and the predictor."""
from typing import Any, Optional, Tuple

from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class TwoFCHead(mx.gluon.HybridBlock):
    """Two fully connected layers (Lin et al. 2017, FPN): (N, C, p, p) to (N, channels)."""

    def __init__(self, in_channels: int, roi_size: int, channels: int = 1024, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        init = mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)
        with self.name_scope():
            self.fc1 = nn.Dense(channels, in_units=in_channels * roi_size * roi_size, weight_initializer=init)
            self.fc2 = nn.Dense(channels, in_units=channels, weight_initializer=init)
        self.channels = channels

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        x = F.Activation(self.fc1(F.flatten(x)), act_type="relu")
        return F.Activation(self.fc2(x), act_type="relu")


class ConvFCHead(mx.gluon.HybridBlock):
    """Convolutions, each with a norm, then one fully connected layer (Wu & He 2018, Group Normalization).

    (N, C, p, p) to (N, channels). Without a norm the convolutions have a bias.
    """

    def __init__(self, in_channels: int, roi_size: int, norm: Optional[Norm], num_convs: int = 4,
                 conv_channels: int = 256, channels: int = 1024, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        init = mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2)
        with self.name_scope():
            self.convs = nn.HybridSequential()
            for i in range(num_convs):
                self.convs.add(ConvNorm(conv_channels, conv_channels if i else in_channels, 3, norm=norm,
                                        weight_initializer=init))
                self.convs.add(nn.Activation("relu"))
            self.fc1 = nn.Dense(channels, in_units=conv_channels * roi_size * roi_size,
                                weight_initializer=mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
        self.channels = channels

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        return F.Activation(self.fc1(F.flatten(self.convs(x))), act_type="relu")


class Res5Head(mx.gluon.HybridBlock):
    """The backbone's last stage on every RoI, then the mean over its map (He et al. 2016): C4 detectors.

    Parameters
    ----------
    stage : block from (N, C, p, p) to (N, channels, p/2, p/2)
    channels : of what ``stage`` gives
    """

    def __init__(self, stage: mx.gluon.HybridBlock, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.channels = channels

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        return F.flatten(F.contrib.AdaptiveAvgPooling2D(self.stage(x), output_size=1))


class BoxPredictor(mx.gluon.HybridBlock):
    """(N, channels) to class logits (N, C + 1), column 0 background, and deltas (N, 4 C), four a foreground class."""

    def __init__(self, in_channels: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.score = nn.Dense(num_classes + 1, in_units=in_channels, weight_initializer=mx.init.Normal(0.01))
            self.loc = nn.Dense(4 * num_classes, in_units=in_channels, weight_initializer=mx.init.Normal(0.001))

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, Tensor]:
        return self.score(x), self.loc(x)
