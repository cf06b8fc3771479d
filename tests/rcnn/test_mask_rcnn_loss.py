from gluonnorm.rcnn import FasterRCNNLoss, MaskRCNNLoss, make_loss
from gluonnorm.rcnn.losses import LOSS_NAMES
from gluonnorm.rcnn.mask_rcnn import mask_size
from gluonnorm.rcnn.roi_align import roi_strides
from gluonnorm.rcnn.target_records import GroundTruth
from gluonnorm.rcnn.targets import max_positive_rois

import mxnet as mx
import numpy as np
import pytest
import reference.losses as slow
from reference.boxes import iou
from reference.detector import align
from reference.masks import bilinear
from tiny_detector import images, tiny_detector

BOXES = mx.nd.array([[[5, 8, 30, 40], [50, 20, 90, 60]], [[10, 5, 60, 50], [-1, -1, -1, -1]]])
LABELS = mx.nd.array([[2, 0], [1, -1]])
NONE = (mx.nd.full((2, 1, 4), -1), mx.nd.full((2, 1), -1), mx.nd.zeros((2, 1, 28, 28)))
KINDS = ("mask_fpn", "mask_c4")
ALL = {
    "rpn_num_sample": 4000,
    "num_sample": 28,
    "rpn_pos_ratio": 1.0,
    "pos_ratio": 1.0,
}  # more rows than there are
REUSED, OWN = {"mask_roi_size": 4}, {"mask_roi_size": 6}  # the box head's features serve, or do not


def truth_masks():
    """(2, 2, 28, 28): a disc, a triangle, a ring, and padding."""
    y, x = (np.mgrid[:28, :28] + 0.5) / 28 - 0.5
    radius = np.hypot(x, y)
    return mx.nd.array([[radius < 0.45, x < y], [(radius < 0.5) & (radius > 0.25), radius < 0]])


TRUTH = (BOXES, LABELS, truth_masks())


@pytest.fixture(scope="module", params=[(kind, size) for kind in KINDS for size in (4, 6)], ids=str)
def net(request):
    return tiny_detector(
        request.param[0], mask_roi_size=request.param[1], freeze_at=2, pos_ratio=0.5
    )


def losses(loss, x, *truth, seed=7):
    mx.random.seed(seed)
    return np.stack([value.asnumpy() for value in loss(x, *(truth or TRUTH))])


def gradients(net, loss, x, *truth, names=MaskRCNNLoss.loss_names):
    """Of the sum of the losses named, by parameter; those that do not learn are absent."""
    learning = {
        name: p for name, p in net._collect_params_with_prefix().items() if p.grad_req != "null"
    }
    for parameter in learning.values():
        parameter.zero_grad()
    mx.random.seed(7)
    with mx.autograd.record():
        values = loss(x, *(truth or TRUTH))
        total = sum(value.sum() for value, name in zip(values, loss.loss_names) if name in names)
    total.backward()
    return {name: parameter.grad().asnumpy() for name, parameter in learning.items()}


def slow_target(mask, box, roi, size):
    """The mean of 4 x 4 samples of the truth's mask in each cell of a RoI."""
    cells, result = len(mask), np.zeros((size, size))
    for row, column, i, j in np.ndindex(size, size, 4, 4):
        y = roi[1] + (row + (i + 0.5) / 4) * (roi[3] - roi[1]) / size
        x = roi[0] + (column + (j + 0.5) / 4) * (roi[2] - roi[0]) / size
        down, across = (
            (y - box[1]) / (box[3] - box[1]) * cells,
            (x - box[0]) / (box[2] - box[0]) * cells,
        )
        result[row, column] += bilinear(mask, down - 0.5, across - 0.5) / 16
    return result


