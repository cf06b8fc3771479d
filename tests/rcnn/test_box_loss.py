"""A box loss of the user: what it gets, and what becomes of what it returns."""

import importlib
import sys

from gluonnorm.rcnn import BoxLossSetting, make_loss, smooth_l1_box_loss
from gluonnorm.rcnn.losses import LOSS_NAMES, smooth_l1

import mxnet as mx
import numpy as np
import pytest
from document_files import write_document_files
from tiny_detector import images, tiny_detector

BOXES = mx.nd.array([[[5, 8, 30, 40], [50, 20, 90, 60]]])
LABELS = mx.nd.array([[2, 0]])
MASKS = mx.nd.ones((1, 2, 28, 28))


def losses(loss, *ground_truth):
    mx.random.seed(7)
    values = loss(images(), *ground_truth)
    return {name: value.asscalar() for name, value in zip(loss.loss_names, values)}


@pytest.fixture(scope="module", params=["c4", "mask_fpn"])
def case(request):
    net = tiny_detector(request.param, rpn_smoothl1_beta=0.5, rcnn_smoothl1_beta=2.0)
    return net, (BOXES, LABELS, MASKS) if net.has_masks else (BOXES, LABELS)


def test_the_default_is_smooth_l1_bit_by_bit(case):
    net, ground_truth = case

    def written_out(F, deltas, targets, setting):
        return F.sum(smooth_l1(F, deltas - targets, setting.beta), axis=-1)

    wanted = losses(make_loss(net, written_out), *ground_truth)
    assert losses(make_loss(net), *ground_truth) == wanted
    assert losses(make_loss(net, smooth_l1_box_loss), *ground_truth) == wanted


def test_a_loss_of_the_user_gets_both_stages_and_changes_the_losses_of_boxes_alone(case):
    net, ground_truth = case
    settings = []

    def constant(F, deltas, targets, setting):
        settings.append(setting)
        assert deltas.shape == targets.shape and deltas.shape[-1] == 4
        return F.sum(deltas * 0, axis=-1) + 3

    wanted = losses(make_loss(net), *ground_truth)
    found = losses(make_loss(net, constant), *ground_truth)
    assert settings == [
        BoxLossSetting("rpn", 0.5, (1.0, 1.0, 1.0, 1.0)),
        BoxLossSetting("rcnn", 2.0, (0.1, 0.1, 0.2, 0.2)),
    ]
    for name in found:
        if name.endswith("box"):
            # Three times the part of the sampled rows that are positive.
            assert 0 < found[name] <= 3 and found[name] != wanted[name]
        else:
            assert found[name] == wanted[name]


@pytest.fixture()
def iou_loss(tmp_path, monkeypatch):
    """The loss of docs/extending.md, from a file of the user."""
    write_document_files("extending.md", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("my_losses").iou_loss
    del sys.modules["my_losses"]


def test_the_iou_of_deltas_is_that_of_the_boxes(iou_loss):
    stds = (0.1, 0.1, 0.2, 0.2)
    random = np.random.default_rng(3)
    deltas, targets = random.normal(0, 1, (2, 50, 4))
    anchors = random.uniform(5, 50, (50, 4))  # center and sides
    found = iou_loss(mx.nd, mx.nd.array(deltas), mx.nd.array(targets), BoxLossSetting(
        "rcnn", 1.0, stds))  # fmt: skip
    for row in range(50):
        center, sides = anchors[row, :2], anchors[row, 2:]
        corners = []
        for values in (deltas[row] * stds, targets[row] * stds):
            box_center, box_sides = center + values[:2] * sides, sides * np.exp(values[2:])
            corners.append((box_center - box_sides / 2, box_center + box_sides / 2))
        (low, high), (low2, high2) = corners
        inner = np.prod(np.maximum(np.minimum(high, high2) - np.maximum(low, low2), 0))
        union = np.prod(high - low) + np.prod(high2 - low2) - inner
        assert found[row].asscalar() == pytest.approx(1 - inner / union, abs=1e-5)


def test_a_loss_of_the_user_trains_hybridized(case, iou_loss):
    net, ground_truth = case
    loss = make_loss(net, iou_loss)
    loss.hybridize()
    with mx.autograd.record():
        values = dict(zip(loss.loss_names, loss(images(), *ground_truth)))
    values["rcnn_box"].backward()
    gradient = net.predictor.loc.weight.grad().asnumpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert set(LOSS_NAMES) <= set(values)
