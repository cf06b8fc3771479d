"""Formulas of the losses, and their mean over the rows of each image.

The loss of an image is divided by a number of rows of that image only. The gradient of a batch is
therefore the same on one device and on several.
"""

from typing import Any, Callable, NamedTuple

from gluonnorm.ops.coder import DeltaStds
from gluonnorm.types import Tensor

LOSS_NAMES = ("rpn_class", "rpn_box", "rcnn_class", "rcnn_box")


class BoxLossSetting(NamedTuple):
    """Which boxes a box loss compares.

    Attributes
    ----------
    stage : str
        "rpn": proposals against anchors; "rcnn": detections against RoIs.
    beta : float
        The setting ``rpn_smoothl1_beta`` or ``rcnn_smoothl1_beta``.
    stds : tuple of float
        What the four deltas (dx, dy, dw, dh) were divided by. With ``d = deltas * stds`` and an
        anchor or RoI of center (0, 0) and sides 1, the box has the center (d[0], d[1]) and the
        sides (exp(d[2]), exp(d[3])). The IoU of two such boxes is that of the boxes in the image.
    """

    stage: str
    beta: float
    stds: DeltaStds


#: Called as box_loss(F, deltas, targets, setting), with deltas and targets (..., 4); returns the
#: loss of each box (...). Rows without an object are passed as well and have weight 0, so the loss
#: and its gradient must be finite for all values.
BoxLoss = Callable[[Any, Tensor, Tensor, BoxLossSetting], Tensor]


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


def smooth_l1_box_loss(F: Any, deltas: Tensor, targets: Tensor, setting: BoxLossSetting) -> Tensor:
    """Compute the box loss of all published detectors: smooth L1, summed over the four deltas.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    deltas, targets : Tensor
        (..., 4), what the network predicts and what it should.
    setting : BoxLossSetting
        Its ``beta`` is used.

    Returns
    -------
    Tensor
        (...), the loss of each box.
    """
    return F.sum(smooth_l1(F, deltas - targets, setting.beta), axis=-1)


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
