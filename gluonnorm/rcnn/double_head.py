"""The box head with a branch for the classes and one for the boxes (Double-Head R-CNN)."""

from typing import Any

from gluonnorm.rcnn.box_heads import Res5Head, conv_initializer, dense_initializer
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class _BoxBlock(mx.gluon.HybridBlock):
    """A bottleneck block without norms, whose shortcut has a convolution."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        width = channels // 4
        init = conv_initializer()
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
        init = dense_initializer()
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
    shared_channels : int
        ``stage_channels``.
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
        # A mask head reads the stage, not the branches.
        self.shared_channels = stage_channels
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
