"""Box heads: from the features of a RoI to class scores and box deltas.

A head computes in two halves. ``shared`` gives the features that a mask head reads as well, and
``features`` turns them into (N, channels). Only :class:`Res5Head` does any work in its shared
half. A head states ``channels``, and ``shared_stride``, by which its shared half shrinks the side
of a map. A head with ``separate_boxes`` has features of its own for the boxes: the first half of
the channels is for the classes, and the second for the boxes.
"""

from typing import Any, Optional

from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


def dense_initializer() -> mx.init.Initializer:
    """Make the initializer of fully connected layers that a ReLU follows.

    Returns
    -------
    mxnet.init.Initializer
        Draws from a normal distribution (He et al. 2015, arXiv 1502.01852).
    """
    return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)


def conv_initializer() -> mx.init.Initializer:
    """Make the initializer of convolutions that a ReLU follows.

    Returns
    -------
    mxnet.init.Initializer
        As :func:`dense_initializer`, for the number of outputs.
    """
    return mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2)


class _DirectHead(mx.gluon.HybridBlock):
    """A head whose shared half does nothing."""

    shared_stride = 1

    def shared(self, x: Tensor) -> Tensor:
        """Return the features of the RoIs as they are.

        Parameters
        ----------
        x : Tensor
            (N, C, p, p).

        Returns
        -------
        Tensor
            The same.
        """
        return x

    def features(self, shared: Tensor) -> Tensor:
        """Compute the features from which boxes are predicted.

        Parameters
        ----------
        shared : Tensor
            (N, C, p, p), the result of :meth:`shared`.

        Returns
        -------
        Tensor
            (N, channels).
        """
        return self(shared)


class TwoFCHead(_DirectHead):
    """Two fully connected layers (Lin et al. 2017, FPN).

    Parameters
    ----------
    in_channels : int
        C, the channels of a RoI's features.
    roi_size : int
        p, the cells on a side of a RoI's features.
    channels : int
        Width of both layers.
    pool : bool
        Whether an average over 3x3 cells first halves the map, as in GluonCV's Mask R-CNN, whose
        RoIs have 14 cells on a side.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    channels : int
        The width of the result.
    shared_stride : int
        1: the shared half returns its input.
    """

    def __init__(
        self,
        in_channels: int,
        roi_size: int,
        channels: int = 1024,
        pool: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        init = dense_initializer()
        side = (roi_size + 1) // 2 if pool else roi_size
        in_units = in_channels * side * side
        with self.name_scope():
            self.pool = nn.AvgPool2D(3, 2, 1) if pool else None
            self.fc1 = nn.Dense(channels, in_units=in_units, weight_initializer=init)
            self.fc2 = nn.Dense(channels, in_units=channels, weight_initializer=init)
        self.channels = channels

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        """Apply both halves of the head: (N, C, p, p) to (N, channels)."""
        if self.pool is not None:
            x = self.pool(x)
        hidden = self.fc1(F.flatten(x))
        hidden = F.Activation(hidden, act_type="relu")
        return F.Activation(self.fc2(hidden), act_type="relu")


class ConvFCHead(_DirectHead):
    """Convolutions with norms, then a fully connected layer (Wu and He 2018, Group Normalization).

    Parameters
    ----------
    in_channels : int
        C, the channels of a RoI's features.
    roi_size : int
        p, the cells on a side of a RoI's features.
    norm : callable, optional
        Makes the norm that follows each convolution from its number of channels. None gives the
        convolutions a bias instead.
    num_convs : int
        3x3 convolutions.
    pool : bool
        Whether an average over 3x3 cells first halves the map, as in :class:`TwoFCHead`.
    conv_channels : int
        Channels of each convolution.
    channels : int
        Width of the fully connected layer.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    channels : int
        The width of the result.
    shared_stride : int
        1: the shared half returns its input.
    """

    def __init__(
        self,
        in_channels: int,
        roi_size: int,
        norm: Optional[Norm],
        num_convs: int = 4,
        pool: bool = False,
        conv_channels: int = 256,
        channels: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        init = conv_initializer()
        side = (roi_size + 1) // 2 if pool else roi_size
        with self.name_scope():
            self.convs = nn.HybridSequential()
            if pool:
                self.convs.add(nn.AvgPool2D(3, 2, 1))
            width = in_channels
            for _ in range(num_convs):
                conv = ConvNorm(conv_channels, width, 3, norm=norm, weight_initializer=init)
                self.convs.add(conv)
                self.convs.add(nn.Activation("relu"))
                width = conv_channels
            self.fc1 = nn.Dense(
                channels,
                in_units=conv_channels * side * side,
                weight_initializer=dense_initializer(),
            )
        self.channels = channels

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        """Apply both halves of the head: (N, C, p, p) to (N, channels)."""
        hidden = self.fc1(F.flatten(self.convs(x)))
        return F.Activation(hidden, act_type="relu")


class BlockHead(_DirectHead):
    """Any layers as a box head, which a mask head shares nothing with.

    Parameters
    ----------
    stage : mxnet.gluon.HybridBlock
        From (N, C, p, p) to (N, channels), or to (N, channels, h, w).
    channels : int
        Channels that ``stage`` returns.
    pool : bool
        Whether ``stage`` returns a map, whose mean is taken.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    channels : int
        The width of the result.
    shared_stride : int
        1: the shared half returns its input.
    """

    def __init__(
        self, stage: mx.gluon.HybridBlock, channels: int, pool: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        with self.name_scope():
            self.pool = nn.GlobalAvgPool2D() if pool else None
        self.channels = channels

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        """Apply both halves of the head: (N, C, p, p) to (N, channels)."""
        x = self.stage(x)
        if self.pool is not None:
            x = self.pool(x)
        return F.flatten(x)


class Res5Head(mx.gluon.HybridBlock):
    """The backbone's last stage on every RoI, then the mean over its map: the head of C4 detectors.

    It is the head of ResNet detectors without a pyramid (He et al. 2016, arXiv 1512.03385).

    Parameters
    ----------
    stage : mxnet.gluon.HybridBlock
        From (N, C, p, p) to (N, channels, ceil(p / s), ceil(p / s)), where s is ``shared_stride``.
    channels : int
        Channels that ``stage`` returns.
    shared_stride : int
        By what ``stage`` divides the side of a map: 2 for the last stage of a ResNet.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    channels, shared_stride : int
        As above; ``channels`` is the width of the result.
    shared_channels : int
        Channels of what a mask head reads, those of ``stage``.
    """

    def __init__(
        self,
        stage: mx.gluon.HybridBlock,
        channels: int,
        shared_stride: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.shared_stride = shared_stride
        with self.name_scope():
            self.pool = nn.GlobalAvgPool2D()
        self.channels = channels
        self.shared_channels = channels

    def shared(self, x: Tensor) -> Tensor:
        """Apply the stage.

        Parameters
        ----------
        x : Tensor
            (N, C, p, p).

        Returns
        -------
        Tensor
            (N, channels, ceil(p / s), ceil(p / s)), where s is ``shared_stride``.
        """
        return self.stage(x)

    def features(self, shared: Tensor) -> Tensor:
        """Compute the features from which boxes are predicted: the mean over the map.

        Parameters
        ----------
        shared : Tensor
            (N, channels, h, w), the result of :meth:`shared`.

        Returns
        -------
        Tensor
            (N, channels).
        """
        return self.pool(shared).flatten()

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        """Apply both halves of the head: (N, C, p, p) to (N, channels)."""
        return self.features(self.shared(x))
