"""Losses of the classes of RoIs: softmax cross entropy, focal loss, and weights of classes."""

import math
from typing import Any, Callable, Mapping, NamedTuple, Sequence, Tuple

from gluonnorm.errors import InputError, did_you_mean, first_few
from gluonnorm.rcnn.losses import cross_entropy
from gluonnorm.types import Tensor, is_number

BACKGROUND = "background"
LEAST_MISS = 1e-6  # of 1 minus a probability


class ClassLossSetting(NamedTuple):
    """Which classes a class loss compares.

    Attributes
    ----------
    classes : tuple of str
        The foreground classes; the label of the first one is 1, because 0 is the background.
    """

    classes: Tuple[str, ...]


#: Called as class_loss(F, logits, labels, setting), with logits (..., C + 1) and labels (...);
#: returns the loss of each RoI (...).
ClassLoss = Callable[[Any, Tensor, Tensor, ClassLossSetting], Tensor]


def softmax_class_loss(F: Any, logits: Tensor, labels: Tensor, setting: ClassLossSetting) -> Tensor:
    """Compute the class loss of all published detectors: the softmax cross entropy.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    logits : Tensor
        (..., C + 1), column 0 for the background.
    labels : Tensor
        (...), 0 for background, the foreground class + 1 for an object.
    setting : ClassLossSetting
        Not used.

    Returns
    -------
    Tensor
        (...), the loss of each RoI.
    """
    return cross_entropy(F, logits, labels)


def focal_class_loss(
    F: Any,
    logits: Tensor,
    labels: Tensor,
    setting: ClassLossSetting,
    gamma: float = 2.0,
) -> Tensor:
    """Compute the focal loss, in which RoIs count little that are classified well already.

    ``-(1 - p)**gamma * log(p)``, where p is the probability of the label (Lin et al. 2017, Focal
    Loss for Dense Object Detection, arXiv 1708.02002, equation 4). The probability is that of the
    softmax, because the detector's scores are; with one class it is the sigmoid of the difference
    of the logits.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    logits : Tensor
        (..., C + 1), column 0 for the background.
    labels : Tensor
        (...), 0 for background, the foreground class + 1 for an object.
    setting : ClassLossSetting
        Not used.
    gamma : float
        How little easy RoIs count; 0 gives the cross entropy.

    Returns
    -------
    Tensor
        (...), the loss of each RoI.
    """
    log_probability = F.pick(F.log_softmax(logits, axis=-1), labels, axis=-1)
    # expm1 keeps the digits that 1 - exp would lose where the probability is near 1. A power of 0
    # has an infinite gradient if gamma is below 1.
    miss = F.maximum(-F.expm1(log_probability), LEAST_MISS)
    return -(miss**gamma) * log_probability


class WeightedClassLoss:
    """A class loss in which some classes count more, or less, than others.

    The loss of a RoI is multiplied by the weight of its label, as by the ``weight`` of
    ``torch.nn.functional.cross_entropy``. Unlike there, the sum over an image is divided by its
    number of RoIs and not by the sum of their weights.

    Parameters
    ----------
    classes : sequence of str
        The foreground classes of the network, in the order of their ids.
    weights : mapping of str to float
        The weight of each of them, or of "background". The others have the weight 1.
    class_loss : callable
        The loss to be weighted.

    Raises
    ------
    InputError
        There is no such class, or a weight is no positive number.

    Examples
    --------
    >>> class_loss = WeightedClassLoss(("RBC", "WBC", "Platelets"), {"Platelets": 3.0})
    >>> import mxnet as mx
    >>> logits = mx.nd.zeros((2, 4))
    >>> losses = class_loss(mx.nd, logits, mx.nd.array([0, 3]), None).asnumpy()
    >>> losses.astype(float).round(2).tolist()
    [1.39, 4.16]
    """

    def __init__(
        self,
        classes: Sequence[str],
        weights: Mapping[str, float],
        class_loss: ClassLoss = softmax_class_loss,
    ) -> None:
        names = (BACKGROUND, *classes)
        for name, weight in weights.items():
            if name not in names:
                raise InputError(
                    f"there is no class {name!r} to be weighted"
                    f"{did_you_mean(name, names) or ';'} the classes are {first_few(names)}"
                )
            if not is_number(weight) or not 0 < weight < math.inf:
                raise InputError(f"the weight of class {name!r} is {weight!r}; want above 0")
        self._weights = {names.index(name): float(weight) for name, weight in weights.items()}
        self._class_loss = class_loss

    def __call__(self, F: Any, logits: Tensor, labels: Tensor, setting: ClassLossSetting) -> Tensor:
        """Compute the weighted loss of each RoI.

        Parameters
        ----------
        F, logits, labels, setting
            As for :func:`softmax_class_loss`.

        Returns
        -------
        Tensor
            (...), the loss of each RoI.
        """
        factor = F.ones_like(labels)
        for label, weight in self._weights.items():
            factor = factor + (weight - 1) * (labels == label)
        return factor * self._class_loss(F, logits, labels, setting)
