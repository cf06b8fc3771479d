"""GluonCV's training call and its batches, with GluonCV's own task, metrics and transform."""

import warnings

from gluonnorm.errors import InputError
from gluonnorm.rcnn import RPNTargetBatchify, make_loss
from gluonnorm.rcnn.gluoncv_training import GluonCVMaskTargets, training_outputs
from gluonnorm.rcnn.mask_rcnn import mask_size

import mxnet as mx
import numpy as np
import pytest
from gluoncv.data.transforms.presets.rcnn import (
    FasterRCNNDefaultTrainTransform,
    MaskRCNNDefaultTrainTransform,
)
from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask
from gluoncv.model_zoo.rcnn.mask_rcnn.data_parallel import (
    ForwardBackwardTask as MaskForwardBackwardTask,
)
from gluoncv.model_zoo.rcnn.mask_rcnn.rcnn_target import MaskTargetGenerator
from gluoncv.utils.metrics.rcnn import MaskAccMetric
from tiny_detector import images, tiny_detector

BOXES = np.array([[8, 8, 40, 44], [50, 10, 90, 60]], np.float32)
LABELS = np.array([[1], [2]], np.float32)


def ground_truth():
    return mx.nd.array(BOXES[None]), mx.nd.array(LABELS[None])


def sample(height=64, width=96):
    image = images(1, height, width)[0]
    return image, np.concatenate([BOXES, LABELS], axis=1)


@pytest.mark.parametrize("kind", ["c4", "fpn"])
def test_the_outputs_have_gluoncvs_shapes_and_meanings(kind):
    net = tiny_detector(kind)
    with mx.autograd.train_mode():
        outputs = net(images(), *ground_truth())
    num_anchors = {"c4": 4 * 6 * 9, "fpn": (16 * 24 + 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2) * 3}[kind]
    shapes = [array.shape for array in outputs]
    assert shapes == [
        (1, 16, 4), (1, 4, 3, 4), (1, 16, 4), (1, 16), (1, 16), (1, num_anchors, 1),
        (1, num_anchors, 4), (1, num_anchors, 4), (1, 16), (1, 4, 3, 4), (1, 4, 3, 4), (1, 4),
    ]  # fmt: skip
    values = {name: array.asnumpy()[0] for name, array in outputs._asdict().items()}
    positive = values["samples"] == 1
    assert 0 < positive.sum() <= 4 and positive[: positive.sum()].all()
    for row in range(4):
        mask = values["box_masks"][row]
        if not positive[row]:
            assert values["cls_targets"][row] <= 0 and not mask.any()
            continue
        matched = int(values["matches"][row])
        assert values["cls_targets"][row] == LABELS[matched, 0] + 1
        wanted = np.zeros((3, 4))
        wanted[int(LABELS[matched, 0])] = 1
        np.testing.assert_array_equal(mask, wanted)
        # The deltas lead from the RoI to the ground-truth box; their deviations are .1 .1 .2 .2.
        x1, y1, x2, y2 = values["rois"][row]
        u1, v1, u2, v2 = BOXES[matched]
        deltas = np.array(
            [
                ((u1 + u2) - (x1 + x2)) / 2 / (x2 - x1) / 0.1,
                ((v1 + v2) - (y1 + y2)) / 2 / (y2 - y1) / 0.1,
                np.log((u2 - u1) / (x2 - x1)) / 0.2,
                np.log((v2 - v1) / (y2 - y1)) / 0.2,
            ]
        )
        got = values["box_targets"][row][int(LABELS[matched, 0])]
        np.testing.assert_allclose(got, deltas, rtol=1e-3, atol=1e-4)
    assert np.isfinite(values["box_targets"]).all()


def test_outside_of_training_it_detects():
    net = tiny_detector("c4")
    for result, wanted in zip(net(images(), *ground_truth()), net(images())):
        np.testing.assert_array_equal(result.asnumpy(), wanted.asnumpy())


@pytest.mark.parametrize("kind", ["c4", "mask_c4"])
def test_half_a_ground_truth_is_refused(kind):
    with mx.autograd.train_mode():
        with pytest.raises(InputError, match="give boxes .B, G, 4. and labels"):
            tiny_detector(kind)(images(), ground_truth()[0])