def test_the_losses_equal_their_formulas(net):
    """Targets and values of the mask loss, by loops; the others as without masks."""
    x, config, loss = images(2), net.config, MaskRCNNLoss(net)
    assert loss.loss_names == (*LOSS_NAMES, "mask")
    result = losses(loss, x)
    assert result.shape == (5, 2) and (result > 0).all()
    np.testing.assert_allclose(result[:4], losses(FasterRCNNLoss(net), x, BOXES, LABELS), rtol=1e-5)
    maps = loss.feature_maps(x)
    mx.random.seed(7)
    targets = loss.make_targets(x, maps, GroundTruth(*TRUTH))
    rois, labels = targets.roi.rois.asnumpy(), targets.roi.labels.asnumpy()
    positive, wanted = targets.roi.positive.asnumpy(), targets.masks.asnumpy()
    size, most = mask_size(net), max_positive_rois(config)
    assert wanted.shape == (2, most, size, size)
    features = [
        level.asnumpy() for level in maps.features[: len(roi_strides(net.backbone.strides))]
    ]
    for b in range(2):
        count = int(positive[b].sum())
        assert count > 0 and positive[b, :count].all()
        entropies = []
        for row in range(count):
            roi, boxes = rois[b, row].astype(float), BOXES.asnumpy()[b].astype(float)
            truth = int(np.argmax([iou(roi, box) for box in boxes]))
            label = int(LABELS.asnumpy()[b, truth])
            assert labels[b, row] == label + 1
            target = slow_target(TRUTH[2].asnumpy()[b, truth], boxes[truth], roi, size)
            sure = np.abs(target - 0.5) > 1e-3
            np.testing.assert_array_equal(wanted[b, row][sure], target[sure] >= 0.5)
            pooled = align(net, [level[b] for level in features], roi, config.mask_roi_size)
            logits = net.mask_head(net.box_head.shared(mx.nd.array(pooled[None]))).asnumpy()[
                0, label
            ]
            entropies.append(slow.binary_cross_entropy(logits, wanted[b, row]).mean())
        np.testing.assert_allclose(result[4, b], np.mean(entropies), rtol=1e-3)


def test_mask_size_is_that_of_the_network_s_masks(net):
    assert net(images())[3].shape[2:] == (mask_size(net),) * 2


@pytest.mark.parametrize("kind,size", [("mask_fpn", 10), ("mask_c4", 6)])
def test_mask_size_of_an_odd_roi_size(kind, size):
    """The last stage of a ResNet rounds up where it halves a side."""
    net = tiny_detector(kind, mask_roi_size=5)
    assert mask_size(net) == size
    assert net(images())[3].shape[2:] == (size, size)
    assert np.isfinite(losses(MaskRCNNLoss(net), images(2))).all()


