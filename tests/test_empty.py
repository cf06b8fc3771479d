"""Images without objects, without detections, and of a few pixels: padding, and finite losses."""

from gluonnorm.rcnn import make_loss

import mxnet as mx
import numpy as np
import pytest
from tiny_detector import images, tiny_detector

NO_BOX, NO_LABEL = mx.nd.full((2, 1, 4), -1), mx.nd.full((2, 1), -1)
BOX, LABEL = mx.nd.array([[[5, 8, 30, 40]], [[10, 5, 60, 50]]]), mx.nd.array([[0], [0]])
MASKS = mx.nd.ones((2, 1, 8, 8))
KINDS = ("fpn", "c4", "mask_fpn", "mask_c4")
NOTHING_PROPOSED = {"rpn_min_size": 1e4}


@pytest.fixture(scope="module", params=KINDS)
def net(request):
    return tiny_detector(request.param)


def detections(net, x, hybrid=False):
    net.hybridize(hybrid)
    return [array.asnumpy() for array in net(x)]


def losses_and_gradients(net, x, boxes, labels):
    """Compute the losses (number of losses, B), and the gradient of each parameter by its name."""
    ground_truth = (boxes, labels, MASKS) if net.has_masks else (boxes, labels)
    learning = {
        name: p for name, p in net._collect_params_with_prefix().items() if p.grad_req != "null"
    }
    with mx.autograd.record():
        values = make_loss(net)(x, *ground_truth)
        total = sum(value.sum() for value in values)
    total.backward()
    gradients = {name: parameter.grad().asnumpy() for name, parameter in learning.items()}
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    return np.stack([value.asnumpy() for value in values]), gradients


def assert_detections(result, batch, most, height, width):
    """Check that each image has ``most`` rows: detections inside the image, then padding."""
    ids, scores, boxes, *masks = result
    assert ids.shape == scores.shape == (batch, most, 1) and boxes.shape == (batch, most, 4)
    is_detection = ids[..., 0] >= 0
    assert (np.diff(is_detection.astype(int), axis=1) <= 0).all()
    for array in (ids, scores, boxes):
        assert np.isfinite(array).all() and (array[~is_detection] == -1).all()
    for array in masks:
        assert array.shape[:2] == (batch, most) and np.isfinite(array).all()
        assert (array[~is_detection] == 0).all() and (array[is_detection] > 0).all()
    assert (boxes[is_detection] >= 0).all() and (
        boxes[is_detection] <= [width, height, width, height]
    ).all()


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", [{"score_thresh": 1.0}, NOTHING_PROPOSED])
def test_nothing_detected(kind, setting, hybrid):
    result = detections(tiny_detector(kind, **setting), images(2), hybrid)
    assert len(result) == (4 if kind.startswith("mask") else 3)
    for array, empty in zip(result, (-1, -1, -1, 0)):
        assert array.shape[:2] == (2, 100) and (array == empty).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_proposed_and_no_boxes(kind):
    losses, gradients = losses_and_gradients(
        tiny_detector(kind, **NOTHING_PROPOSED), images(2), NO_BOX, NO_LABEL
    )
    assert (losses[0] > 0).all() and (losses[1:] == 0).all()
    assert gradients["rpn.score.weight"].any() and not gradients["predictor.score.weight"].any()
    assert not any(
        gradient.any() for name, gradient in gradients.items() if name.startswith("mask_head.")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_proposed_leaves_the_ground_truth_to_learn_from(kind):
    losses, gradients = losses_and_gradients(
        tiny_detector(kind, **NOTHING_PROPOSED), images(2), BOX, LABEL
    )
    assert (losses > 0).all()
    assert gradients["predictor.loc.weight"].any()


def test_no_boxes(net):
    losses, _ = losses_and_gradients(net, images(2), NO_BOX, NO_LABEL)
    assert (losses[[0, 2]] > 0).all() and (losses[[1, 3]] == 0).all() and (losses[4:] == 0).all()


@pytest.mark.parametrize("height,width", [(1, 1), (1, 7), (7, 1), (17, 33)])
def test_an_image_of_hardly_a_pixel(net, height, width):
    x = images(2, height, width)
    result = detections(net, x)
    assert_detections(result, 2, 100, height, width)
    assert (result[0] >= 0).any()
    for array, same in zip(detections(net, x, hybrid=True), result):
        np.testing.assert_allclose(array, same, rtol=1e-4, atol=1e-3)
    entire_image = mx.nd.array([[[0, 0, width, height]]] * 2)
    losses, _ = losses_and_gradients(net, x, entire_image, LABEL)
    assert np.isfinite(losses).all() and (losses[[0, 2]] > 0).all()
    losses, _ = losses_and_gradients(net, x, NO_BOX, NO_LABEL)
    assert (losses[[0, 2]] > 0).all() and (losses[[1, 3]] == 0).all() and (losses[4:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_traced_at_one_pixel_serves_every_size(kind):
    net, x = tiny_detector(kind), images(1)
    wanted = detections(net, x)
    detections(net, images(1, 1, 1), hybrid=True)
    for array, same in zip(net(x), wanted):
        np.testing.assert_allclose(array.asnumpy(), same, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class(kind):
    net, x = tiny_detector(kind, classes=("thing",)), images(2)
    result = detections(net, x)
    assert_detections(result, 2, 100, 64, 96)
    assert set(np.unique(result[0])) == {-1, 0}
    for array, same in zip(detections(net, x, hybrid=True), result):
        np.testing.assert_allclose(array, same, rtol=1e-4, atol=1e-3)
    losses, gradients = losses_and_gradients(net, x, BOX, LABEL)
    assert (losses > 0).all() and gradients["predictor.score.weight"].any()
