"""Losses of the classes of RoIs: values, gradients, and what a loss of the user gets."""

import functools

from gluonnorm.errors import InputError
from gluonnorm.rcnn import (
    ClassLossSetting,
    WeightedClassLoss,
    focal_class_loss,
    make_loss,
    softmax_class_loss,
)

import mxnet as mx
import numpy as np
import pytest
import reference.losses as slow
from reference.graph import both
from tiny_detector import CLASSES, images, tiny_detector

SETTING = ClassLossSetting(CLASSES)
LOGITS = np.random.default_rng(0).normal(0, 2, (7, 4)).astype(np.float32)
LABELS = np.float32([0, 1, 2, 3, 0, 2, 1])
GROUND_TRUTH = (
    mx.nd.array([[[5, 8, 30, 40], [50, 20, 90, 60]]]),
    mx.nd.array([[2, 0]]),
    mx.nd.ones((1, 2, 28, 28)),
)


# oneDNN's log_softmax is right to 4e-6.
close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)


def values(class_loss, logits=LOGITS, labels=LABELS):
    (result,) = both(lambda F, x, y: class_loss(F, x, y, SETTING), logits, labels)
    return result


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss(gamma):
    loss = functools.partial(focal_class_loss, gamma=gamma)
    close(values(loss), slow.focal(LOGITS, LABELS, gamma))


def test_gamma_is_2():
    close(values(focal_class_loss), slow.focal(LOGITS, LABELS, 2))


def test_with_two_columns_it_is_torchvisions_sigmoid_focal_loss():
    """``sigmoid_focal_loss(x, t, alpha=-1, gamma=2)`` of the difference of the logits."""
    pairs, labels = LOGITS[:, :2], np.float32([0, 1, 1, 0, 0, 1, 1])
    wanted = slow.sigmoid_focal(pairs[:, 1] - pairs[:, 0], labels, 2)
    close(values(focal_class_loss, pairs, labels), wanted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_slope_of_the_focal_loss_is_finite_and_that_of_its_values(gamma):
    logits = mx.nd.array([[1.0, -1.0, 0.5, 0.0], [60.0, 0.0, 0.0, 0.0], [-60.0, 0.0, 0.0, 0.0]])
    labels = mx.nd.array([2, 0, 0])
    logits.attach_grad()
    with mx.autograd.record():
        loss = focal_class_loss(mx.nd, logits, labels, SETTING, gamma=gamma)
    loss.backward()
    slope = logits.grad.asnumpy()
    assert np.isfinite(slope).all() and np.isfinite(loss.asnumpy()).all()
    step = 1e-4
    for column in range(4):
        moved = logits.asnumpy()[:1].astype(np.float64)
        moved[0, column] += step
        ahead = slow.focal(moved, [2], gamma)
        moved[0, column] -= 2 * step
        behind = slow.focal(moved, [2], gamma)
        assert slope[0, column] == pytest.approx(float((ahead - behind)[0]) / (2 * step), abs=1e-3)


@pytest.mark.parametrize("base", [softmax_class_loss, focal_class_loss])
@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_weights_multiply_the_loss_of_their_class(base, number):
    weights = {"background": number(0.5), CLASSES[1]: number(3)}
    factors = np.array([0.5, 1.0, 3.0, 1.0])[LABELS.astype(int)]
    found = values(WeightedClassLoss(CLASSES, weights, base))
    np.testing.assert_allclose(found, factors * values(base), rtol=1e-5)


@pytest.mark.parametrize(
    "weights, words",
    [
        ({"squar": 2}, "no class 'squar' to be weighted; did you mean square"),
        ({"zebra": 2}, "the classes are background, disc, square"),
        ({"disc": 0}, "weight of class 'disc' is 0; want above 0"),
        ({"disc": float("nan")}, "is nan; want above 0"),
        ({"disc": "3"}, "is '3'; want above 0"),
        ({"disc": True}, "is True; want above 0"),
    ],
)
def test_wrong_weights(weights, words):
    with pytest.raises(InputError) as caught:
        WeightedClassLoss(CLASSES, weights)
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["c4", "mask_fpn"])
def test_a_detector_with_another_class_loss(kind):
    """The loss of the user gets logits, labels and classes; the other losses stay the same."""
    net = tiny_detector(kind)
    ground_truth = GROUND_TRUTH if net.has_masks else GROUND_TRUTH[:2]
    calls = []

    def spy(F, logits, labels, setting):
        calls.append((logits.shape, labels.shape, setting))
        return softmax_class_loss(F, logits, labels, setting) * 2

    def losses(**options):
        mx.random.seed(7)
        loss = make_loss(net, **options)
        named = zip(loss.loss_names, loss(images(), *ground_truth))
        return {name: value.asscalar() for name, value in named}

    wanted = losses()
    found = losses(class_loss=spy)
    assert calls == [((1, 16, 4), (1, 16), SETTING)]
    for name, value in wanted.items():
        factor = 2 if name == "rcnn_class" else 1
        assert found[name] == pytest.approx(factor * value, rel=1e-6)
    assert 0 < losses(class_loss=focal_class_loss)["rcnn_class"] < wanted["rcnn_class"]


def test_hybridized_it_is_the_same():
    net = tiny_detector("c4")
    loss = make_loss(net, class_loss=WeightedClassLoss(net.classes, {"disc": 2}, focal_class_loss))
    mx.random.seed(3)
    wanted = [value.asscalar() for value in loss(images(), *GROUND_TRUTH[:2])]
    loss.hybridize()
    mx.random.seed(3)
    found = [value.asscalar() for value in loss(images(), *GROUND_TRUTH[:2])]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
