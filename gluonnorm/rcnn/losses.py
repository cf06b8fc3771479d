"""Formulas of the losses, and their mean over the rows of each image.

The loss of an image is divided by a number of rows of that image only. The gradient of a batch is
therefore the same on one device and on several.
"""

from typing import Any

from gluonnorm.types import Tensor

LOSS_NAMES = ("rpn_class", "rpn_box", "rcnn_class", "rcnn_box")


def smooth_l1(F: Any, difference: Tensor, beta: float) -> Tensor:
    """Compute the smooth L1 loss (Girshick 2015, Fast R-CNN, equation 3, with Detectron's beta).

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    difference : Tensor
        Prediction minus target, of any shape.
    beta : float
        Where the parabola meets the lines; positive.

    Returns
    -------
    Tensor
        ``0.5 * d**2 / beta`` where ``|d|`` is below ``beta``, ``|d| - 0.5 * beta`` elsewhere.
    """
    # MXNet's smooth_l1 has its parabola below 1 / scalar**2, so the scalar is 1 / sqrt(beta).
    return F.smooth_l1(difference, scalar=beta**-0.5)


def binary_cross_entropy(F: Any, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the binary cross entropy of each logit.

    The formula ``max(x, 0) - x * t + log(1 + exp(-|x|))`` does not overflow for large logits.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    logits : Tensor
        Of any shape.
    targets : Tensor
        Of the same shape, in 0..1.

    Returns
    -------
    Tensor
        Of the same shape, at least 0.
    """
    linear_part = F.maximum(logits, 0) - logits * targets
    return linear_part + F.Activation(-F.abs(logits), act_type="softrelu")


def cross_entropy(F: Any, logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the softmax cross entropy over the last axis.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    logits : Tensor
        (..., K).
    labels : Tensor
        (...), the class in 0..K - 1.

    Returns
    -------
    Tensor
        (...), at least 0.
    """
    return -F.pick(F.log_softmax(logits, axis=-1), labels, axis=-1)


def per_image(F: Any, values: Tensor, weights: Tensor, is_counted: Tensor) -> Tensor:
    """Sum the weighted values of each image, and divide by its number of rows that count.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    values : Tensor
        (B, S), the loss of each row.
    weights : Tensor
        (B, S), the weight of each row.
    is_counted : Tensor
        (B, S), 1 for a row that counts, else 0.

    Returns
    -------
    Tensor
        (B,); 0 for an image in which no row counts.
    """
    total = F.sum(values * weights, axis=1)
    num_rows = F.sum(is_counted, axis=1)
    return total / F.maximum(num_rows, 1)
