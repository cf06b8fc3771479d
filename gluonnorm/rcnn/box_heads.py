"""Box heads: from the features of a RoI to class scores and box deltas.

A head computes in two halves. ``shared`` gives the features that a mask head reads as well, and
``features`` turns them into (N, channels). Only :class:`Res5Head` does any work in its shared
half. A head states ``channels``, and ``shared_stride``, by which its shared half shrinks the side
of a map. A head with ``separate_boxes`` has features of its own for the boxes: the first half of
the channels is for the classes, and the second for the boxes.
"""

from typing import Any, Optional, Tuple

from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


def _dense_initializer() -> mx.init.Initializer:
    """Make the initializer of fully connected layers that a ReLU follows."""
    return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)


def _conv_initializer() -> mx.init.Initializer:
    """Make the initializer of convolutions that a ReLU follows."""
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
        init = _dense_initializer()
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
        init = _conv_initializer()
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
                weight_initializer=_dense_initializer(),
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


class _BoxBlock(mx.gluon.HybridBlock):
    """A bottleneck block without norms, whose shortcut has a convolution."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        width = channels // 4
        init = _conv_initializer()
        with self.name_scope():
            self.conv1 = nn.Conv2D(width, 1, in_channels=in_channels, weight_initializer=init)
            self.conv2 = nn.Conv2D(
                width, 3, padding=1, use_bias=False, in_channels=width, weight_initializer=init
            )
            self.conv3 = nn.Conv2D(channels, 1, in_channels=width, weight_initializer=init)
            self.shortcut = nn.Conv2D(
                channels, 1, use_bias=False, in_channels=in_channels, weight_initializer=init
            )

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        hidden = F.Activation(self.conv1(x), act_type="relu")
        hidden = F.Activation(self.conv2(hidden), act_type="relu")
        return F.Activation(self.conv3(hidden) + self.shortcut(x), act_type="relu")


class _TwoBranches(mx.gluon.HybridBlock):
    """Fully connected layers for the classes, and convolutions for the boxes."""

    def __init__(self, in_channels: int, side: int, channels: int) -> None:
        super().__init__()
        init = _dense_initializer()
        in_units = in_channels * side * side
        with self.name_scope():
            self.fc1 = nn.Dense(channels, in_units=in_units, weight_initializer=init)
            self.fc2 = nn.Dense(channels, in_units=channels, weight_initializer=init)
            self.blocks = nn.HybridSequential()
            self.blocks.add(_BoxBlock(in_channels, channels))
            self.blocks.add(_BoxBlock(channels, channels))
            self.pool = nn.GlobalAvgPool2D()

    def hybrid_forward(self, F: Any, x: Tensor) -> Tensor:
        hidden = F.Activation(self.fc1(F.flatten(x)), act_type="relu")
        for_classes = F.Activation(self.fc2(hidden), act_type="relu")
        for_boxes = F.flatten(self.pool(self.blocks(x)))
        return F.concat(for_classes, for_boxes, dim=1)


class DoubleHead(Res5Head):
    """The backbone's last stage, then one branch for classes and one for boxes.

    Wu et al. (2020), "Rethinking Classification and Localization for Object Detection",
    arXiv 1904.06493, in GluonCV's form. Fully connected layers see the classes, convolutions the
    boxes.

    Parameters
    ----------
    stage : mxnet.gluon.HybridBlock
        From (N, C, p, p) to (N, stage_channels, side, side).
    stage_channels : int
        Channels that ``stage`` returns.
    side : int
        Cells on a side of what ``stage`` returns.
    shared_stride : int
        By what ``stage`` divides the side of a map.
    branch_channels : int
        Width of the result of each branch.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Attributes
    ----------
    channels : int
        The width of the result: twice ``branch_channels``, the features for the classes first.
    shared_stride : int
        As above.
    separate_boxes : bool
        True: the two halves of the result are for classes and boxes.
    """

    separate_boxes = True

    def __init__(
        self,
        stage: mx.gluon.HybridBlock,
        stage_channels: int,
        side: int,
        shared_stride: int = 2,
        branch_channels: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(stage, 2 * branch_channels, shared_stride, **kwargs)
        with self.name_scope():
            self.branches = _TwoBranches(stage_channels, side, branch_channels)

    def features(self, shared: Tensor) -> Tensor:
        """Compute the features from which classes and boxes are predicted.

        Parameters
        ----------
        shared : Tensor
            (N, stage_channels, side, side), the result of :meth:`shared`.

        Returns
        -------
        Tensor
            (N, channels).
        """
        return self.branches(shared)


class BoxPredictor(mx.gluon.HybridBlock):
    """Predict class logits and the box deltas of each class.

    Parameters
    ----------
    in_channels : int
        The width of a head's features.
    num_classes : int
        C, the foreground classes.
    separate_boxes : bool
        Whether the first half of the features is for the classes, and the second for the boxes.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Examples
    --------
    >>> import mxnet as mx
    >>> predictor = BoxPredictor(in_channels=8, num_classes=3)
    >>> predictor.initialize()
    >>> logits, deltas = predictor(mx.nd.ones((5, 8)))
    >>> logits.shape, deltas.shape
    ((5, 4), (5, 12))
    """

    def __init__(
        self, in_channels: int, num_classes: int, separate_boxes: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.separate_boxes = separate_boxes
        in_units = in_channels // 2 if separate_boxes else in_channels
        with self.name_scope():
            self.score = nn.Dense(
                num_classes + 1, in_units=in_units, weight_initializer=mx.init.Normal(0.01)
            )
            self.loc = nn.Dense(
                4 * num_classes, in_units=in_units, weight_initializer=mx.init.Normal(0.001)
            )

    def hybrid_forward(self, F: Any, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict from the features of RoIs.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        x : Tensor
            (N, in_channels).

        Returns
        -------
        logits : Tensor
            (N, C + 1); column 0 is the background.
        deltas : Tensor
            (N, 4 * C); four columns for each foreground class.
        """
        if not self.separate_boxes:
            return self.score(x), self.loc(x)
        for_classes, for_boxes = F.split(x, num_outputs=2, axis=1)
        return self.score(for_classes), self.loc(for_boxes)
