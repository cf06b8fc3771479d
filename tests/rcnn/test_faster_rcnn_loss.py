from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNNLoss
from gluonnorm.rcnn.losses import LOSS_NAMES
from gluonnorm.rcnn.roi_align import roi_align, roi_strides
from gluonnorm.rcnn.target_records import GroundTruth

import mxnet as mx
import numpy as np
import pytest
import reference.losses as slow
from reference.detector import padded
from tiny_detector import images, tiny_detector

BOXES = mx.nd.array([[[5, 8, 30, 40], [50, 20, 90, 60]], [[10, 5, 60, 50], [-1, -1, -1, -1]]])
LABELS = mx.nd.array([[2, 0], [1, -1]])
NONE = (mx.nd.full((2, 1, 4), -1), mx.nd.full((2, 1), -1))
ALL = {
    "rpn_num_sample": 4000,
    "num_sample": 64,
    "rpn_pos_ratio": 1.0,
    "pos_ratio": 1.0,
}  # more rows than there are


@pytest.fixture(scope="module", params=["fpn", "c4"])
def net(request):
    return tiny_detector(request.param, freeze_at=2)


def as_numpy(record):
    return type(record)(*(array.asnumpy() for array in record))


def losses(loss, x, boxes=BOXES, labels=LABELS, seed=7):
    mx.random.seed(seed)
    return np.stack([value.asnumpy() for value in loss(x, boxes, labels)])


def gradients(net, loss, x, boxes=BOXES, labels=LABELS, names=LOSS_NAMES):
    """Of the sum of the losses named, by parameter; those that do not learn are absent."""
    learning = {
        name: p for name, p in net._collect_params_with_prefix().items() if p.grad_req != "null"
    }
    for parameter in learning.values():
        parameter.zero_grad()
    mx.random.seed(7)
    with mx.autograd.record():
        values = loss(x, boxes, labels)
        total = sum(value.sum() for value, name in zip(values, LOSS_NAMES) if name in names)
    total.backward()
    return {name: parameter.grad().asnumpy() for name, parameter in learning.items()}


def test_losses_equal_their_formulas_on_the_same_targets(net):
    x, config, loss = images(2), net.config, FasterRCNNLoss(net)
    result = losses(loss, x)
    maps = loss.feature_maps(x)
    logits, deltas = (
        np.concatenate([level.asnumpy() for level in levels], axis=1)
        for levels in net.rpn.over(maps.features)
    )
    mx.random.seed(7)
    targets = loss.make_targets(x, maps, GroundTruth(BOXES, LABELS))
    assert targets.masks is None
    strides = roi_strides(net.backbone.strides)
    pooled = roi_align(
        mx.nd,
        maps.features[: len(strides)],
        targets.roi.rois,
        strides,
        config.roi_size,
        2,
        config.convention,
    )
    class_logits, class_deltas = (
        array.asnumpy().reshape(2, config.num_sample, -1)
        for array in net.predictor(net.box_head.features(net.box_head.shared(pooled)))
    )
    sampled, rpn_deltas = as_numpy(targets.rpn.sampled), targets.rpn.deltas.asnumpy()
    indices, positive, weight = sampled.indices, sampled.positive, sampled.weight
    roi = as_numpy(targets.roi)
    for b in range(2):
        rows = indices[b].astype(int)
        assert (
            0 < positive[b].sum() < weight[b].sum()
            and 0 < roi.positive[b].sum() < roi.weight[b].sum()
        )
        entropy = slow.binary_cross_entropy(logits[b, rows], positive[b])
        error = slow.smooth_l1(deltas[b, rows] - rpn_deltas[b], 1 / 9).sum(axis=1)
        roi_entropy = slow.cross_entropy(class_logits[b], roi.labels[b])
        roi_error = np.zeros(config.num_sample)
        for row in np.flatnonzero(roi.positive[b]):
            column = 4 * (int(roi.labels[b, row]) - 1)
            difference = class_deltas[b, row, column : column + 4] - roi.deltas[b, row]
            roi_error[row] = slow.smooth_l1(difference, 1.0).sum()
        sums = [
            (entropy * weight[b]).sum(),
            (error * positive[b]).sum(),
            (roi_entropy * roi.weight[b]).sum(),
            roi_error.sum(),
        ]
        counts = np.repeat([weight[b].sum(), roi.weight[b].sum()], 2)
        np.testing.assert_allclose(result[:, b], sums / counts, rtol=1e-4)


