"""GluonCV's training call and its batches, with GluonCV's own task, metrics and transform."""

import warnings

from gluonnorm.errors import InputError
from gluonnorm.rcnn import RPNTargetBatchify, make_loss

import mxnet as mx
import numpy as np
import pytest
from gluoncv.data.transforms.presets.rcnn import FasterRCNNDefaultTrainTransform
from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask
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


def test_a_mask_rcnn_and_half_a_ground_truth_are_refused():
    with mx.autograd.train_mode():
        with pytest.raises(InputError, match="losses with gluonnorm.rcnn.make_loss"):
            tiny_detector("mask_c4")(images(), *ground_truth())
        with pytest.raises(InputError, match="give boxes .B, G, 4. and labels"):
            tiny_detector("c4")(images(), ground_truth()[0])


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