@pytest.mark.parametrize("reuse", [REUSED, OWN], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_hybridized_equals_imperative(kind, reuse):
    net = tiny_detector(kind, freeze_at=4, **ALL, **reuse)
    loss, sizes = MaskRCNNLoss(net), [(64, 96), (50, 70)]  # the graphs are traced at the first
    wanted = [losses(loss, images(2, *size)) for size in sizes]
    wanted_gradients = gradients(net, loss, images(2))
    loss.hybridize()
    for size, value in zip(sizes, wanted):
        np.testing.assert_allclose(losses(loss, images(2, *size)), value, rtol=1e-4)
    for name, gradient in gradients(net, loss, images(2)).items():
        np.testing.assert_allclose(
            gradient, wanted_gradients[name], rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_the_mask_loss_teaches_mask_head_and_backbone_and_no_predictor(net):
    found = gradients(net, MaskRCNNLoss(net), images(2), names=("mask",))
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    reached = {name for name, gradient in found.items() if gradient.any()}
    assert {name for name in found if name.startswith("mask_head.")} <= reached
    trunk = "backbone.backbone." if len(net.backbone.strides) > 1 else "backbone."
    assert any(name.startswith(trunk + "layer2") for name in reached)
    assert any(name.startswith("box_head.stage") for name in reached) == (
        len(net.backbone.strides) == 1
    )
    assert not any(
        name.startswith(("rpn.", "predictor.", trunk + "layer1", trunk + "conv1"))
        for name in reached
    )
    of_boxes = gradients(net, MaskRCNNLoss(net), images(2), names=LOSS_NAMES)
    assert not any(of_boxes[name].any() for name in found if name.startswith("mask_head."))


def test_each_class_learns_its_own_map(net):
    """The truths of the first image alone are of the classes 2 and 0."""
    x, truth = images(1), [array[:1] for array in TRUTH]
    bias = gradients(net, MaskRCNNLoss(net), x, *truth, names=("mask",))["mask_head.score.bias"]
    assert bias[1] == 0 and bias[0] != 0 and bias[2] != 0


def test_an_image_without_boxes_has_no_mask_loss(net):
    loss, x = MaskRCNNLoss(net), images(2)
    result = losses(loss, x, *NONE)
    assert (result[[1, 3, 4]] == 0).all() and (result[[0, 2]] > 0).all()
    found = gradients(net, loss, x, *NONE)
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    assert not any(
        gradient.any() for name, gradient in found.items() if name.startswith("mask_head.")
    )
    half = [
        mx.nd.concat(array[:1], mx.nd.full(array[1:].shape, fill), dim=0)
        for array, fill in zip(TRUTH, (-1, -1, 0))
    ]
    result = losses(loss, x, *half)
    assert (result[:, 0] > 0).all() and result[4, 1] == 0


@pytest.mark.parametrize("reuse", [REUSED, OWN], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_batch_of_two_equals_two_batches_of_one(kind, reuse):
    loss, x = MaskRCNNLoss(tiny_detector(kind, **ALL, **reuse)), images(2)
    apart = [
        losses(loss, x[b : b + 1], *(array[b : b + 1] for array in TRUTH), seed=b) for b in range(2)
    ]
    np.testing.assert_allclose(losses(loss, x), np.concatenate(apart, axis=1), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_the_truth_changes_nothing(kind):
    loss, x = MaskRCNNLoss(tiny_detector(kind, **ALL)), images()
    truth = [array[1:, :1] for array in TRUTH]
    padded = [
        mx.nd.concat(array, mx.nd.full((1, 5, *array.shape[2:]), fill), dim=1)
        for array, fill in zip(truth, (-1, -1, 0))
    ]
    np.testing.assert_allclose(losses(loss, x, *padded), losses(loss, x, *truth), rtol=1e-5)


@pytest.mark.parametrize("kind,reuse", [("mask_fpn", OWN), ("mask_c4", REUSED)])
def test_gradient_equals_finite_differences(kind, reuse):
    net = tiny_detector(kind, **ALL, **reuse)  # with every row taken nothing is left to chance
    loss, x, step = MaskRCNNLoss(net), images(2), 1e-1
    found = gradients(net, loss, x)["mask_head.score.bias"]
    bias = net.mask_head.score.bias
    value = bias.data().asnumpy()
    for i in range(3):
        ends = []
        for sign in (-1, 1):
            bias.set_data(mx.nd.array(value + sign * step * (np.arange(3) == i)))
            ends.append(losses(loss, x).astype(np.float64)[4].sum())
        np.testing.assert_allclose(found[i], (ends[1] - ends[0]) / (2 * step), rtol=2e-2, atol=1e-3)
    bias.set_data(mx.nd.array(value))


@pytest.mark.parametrize(
    "kind,reuse", [("mask_fpn", REUSED), ("mask_fpn", OWN), ("mask_c4", REUSED), ("mask_c4", OWN)]
)
def test_a_few_steps_on_one_image_learn_its_masks(kind, reuse):
    net = tiny_detector(kind, **reuse, num_sample=8, pos_ratio=1.0, freeze_at=4)
    loss, x, truth = MaskRCNNLoss(net), images(1), [array[:1] for array in TRUTH]
    loss.hybridize()
    trainer = mx.gluon.Trainer(
        net.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9, "clip_gradient": 0.03}
    )
    first = losses(loss, x, *truth)[4, 0]
    for step in range(8):
        mx.random.seed(step)
        with mx.autograd.record():
            total = sum(value.mean() for value in loss(x, *truth))
        total.backward()
        trainer.step(1)
    assert losses(loss, x, *truth)[4, 0] < 0.75 * first


def test_make_loss_fits_the_network():
    assert type(make_loss(tiny_detector("fpn"))) is FasterRCNNLoss
    assert type(make_loss(tiny_detector("mask_c4"))) is MaskRCNNLoss
