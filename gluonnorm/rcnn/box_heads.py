"""From a RoI's features to class scores and box deltas: two-layer, convolutional and res5 heads, and the predictor.

A head has two halves: ``shared``, whose result a mask head reads as well (only res5 does anything there), and
``features``, from that to (N, channels). Called, it does both.
"""
from typing import Any, Optional, Tuple

from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class TwoFCHead(mx.gluon.HybridBlock):
    """Two fully connected layers (Lin et al. 2017, FPN): (N, C, p, p) to (N, channels).

    ``pool``: the map is first halved by an average over 3x3 (GluonCV's Mask R-CNN, whose RoIs have 14 cells a side).
    """

    def __init__(self, in_channels: int, roi_size: int, channels: int = 1024, pool: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        init = mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)
        roi_size = (roi_size + 1) // 2 if pool else roi_size
        with self.name_scope():
            self.pool = nn.AvgPool2D(3, 2, 1) if pool else None
            self.fc1 = nn.Dense(channels, in_units=in_channels * roi_size * roi_size, weight_initializer=init)
            self.fc2 = nn.Dense(channels, in_units=channels, weight_initializer=init)
        self.channels = channels

    def shared(self, x: Tensor) -> Tensor:
        """The RoI's features as they are."""
        return x

    def features(self, shared: Tensor) -> Tensor:
        """(N, C, p, p) to (N, channels)."""
        return self(shared)

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        x = x if self.pool is None else self.pool(x)
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

    def shared(self, x: Tensor) -> Tensor:
        """The RoI's features as they are."""
        return x

    def features(self, shared: Tensor) -> Tensor:
        """(N, C, p, p) to (N, channels)."""
        return self(shared)

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
        with self.name_scope():
            self.pool = nn.GlobalAvgPool2D()
        self.channels = channels

    def shared(self, x: Tensor) -> Tensor:
        """(N, C, p, p) to (N, channels, p/2, p/2)."""
        return self.stage(x)

    def features(self, shared: Tensor) -> Tensor:
        """(N, channels, p/2, p/2) to (N, channels)."""
        return self.pool(shared).flatten()

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        return self.features(self.shared(x))


class BoxPredictor(mx.gluon.HybridBlock):
    """(N, channels) to class logits (N, C + 1), column 0 background, and deltas (N, 4 C), four a foreground class."""

    def __init__(self, in_channels: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.score = nn.Dense(num_classes + 1, in_units=in_channels, weight_initializer=mx.init.Normal(0.01))
            self.loc = nn.Dense(4 * num_classes, in_units=in_channels, weight_initializer=mx.init.Normal(0.001))

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, Tensor]:
        return self.score(x), self.loc(x)
