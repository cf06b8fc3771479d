"""Losses of one image each, so that a batch over several devices adds up to the same gradient."""
from typing import Any

from gluonnorm.types import Tensor

LOSS_NAMES = ("rpn_class", "rpn_box", "rcnn_class", "rcnn_box")


def smooth_l1(F: Any, difference: Tensor, beta: float) -> Tensor:
    """0.5 d^2 / beta below ``beta``, |d| - 0.5 beta above (Girshick 2015, Fast R-CNN, eq. 3, with Detectron's beta)."""
    return F.smooth_l1(difference, scalar=beta ** -0.5)


def binary_cross_entropy(F: Any, logits: Tensor, targets: Tensor) -> Tensor:
    """Elementwise, stable for large logits: max(x, 0) - x t + log(1 + exp(-|x|))."""
    return F.maximum(logits, 0) - logits * targets + F.Activation(-F.abs(logits), act_type="softrelu")


def cross_entropy(F: Any, logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross entropy over the last axis: (..., K) and (...) to (...)."""
    return -F.pick(F.log_softmax(logits, axis=-1), labels, axis=-1)


def per_image(F: Any, values: Tensor, weights: Tensor, count: Tensor) -> Tensor:
    """Weighted sum over an image's rows divided by the number of rows that count: (B, S) to (B,)."""
    return F.sum(values * weights, axis=1) / F.maximum(F.sum(count, axis=1), 1)
