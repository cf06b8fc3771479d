"""Losses and gradients of a tiny detector on two images, to compare number types."""

from gluonnorm.training import trainable_parameters

import mxnet as mx
import numpy as np
from tiny_detector import images

BOXES = mx.nd.array([[[5, 8, 30, 40], [50, 20, 90, 60]], [[10, 5, 60, 50], [-1, -1, -1, -1]]])
LABELS = mx.nd.array([[2, 0], [1, -1]])


def ground_truth(net):
    """List the ground truth of two images, with masks for a detector that has them."""
    arrays = [BOXES, LABELS]
    if net.has_masks:
        arrays.append(mx.nd.ones((2, 2, 28, 28)))
    return arrays


def gradients(net, loss, scale=1.0):
    """Compute the losses of two images, and the gradient of their sum.

    Parameters
    ----------
    net : FasterRCNN
        The detector.
    loss : FasterRCNNLoss
        Its losses.
    scale : float
        What the losses are multiplied by before the backward pass, and the gradients divided by.

    Returns
    -------
    losses : numpy.ndarray
        (L, 2), in the order of ``loss_names``.
    gradients : dict of str to numpy.ndarray
        The gradient of each learned parameter, by name.
    """
    mx.random.seed(7)
    with mx.autograd.record():
        losses = loss(images(2), *ground_truth(net))
        total = mx.nd.add_n(*losses) * scale
    total.backward()
    by_name = {}
    for parameter in trainable_parameters(net):
        assert parameter.grad().dtype == np.float32
        by_name[parameter.name] = parameter.grad().asnumpy() / scale
    return np.stack([values.asnumpy() for values in losses]), by_name


def keep_targets(loss, monkeypatch):
    """Let a loss give all further batches the targets of the first one.

    Rounding moves proposals, and with them the targets.
    """
    made = []
    make_targets = loss.make_targets

    def make_once(*inputs):
        if not made:
            made.append(make_targets(*inputs))
        return made[0]

    monkeypatch.setattr(loss, "make_targets", make_once)


def assert_close(rounded, exact, least_cosine, largest_ratio):
    """Compare gradients by their direction and their length."""
    for name, gradient in exact.items():
        lengths = np.linalg.norm(rounded[name]), np.linalg.norm(gradient)
        cosine = (rounded[name] * gradient).sum() / lengths[0] / lengths[1]
        assert cosine > least_cosine, (name, cosine)
        assert 1 / largest_ratio < lengths[0] / lengths[1] < largest_ratio, name