@pytest.mark.parametrize("kind, mask_roi_size", [("mask_c4", 4), ("mask_fpn", 6)])
def test_the_outputs_with_masks_are_those_without_and_the_masks(kind, mask_roi_size):
    net = tiny_detector(kind, num_sample=200, mask_roi_size=mask_roi_size)
    side = mask_size(net)
    with mx.autograd.train_mode():
        outputs = net(images(), *ground_truth())
        # All RoIs are sampled, so the boxes do not depend on a draw.
        boxes = training_outputs(net, images(), *ground_truth())
    assert [array.shape for array in outputs[3:]] == [array.shape for array in boxes[2:]]
    assert outputs.mask_pred.shape == (1, 50, 3, side, side) and len(outputs) == 13
    np.testing.assert_allclose(
        np.sort(outputs.cls_targets.asnumpy()), np.sort(boxes.cls_targets.asnumpy())
    )
    # The logits of the first RoI are those that the detector computes for such a box.
    maps = net._feature_maps(mx.nd, images())
    pooled = net._pooled(mx.nd, maps.features, outputs.rois[:, :1], mask_roi_size, inside=True)
    logits = net.mask_head(net.box_head.shared(pooled))
    np.testing.assert_allclose(
        outputs.mask_pred[0, 0].asnumpy(), logits[0].asnumpy(), rtol=1e-4, atol=1e-5
    )


def test_the_mask_targets_are_gluoncvs():
    """GluonCV's own generator, on two images with an object each that is not in the other."""
    rng = np.random.default_rng(4)
    masks = mx.nd.array(rng.integers(0, 2, (2, 3, 40, 56)))
    corners = rng.uniform(0, 30, (2, 5, 2))
    rois = mx.nd.array(np.concatenate([corners, corners + rng.uniform(4, 24, (2, 5, 2))], axis=2))
    matches = mx.nd.array(rng.integers(-1, 3, (2, 5)))
    cls_targets = mx.nd.array([[1, 0, -1, 4, 2], [3, 3, 0, 1, -1]])
    wanted = MaskTargetGenerator(2, 5, 4, (6, 6))(rois, masks, matches, cls_targets)
    got = GluonCVMaskTargets(4, 6)(rois, masks, matches, cls_targets)
    for ours, theirs in zip(got, wanted):
        assert ours.shape == theirs.shape == (2, 5, 4, 6, 6)
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=1e-6)
    assert got[1].asnumpy().sum() == 6 * 36, "six objects"


@pytest.mark.parametrize("kind", ["mask_c4", "mask_fpn"])
def test_gluoncvs_training_task_with_masks_learns(kind):
    """Its loop: transform, batch, task, metrics, trainer; all five losses fall on one image."""
    net = tiny_detector(kind, norm="gn")
    net.hybridize()
    net.collect_params().setattr("grad_req", "null")
    net.collect_train_params().setattr("grad_req", "write")
    trainer = mx.gluon.Trainer(net.collect_train_params(), "sgd", {"learning_rate": 0.003})
    loss = mx.gluon.loss
    task = MaskForwardBackwardTask(
        net,
        trainer,
        loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
        loss.HuberLoss(rho=1 / 9.0),
        loss.SoftmaxCrossEntropyLoss(),
        loss.HuberLoss(rho=1.0),
        loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
        False,
    )
    transform = MaskRCNNDefaultTrainTransform(64, 96)
    picture = mx.nd.array(np.random.default_rng(3).integers(0, 256, (64, 96, 3)), dtype="uint8")
    # A list of polygons for each object.
    polygons = [[np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])] for x1, y1, x2, y2 in BOXES]
    batchify = RPNTargetBatchify(net)
    totals = []
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Gradient of Parameter")
        for _ in range(10):
            pictures, labels, masks, *targets = batchify(
                [transform(picture, sample()[1], polygons)]
            )
            batch = (pictures, labels, masks, *(part[0] for part in targets))
            result = task.forward_backward(batch)
            trainer.step(1)
            totals.append(sum(part.asscalar() for part in result[:5]))
    metric = MaskAccMetric()
    metric.update(*result[-2])
    assert 0 < metric.get()[1] <= 1
    assert np.isfinite(totals).all()
    assert np.mean(totals[-2:]) < 0.8 * np.mean(totals[:2])


def test_masks_are_padded_and_wrong_ones_refused():
    net = tiny_detector("mask_c4")
    masks = [mx.nd.ones((2, 64, 96)), mx.nd.ones((2, 50, 70))]
    batch = RPNTargetBatchify(net)([(*sample(), masks[0]), (*sample(50, 70), masks[1])])
    assert len(batch) == 6 and batch[2].shape == (2, 2, 64, 96)
    assert batch[2][0].asnumpy().all()
    assert batch[2][1].asnumpy().sum() == 2 * 50 * 70
    shards = RPNTargetBatchify(net, 2)([(*sample(), masks[0])] * 2)
    assert [array.shape for array in shards[2]] == [(1, 2, 64, 96)] * 2
    with pytest.raises(InputError, match="image, labels and masks, of MaskRCNNDefaultTrainTransf"):
        RPNTargetBatchify(net)([sample()])
    with pytest.raises(InputError, match=r"masks \(2, 50, 70\); give \(2, 64, 96\)"):
        RPNTargetBatchify(net)([(*sample(), masks[1])])


