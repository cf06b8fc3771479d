"""The RPN's head at sampled anchors only, for its losses."""

from typing import Any, List, Optional, Sequence, Tuple

from gluonnorm.ops.select import gather_repeated
from gluonnorm.rcnn.rpn import RPNHead
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import nn


class SampledRPN(mx.gluon.HybridBlock):
    """Apply an RPN head, with its own weights, at a few sampled anchors.

    The losses read a few hundred anchors of each image, and the gradient at all other anchors is
    0. This block cuts the neighborhood of each sampled anchor out of the feature maps and applies
    the head to it. Values and gradients equal those of the head on the entire maps. The head on
    the entire maps is still needed for the proposals, but there it runs without gradients. That
    saves two thirds of the head's work and all of its stored activations.

    Parameters
    ----------
    head : RPNHead
        The head whose parameters are used.
    """

    def __init__(self, head: RPNHead) -> None:
        super().__init__()
        # Each convolution takes a cell off every side of its patch, and the last leaves one cell.
        self.convs = nn.HybridSequential()
        if head.conv2 is not None:
            self.convs.add(PatchConv(head.conv, side=3))
            self.convs.add(PatchConv(head.conv2, side=1))
        else:
            self.convs.add(PatchConv(head.conv, side=1))
        self._in_channels = head.conv._in_channels
        self.score = head.score
        self.loc = head.loc
        self._num_anchors = head.score._channels

    def hybrid_forward(
        self, F: Any, anchors: Tensor, rows: Tensor, *features: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Predict the logits and deltas of sampled anchors.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        anchors : Tensor
            (B, S), anchors numbered over all levels in the order of :meth:`RPNHead.over`.
        rows : Tensor
            (B, N, C), the cells of the feature maps, one below the other; see
            :func:`gluonnorm.rcnn.roi_product.rows_of_cells`.
        *features : Tensor
            The feature map of each level, (B, C, h, w); only their sizes are read.

        Returns
        -------
        logits : Tensor
            (B, S).
        deltas : Tensor
            (B, S, 4).
        """
        cells = F.floor(anchors / self._num_anchors)
        neighbors = F.take(neighbor_cells(F, features, radius=len(self.convs)), cells)
        hidden, inside = self._patches(F, rows, neighbors)
        last = len(self.convs) - 1
        for index, conv in enumerate(self.convs):
            hidden = F.Activation(conv(hidden), act_type="relu")
            if index < last:
                # On an entire map the next convolution reads zeros beyond the border. A patch has
                # values there, so they are set to 0.
                inside = F.slice(inside, begin=(None, 1, 1, None), end=(None, -1, -1, None))
                hidden = F.broadcast_mul(hidden, inside)
        hidden = F.transpose(hidden, (0, 3, 1, 2))
        anchor_of_cell = anchors - cells * self._num_anchors
        logits, deltas = self._predictions(F, hidden, anchor_of_cell)
        logits = F.reshape_like(logits, anchors)
        deltas = F.reshape_like(deltas, anchors, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        return logits, deltas

    def _predictions(self, F: Any, hidden: Tensor, anchor_of_cell: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict from hidden features (B * S, C, 1, 1) at one anchor (B, S) of each cell.

        Returns logits (B * S,) and deltas (B * S, 4).
        """
        # The last layers predict for all anchors of a cell. A sum of products with 0 and 1 selects
        # the sampled one.
        is_sampled = F.one_hot(anchor_of_cell, self._num_anchors)
        is_sampled = F.reshape(is_sampled, (-3, 0))
        logits = F.reshape(self.score(hidden), (0, -1))
        logits = F.sum(logits * is_sampled, axis=1)
        deltas = F.reshape(self.loc(hidden), (0, -1, 4))
        deltas = F.sum(F.broadcast_mul(deltas, F.expand_dims(is_sampled, axis=2)), axis=1)
        return logits, deltas

    def _patches(self, F: Any, rows: Tensor, neighbors: Tensor) -> Tuple[Tensor, Tensor]:
        """Cut the neighborhoods (B, S, s * s) of cells out of the rows of all cells.

        Returns the patches (B * S, s, s, C), with zeros beyond the border of a map, and a map
        (B * S, s, s, 1) that is 1 inside the border.
        """
        side = 2 * len(self.convs) + 1
        inside = F.expand_dims(F.reshape(neighbors >= 0, (0, -3)), axis=2)
        valid_neighbors = F.reshape(F.maximum(neighbors, 0), (0, -3))
        patches = F.broadcast_mul(gather_repeated(F, rows, valid_neighbors), inside)
        patches = F.reshape(patches, (-1, side, side, self._in_channels))
        inside = F.reshape(inside, (-1, side, side, 1))
        return patches, inside


class PatchConv(mx.gluon.HybridBlock):
    """A 3x3 convolution without padding over many small patches, as one matrix product.

    It has the parameters of another convolution. In bfloat16, the threads of oneDNN's convolution
    wait for each other twice for every patch in the backward pass. If another process holds one of
    two processors, each wait takes milliseconds, and 512 patches take seconds.

    Parameters
    ----------
    conv : mxnet.gluon.nn.Conv2D
        A 3x3 convolution of known input channels, with a bias.
    side : int
        The side of its results in cells. That of the patches is two more.
    """

    def __init__(self, conv: nn.Conv2D, side: int) -> None:
        super().__init__(prefix=conv.prefix, params=conv.params)
        self.weight = self.params.get("weight")
        self.bias = self.params.get("bias")
        self._side = side
        self._channels = conv._channels
        self._in_channels = conv._in_channels

    def hybrid_forward(self, F: Any, patches: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Apply the convolution.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        patches : Tensor
            (N, side + 2, side + 2, C).
        weight, bias : Tensor
            (O, C, 3, 3) and (O,).

        Returns
        -------
        Tensor
            (N, side, side, O).
        """
        shifted = []
        for down in range(3):
            for right in range(3):
                begin = (None, down, right, None)
                end = (None, down + self._side, right + self._side, None)
                shifted.append(F.slice(patches, begin=begin, end=end))
        windows = F.reshape(F.concat(*shifted, dim=3), (-1, 9 * self._in_channels))
        matrix = F.reshape(F.transpose(weight, (0, 2, 3, 1)), (0, -1))
        values = F.FullyConnected(windows, matrix, bias, num_hidden=self._channels)
        return F.reshape(values, (-1, self._side, self._side, self._channels))


def neighbor_cells(F: Any, features: Sequence[Tensor], radius: int) -> Tensor:
    """List the cells around every cell of all feature maps.

    The cells are numbered map by map, and row by row within a map.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    features : sequence of Tensor
        Maps (B, C, h, w); only their sizes are read.
    radius : int
        How far a neighbor may be, in cells down and right.

    Returns
    -------
    Tensor
        (N, (2 * radius + 1) ** 2): for each of the N cells of all maps the cells of the square
        around it, row by row, and -1 beyond the border of its map.
    """
    tables = []
    first_cell = None
    for feature in features:
        one_image = F.slice_axis(feature, axis=0, begin=0, end=1)
        one_channel = F.slice_axis(one_image, axis=1, begin=0, end=1)
        cells = F.contrib.arange_like(one_channel)
        if first_cell is not None:
            cells = F.broadcast_add(cells, F.reshape(first_cell, (1, 1, 1, 1)))
        first_cell = F.max(cells) + 1
        border = (0, 0, 0, 0) + (radius,) * 4
        padded = F.pad(cells, mode="constant", constant_value=-1, pad_width=border)
        shifted = _shifted_maps(F, padded, radius)
        stacked = F.stack(*shifted, axis=-1)
        tables.append(F.reshape(stacked, (-1, len(shifted))))
    return F.concat(*tables, dim=0)


def _shifted_maps(F: Any, padded: Tensor, radius: int) -> List[Tensor]:
    """Cut all shifts of up to ``radius`` cells out of a map that is padded by ``radius`` cells."""
    shifts = range(2 * radius + 1)
    maps = []
    for down in shifts:
        for right in shifts:
            begin = (None, None, down, right)
            end = (None, None, _slice_end(down, radius), _slice_end(right, radius))
            maps.append(F.slice(padded, begin=begin, end=end))
    return maps


def _slice_end(shift: int, radius: int) -> Optional[int]:
    """Compute the end of a slice that starts at ``shift``; None is the end of the axis."""
    remaining = 2 * radius - shift
    return -remaining if remaining else None