def test_an_image_of_other_sides_is_padded_with_the_mean_and_proposals_end_at_the_image(net):
    loss, x, multiple = FasterRCNNLoss(net), images(2, 50, 70), net.preprocess.multiple
    maps = loss.feature_maps(x)
    np.testing.assert_array_equal(
        maps.padded.asnumpy(),
        np.stack([padded(x[b : b + 1].asnumpy(), multiple)[0] for b in range(2)]),
    )
    for got, want in zip(maps.features, net.backbone(maps.padded)):
        np.testing.assert_array_equal(got.asnumpy(), want.asnumpy())
    inside = mx.nd.clip(BOXES, -1, 50)
    rois = loss.make_targets(x, maps, GroundTruth(inside, LABELS)).roi.rois.asnumpy()
    assert (rois <= [70, 50, 70, 50]).all() and (rois[..., 2] == 70).any()
    wider = loss.make_targets(maps.padded, maps, GroundTruth(inside, LABELS)).roi.rois.asnumpy()
    assert (wider[..., 2] > 70).any() or (wider[..., 3] > 50).any()
    assert np.isfinite(losses(loss, x, inside)).all()


def test_a_missing_or_additional_array_of_ground_truth_is_refused(net):
    loss = FasterRCNNLoss(net)
    with pytest.raises(
        InputError, match="the loss got 3 arrays of ground truth; give boxes, labels"
    ):
        loss(images(2), BOXES, LABELS, LABELS)
    with pytest.raises(
        InputError, match="the loss got 1 arrays of ground truth; give boxes, labels"
    ):
        loss(images(2), BOXES)


def test_the_seed_decides(net):
    loss, x = FasterRCNNLoss(net), images(2)
    first, again, other = losses(loss, x), losses(loss, x), losses(loss, x, seed=8)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_hybridized_equals_imperative(net):
    loss, x = (
        FasterRCNNLoss(net),
        images(2) * 0.9,
    )  # at 1 a relu of C4's head is so near its kink that rounding decides
    sizes = [(64, 96), (50, 70)]  # the graphs are traced at the first
    wanted = [losses(loss, images(2, *size)) for size in sizes]
    wanted_gradients = gradients(net, loss, x)
    loss.hybridize()
    for size, value in zip(sizes, wanted):
        np.testing.assert_allclose(losses(loss, images(2, *size)), value, rtol=1e-4)
    for name, gradient in gradients(net, loss, x).items():
        np.testing.assert_allclose(
            gradient, wanted_gradients[name], rtol=1e-3, atol=1e-4, err_msg=name
        )
    loss.hybridize(active=False)
    np.testing.assert_array_equal(losses(loss, images(2, *sizes[1])), wanted[1])


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_batch_of_two_equals_two_batches_of_one(kind):
    net = tiny_detector(kind, **ALL)
    loss, x = FasterRCNNLoss(net), images(2)
    apart = [
        losses(loss, x[b : b + 1], BOXES[b : b + 1], LABELS[b : b + 1], seed=b) for b in range(2)
    ]
    np.testing.assert_allclose(losses(loss, x), np.concatenate(apart, axis=1), rtol=1e-4)


def test_padding_of_the_truth_changes_nothing():
    loss, x = FasterRCNNLoss(tiny_detector("fpn", **ALL)), images()
    boxes, labels = BOXES[1:, :1], LABELS[1:, :1]
    padded_boxes = mx.nd.concat(boxes, mx.nd.full((1, 5, 4), -1), dim=1)
    padded_labels = mx.nd.concat(labels, mx.nd.full((1, 5), -1), dim=1)
    np.testing.assert_allclose(
        losses(loss, x, padded_boxes, padded_labels), losses(loss, x, boxes, labels), rtol=1e-5
    )


