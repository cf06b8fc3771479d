"""The RPN's head at a few anchors of a pyramid: all that its losses look at."""
from typing import Any, Optional, Sequence, Tuple

from gluonnorm.ops.select import gather
from gluonnorm.rcnn.rpn import RPNHead
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class SampledRPN(mx.gluon.HybridBlock):
    """``head``, with its own weights, at sampled anchors.

    A few hundred anchors enter the losses; the gradient of all others is zero. Computed from what lies around them
    alone, these have the values and gradients that the whole maps would give, and the maps themselves, needed for the
    proposals, can do without gradients: two thirds of the head's work and all its activations are saved.

    Anchors (B, S), numbered as :meth:`RPNHead.over` orders them, all levels in a row, and the feature maps give logits
    (B, S) and deltas (B, S, 4).
    """

    def __init__(self, head: RPNHead) -> None:
        super().__init__()
        self.convs = nn.HybridSequential()
        for conv in (head.conv, head.conv2):
            if conv is not None:
                self.convs.add(nn.Conv2D(conv._channels, 3, in_channels=conv._in_channels, prefix=conv.prefix,
                                         params=conv.params))  # no padding: what lies around is there
        self.score = head.score
        self.loc = head.loc
        self._num_anchors = head.score._channels

    def hybrid_forward(self, F: Any, anchors: Tensor, *features: Tensor) -> Tuple[Tensor, Tensor]:
        cells = F.floor(anchors / self._num_anchors)
        around = F.take(neighbours(F, features, len(self.convs)), cells)
        hidden, inside = self._patches(F, features, around)
        for index, conv in enumerate(self.convs):
            hidden = F.Activation(conv(hidden), act_type="relu")
            if index + 1 < len(self.convs):  # beyond the border the next one reads zeros, as it does on a whole map
                inside = F.slice(inside, begin=(None, None, 1, 1), end=(None, None, -1, -1))
                hidden = F.broadcast_mul(hidden, inside)
        of_cell = F.reshape(F.one_hot(anchors - cells * self._num_anchors, self._num_anchors), (-3, 0))
        logits = F.sum(F.reshape(self.score(hidden), (0, -1)) * of_cell, axis=1)
        deltas = F.reshape(self.loc(hidden), (0, -1, 4))
        deltas = F.sum(F.broadcast_mul(deltas, F.expand_dims(of_cell, axis=2)), axis=1)
        return (F.reshape_like(logits, anchors),
                F.reshape_like(deltas, anchors, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2))

    def _patches(self, F: Any, features: Sequence[Tensor], around: Tensor) -> Tuple[Tensor, Tensor]:
        """What is in the cells (B, S, s * s), zeros where there is none: (B * S, C, s, s); and where there is one."""
        side = 2 * len(self.convs) + 1
        rows = F.concat(*[F.reshape(F.transpose(feature, (0, 2, 3, 1)), (0, -3, 0)) for feature in features], dim=1)
        inside = F.expand_dims(F.reshape(around >= 0, (0, -3)), axis=2)
        patches = F.broadcast_mul(gather(F, rows, F.reshape(F.maximum(around, 0), (0, -3))), inside)
        patches, inside = (F.transpose(F.reshape(array, (-1, side, side, channels)), (0, 3, 1, 2))
                           for array, channels in ((patches, self.convs[0]._in_channels), (inside, 1)))
        return patches, inside


def neighbours(F: Any, features: Sequence[Tensor], radius: int) -> Tensor:
    """The cells around each cell, row by row, -1 where there is none: (N, (2 * radius + 1) ** 2).

    N counts the cells of all maps (B, C, h, w), which are numbered in that order.
    """
    shifts = range(2 * radius + 1)
    tables, start = [], None
    for feature in features:
        one = F.slice_axis(F.slice_axis(feature, axis=0, begin=0, end=1), axis=1, begin=0, end=1)
        grid = F.contrib.arange_like(one)
        if start is not None:
            grid = F.broadcast_add(grid, F.reshape(start, (1, 1, 1, 1)))
        start = F.max(grid) + 1
        padded = F.pad(grid, mode="constant", constant_value=-1, pad_width=(0, 0, 0, 0) + (radius,) * 4)
        moved = [F.slice(padded, begin=(None, None, down, right),
                         end=(None, None, _end(down, radius), _end(right, radius)))
                 for down in shifts for right in shifts]
        tables.append(F.reshape(F.stack(*moved, axis=-1), (-1, len(moved))))
    return F.concat(*tables, dim=0)


def _end(shift: int, radius: int) -> Optional[int]:
    return shift - 2 * radius or None
