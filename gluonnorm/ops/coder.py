"""Boxes as differences from other boxes (Girshick et al. 2014, R-CNN, appendix C): the only copy of this formula."""
import math
from typing import Any, Tuple

from gluonnorm.ops.boxes import split_coordinates
from gluonnorm.types import Tensor

Stds = Tuple[float, float, float, float]
DELTA_CLIP = math.log(1000.0 / 16.0)  # a box grows at most from 16 to 1000 pixels in one decoding (Detectron)


def _center_form(F: Any, boxes: Tensor, offset: float) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = split_coordinates(F, boxes)
    width, height = x2 - x1 + offset, y2 - y1 + offset
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


def encode(F: Any, boxes: Tensor, anchors: Tensor, stds: Stds, offset: float = 0.0) -> Tensor:
    """What a predictor at ``anchors`` should say so that decoding gives ``boxes``.

    Both (..., 4) of one shape, in pixels; the result (..., 4) is dx dy dw dh, each divided by its ``stds``.
    ``offset`` is 1 where a box's far corner is its last pixel (Detectron). Sides are taken as at least 1e-3 pixel,
    so padding gives finite (and meaningless) values.
    """
    x, y, w, h = _center_form(F, boxes, offset)
    ax, ay, aw, ah = _center_form(F, anchors, offset)
    w, h, aw, ah = (F.maximum(side, 1e-3) for side in (w, h, aw, ah))
    return F.concat((x - ax) / aw / stds[0], (y - ay) / ah / stds[1],
                    F.log(w / aw) / stds[2], F.log(h / ah) / stds[3], dim=-1)


def decode(F: Any, deltas: Tensor, anchors: Tensor, stds: Stds, clip: float = DELTA_CLIP,
           offset: float = 0.0) -> Tensor:
    """The inverse of :func:`encode`; anchors may broadcast. dw and dh are capped at ``clip`` before the exponential."""
    dx, dy, dw, dh = split_coordinates(F, deltas)
    ax, ay, aw, ah = _center_form(F, anchors, offset)
    x = F.broadcast_add(F.broadcast_mul(dx * stds[0], aw), ax)
    y = F.broadcast_add(F.broadcast_mul(dy * stds[1], ah), ay)
    half_w = 0.5 * F.broadcast_mul(F.exp(F.minimum(dw * stds[2], clip)), aw)
    half_h = 0.5 * F.broadcast_mul(F.exp(F.minimum(dh * stds[3], clip)), ah)
    return F.concat(x - half_w, y - half_h, x + half_w - offset, y + half_h - offset, dim=-1)