@pytest.mark.parametrize("kind", ["c4", "fpn"])
def test_the_rpn_targets_are_at_the_anchors_of_the_network(kind):
    """Anchor and target decode to a ground-truth box; negative anchors are far from all boxes."""
    net = tiny_detector(kind)
    batch = RPNTargetBatchify(net)([sample(50, 70), sample()])
    pictures, labels = batch[:2]
    cls_targets, box_targets, box_masks = (part[0].asnumpy() for part in batch[2:])
    assert pictures.shape == (2, 3, 64, 96) and labels.shape == (2, 2, 5)
    assert not pictures[0, :, 50:].asnumpy().any() and not pictures[0, :, :, 70:].asnumpy().any()
    with mx.autograd.train_mode():
        outputs = net(pictures, labels[:, :, :4], labels[:, :, 4:5])
    anchors = outputs.anchors.asnumpy()[0]
    assert cls_targets.shape == (2, len(anchors)) and outputs.rpn_score.shape[1] == len(anchors)
    for row in range(2):
        positive = cls_targets[row] == 1
        assert positive.any() and (positive.sum() + (cls_targets[row] == 0).sum()) <= 32
        np.testing.assert_array_equal(box_masks[row], np.repeat(positive[:, None], 4, axis=1))
        center = (anchors[positive, :2] + anchors[positive, 2:]) / 2
        size = anchors[positive, 2:] - anchors[positive, :2]
        deltas = box_targets[row][positive]
        new_center = center + deltas[:, :2] * size
        new_size = size * np.exp(deltas[:, 2:])
        corners = np.concatenate([new_center - new_size / 2, new_center + new_size / 2], axis=1)
        distance = np.abs(corners[:, None] - BOXES[None]).max(axis=2).min(axis=1)
        assert distance.max() < 0.01


def test_shards_and_wrong_samples():
    net = tiny_detector("c4")
    batch = RPNTargetBatchify(net, num_shards=2)([sample(), sample(), sample()])
    assert [array.shape[0] for array in batch[0]] == [2, 1]
    assert [array.shape[0] for array in batch[2]] == [2, 1]
    with pytest.raises(InputError, match="a sample has 5 parts; .* without the network"):
        RPNTargetBatchify(net)([(*sample(), 1, 2, 3)])
    with pytest.raises(InputError, match=r"labels \(2, 4\); give"):
        RPNTargetBatchify(net)([(sample()[0], BOXES)])


@pytest.mark.parametrize("hybrid", [False, True])
def test_gluoncvs_training_task_learns(hybrid):
    """Its loop: transform, batch, task, trainer; the losses fall on one image."""
    net = tiny_detector("c4", norm="gn")
    net.hybridize(hybrid)
    net.collect_params().setattr("grad_req", "null")
    net.collect_train_params().setattr("grad_req", "write")
    trainer = mx.gluon.Trainer(net.collect_train_params(), "sgd", {"learning_rate": 0.003})
    loss = mx.gluon.loss
    task = ForwardBackwardTask(
        net,
        trainer,
        loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
        loss.HuberLoss(rho=1 / 9.0),
        loss.SoftmaxCrossEntropyLoss(),
        loss.HuberLoss(),
        mix_ratio=1.0,
        amp_enabled=False,
    )
    transform = FasterRCNNDefaultTrainTransform(64, 96, flip_p=0)
    picture = mx.nd.array(np.random.default_rng(3).integers(0, 256, (64, 96, 3)), dtype="uint8")
    batchify = RPNTargetBatchify(net)
    totals = []
    with warnings.catch_warnings():
        # Every parameter that is said to learn gets a gradient in every step.
        warnings.filterwarnings("error", message="Gradient of Parameter")
        for _ in range(10):
            pictures, labels, *targets = batchify([transform(picture, sample()[1])])
            result = task.forward_backward((pictures, labels, *(part[0] for part in targets)))
            trainer.step(1)
            totals.append(sum(part.asscalar() for part in result[:4]))
    assert np.isfinite(totals).all()
    assert np.mean(totals[-2:]) < 0.7 * np.mean(totals[:2])


def test_the_class_loss_of_both_forms_agrees():
    """With the same draw of RoIs, GluonCV's loop and our loss see the same cross entropy."""
    net = tiny_detector("c4", num_sample=200)
    boxes, labels = ground_truth()
    # All RoIs are sampled, so that no draw remains: 25 proposals and 2 boxes.
    with mx.autograd.train_mode():
        outputs = net(images(), boxes, labels)
    counted = outputs.cls_targets >= 0
    log_probabilities = mx.nd.log_softmax(outputs.cls_pred, axis=-1)
    picked = mx.nd.pick(log_probabilities, mx.nd.maximum(outputs.cls_targets, 0), axis=-1)
    theirs = -(picked * counted).sum() / counted.sum()
    ours = make_loss(net)(images(), boxes, labels.reshape((0, -1)))[2]
    np.testing.assert_allclose(theirs.asscalar(), ours.asscalar(), rtol=1e-4)