def test_gradient_reaches_all_that_learns_and_nothing_frozen(net):
    found = gradients(net, FasterRCNNLoss(net), images(2))
    frozen = set(net._collect_params_with_prefix()) - set(found)
    trunk = "backbone.backbone." if len(net.backbone.strides) > 1 else "backbone."
    assert {trunk + "conv1.weight", trunk + "layer1.0.conv1.weight"} <= frozen
    for part in (
        trunk + "layer2",
        trunk + "layer3",
        "rpn.conv",
        "rpn.score",
        "rpn.loc",
        "box_head",
        "predictor.score",
        "predictor.loc",
    ):
        assert any(name.startswith(part) for name in found), part
    for name, gradient in found.items():
        assert np.isfinite(gradient).all() and gradient.any(), name


def test_each_loss_teaches_its_own_part(net):
    loss, x = FasterRCNNLoss(net), images(2)
    reached = {
        name: {
            key
            for key, gradient in gradients(net, loss, x, names=(name,)).items()
            if gradient.any()
        }
        for name in LOSS_NAMES
    }
    for name, predictor in zip(
        LOSS_NAMES, ("rpn.score", "rpn.loc", "predictor.score", "predictor.loc")
    ):
        others = {"rpn.score", "rpn.loc", "predictor.score", "predictor.loc"} - {predictor}
        assert {predictor + ".weight", predictor + ".bias"} <= reached[name]
        assert not any(key.startswith(tuple(others)) for key in reached[name])
        assert any(key.startswith("backbone") for key in reached[name])


def test_gradient_equals_finite_differences():
    net = tiny_detector("fpn", **ALL)  # with every row taken nothing is left to chance
    loss, x, step = FasterRCNNLoss(net), images(2), 1e-2
    found = gradients(net, loss, x)
    for name in ("predictor.score.bias", "predictor.loc.bias"):
        parameter = net._collect_params_with_prefix()[name]
        value = parameter.data().copy()
        for i in range(4):
            ends = []
            for sign in (-1, 1):
                moved = value.asnumpy()
                moved[i] += sign * step
                parameter.set_data(mx.nd.array(moved))
                ends.append(losses(loss, x).astype(np.float64).sum())
            np.testing.assert_allclose(
                found[name][i], (ends[1] - ends[0]) / (2 * step), rtol=2e-2, atol=2e-3
            )
        parameter.set_data(value)


def test_an_image_without_boxes_has_no_box_loss(net):
    loss, x = FasterRCNNLoss(net), images(2)
    rpn_class, rpn_box, rcnn_class, rcnn_box = losses(loss, x, *NONE)
    assert (rpn_box == 0).all() and (rcnn_box == 0).all()
    assert (rpn_class > 0).all() and (rcnn_class > 0).all()
    found = gradients(net, loss, x, *NONE)
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    assert not any(gradient.any() for name, gradient in found.items() if ".loc." in name)
    assert found["rpn.score.weight"].any() and found["predictor.score.weight"].any()


def test_boxes_of_one_image_leave_the_other_alone(net):
    result = losses(
        FasterRCNNLoss(net),
        images(2),
        mx.nd.concat(BOXES[:1], NONE[0].tile((1, 2, 1))[1:], dim=0),
        mx.nd.concat(LABELS[:1], NONE[1].tile((1, 2))[1:], dim=0),
    )
    assert (result[:, 0] > 0).all() and result[1, 1] == result[3, 1] == 0


@pytest.mark.parametrize("traced", [False, True])
def test_the_loss_follows_settings_that_change_after_it_was_made(traced):
    changes = {"rpn_num_sample": 8, "num_sample": 6, "rcnn_smoothl1_beta": 0.25, "multiple": 64}
    x = images(2)
    changed = tiny_detector("fpn")
    loss = FasterRCNNLoss(changed)
    loss.hybridize(traced)
    before = losses(loss, x)
    changed.configure(**changes)
    expected = losses(FasterRCNNLoss(tiny_detector("fpn", **changes)), x)
    np.testing.assert_allclose(losses(loss, x), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(before - expected).max() > 1e-3
