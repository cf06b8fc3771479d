"""Boxes as differences (deltas) from anchors or RoIs, and back.

The formula is that of R-CNN (Girshick et al. 2014, arXiv 1311.2524, appendix C).
"""

import math
from typing import Any, Tuple

from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.types import Tensor

DeltaStds = Tuple[float, float, float, float]

# Detectron's limit: in one decoding a box grows at most from 16 to 1000 pixels.
DELTA_CLIP = math.log(1000.0 / 16.0)
# Padding has sides of 0 pixels. The logarithm of a quotient of these sides would be NaN, and NaN
# times a weight of 0 is NaN, so a single row of padding would spoil the loss.
LEAST_SIDE = 1e-3


def encode(F: Any, boxes: Tensor, anchors: Tensor, stds: DeltaStds, offset: float = 0.0) -> Tensor:
    """Compute the deltas that lead from anchors to boxes.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    boxes : Tensor
        (..., 4) in pixels.
    anchors : Tensor
        Anchors or RoIs, one for each box: (..., 4) of the same shape, in pixels.
    stds : tuple of float
        The number by which each of dx, dy, dw and dh is divided.
    offset : float
        What is added to ``x2 - x1`` to get a width: 1 if a box's far corner is its last pixel
        (Detectron), else 0.

    Returns
    -------
    Tensor
        (..., 4): dx, dy, dw, dh. Sides count as at least ``LEAST_SIDE``, so the deltas of padding
        are finite; they have no meaning.
    """
    center_x, center_y, width, height = _center_form(F, boxes, offset)
    anchor_x, anchor_y, anchor_width, anchor_height = _center_form(F, anchors, offset)
    width = F.maximum(width, LEAST_SIDE)
    height = F.maximum(height, LEAST_SIDE)
    anchor_width = F.maximum(anchor_width, LEAST_SIDE)
    anchor_height = F.maximum(anchor_height, LEAST_SIDE)
    delta_x = (center_x - anchor_x) / anchor_width / stds[0]
    delta_y = (center_y - anchor_y) / anchor_height / stds[1]
    delta_width = F.log(width / anchor_width) / stds[2]
    delta_height = F.log(height / anchor_height) / stds[3]
    return F.concat(delta_x, delta_y, delta_width, delta_height, dim=-1)


def decode(
    F: Any,
    deltas: Tensor,
    anchors: Tensor,
    stds: DeltaStds,
    clip: float = DELTA_CLIP,
    offset: float = 0.0,
) -> Tensor:
    """Move and resize anchors by deltas; the inverse of :func:`encode`.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    deltas : Tensor
        (..., 4): dx, dy, dw, dh.
    anchors : Tensor
        Anchors or RoIs in pixels; they broadcast to (..., 4).
    stds : tuple of float
        The number by which each of dx, dy, dw and dh is multiplied.
    clip : float
        The largest dw and dh, after the multiplication.
    offset : float
        As in :func:`encode`.

    Returns
    -------
    Tensor
        (..., 4), boxes in pixels.
    """
    delta_x, delta_y, delta_width, delta_height = split_coordinates(F, deltas)
    anchor_x, anchor_y, anchor_width, anchor_height = _center_form(F, anchors, offset)
    center_x = F.broadcast_add(F.broadcast_mul(delta_x * stds[0], anchor_width), anchor_x)
    center_y = F.broadcast_add(F.broadcast_mul(delta_y * stds[1], anchor_height), anchor_y)
    width_factor = F.exp(F.minimum(delta_width * stds[2], clip))
    half_width = 0.5 * F.broadcast_mul(width_factor, anchor_width)
    height_factor = F.exp(F.minimum(delta_height * stds[3], clip))
    half_height = 0.5 * F.broadcast_mul(height_factor, anchor_height)
    x1 = center_x - half_width
    y1 = center_y - half_height
    x2 = center_x + half_width - offset
    y2 = center_y + half_height - offset
    return F.concat(x1, y1, x2, y2, dim=-1)


def _center_form(F: Any, boxes: Tensor, offset: float) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Convert corners (..., 4) to center x, center y, width and height, (..., 1) each."""
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    width = x2 - x1 + offset
    height = y2 - y1 + offset
    center_x = x1 + 0.5 * width
    center_y = y1 + 0.5 * height
    return center_x, center_y, width, height
