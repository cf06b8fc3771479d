from gluonnorm.errors import InputError
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.sampler import SampledRows
from gluonnorm.rcnn.target_records import (
    GroundTruth,
    RoITargets,
    RPNTargets,
    TrainingTargets,
    flatten,
    restore,
)
from gluonnorm.rcnn.targets import max_positive_rois, roi_targets, rpn_targets

import mxnet as mx
import numpy as np
import pytest
import reference.boxes as slow
import reference.matching as matching

CONFIG = DetectorConfig(rpn_num_sample=24, num_sample=16)
UNIT = (1.0, 1.0, 1.0, 1.0)
PADDING = [-1.0, -1.0, -1.0, -1.0]


def arrays(*values):
    return [mx.nd.array(value, dtype=np.float32) for value in values]


def as_numpy(record):
    return type(record)(*(array.asnumpy() for array in record))


def rpn(anchors, truths, config=CONFIG):
    targets = rpn_targets(mx.nd, *arrays(anchors, truths), config)
    return RPNTargets(as_numpy(targets.sampled), targets.deltas.asnumpy())


def roi(rois, scores, truths, labels, config=CONFIG):
    rois, scores, truths, labels = arrays(rois, scores, truths, labels)
    targets, _ = roi_targets(mx.nd, rois, scores, GroundTruth(truths, labels), config)
    return as_numpy(targets)


def test_rpn_labels_follow_the_thresholds():
    rng = np.random.default_rng(0)
    truths = np.stack([slow.random_boxes(rng, 3), slow.random_boxes(rng, 3)])
    truths[1, 2] = PADDING
    near = truths[:, :2].reshape(-1, 4) + rng.normal(0, 1, (4, 4))
    anchors = np.concatenate([slow.random_boxes(rng, 60), near]).astype(np.float32)
    targets = rpn(anchors, truths)
    indices, positive, weight = (
        targets.sampled.indices,
        targets.sampled.positive,
        targets.sampled.weight,
    )
    for b in range(2):
        found = list(zip(*matching.match(anchors.tolist(), truths[b].tolist())))
        wanted = {i for i, (_, iou, best) in enumerate(found) if iou >= 0.7 or best}
        negative = {i for i, (_, iou, best) in enumerate(found) if iou < 0.3 and not best}
        chosen = indices[b].astype(int)
        assert 0 < len(wanted) <= 12 and set(chosen[positive[b] > 0]) == wanted
        assert set(chosen[(weight[b] > 0) & (positive[b] == 0)]) <= negative
        assert weight[b].sum() == min(24, len(wanted) + len(negative))
        for i, delta in zip(chosen[positive[b] > 0], targets.deltas[b, positive[b] > 0]):
            truth = truths[b, found[i][0]]
            np.testing.assert_allclose(
                delta, slow.encode(truth, anchors[i], UNIT), rtol=1e-3, atol=1e-4
            )


def test_rpn_keeps_the_best_anchor_of_a_truth_below_the_negative_threshold():
    sampled = rpn([[0, 0, 10, 10], [50, 50, 60, 60], [90, 0, 99, 9]], [[[8, 0, 18, 10]]]).sampled
    assert sampled.indices[0, sampled.positive[0] > 0].tolist() == [0]
    assert set(sampled.indices[0, (sampled.weight[0] > 0) & (sampled.positive[0] == 0)]) == {1, 2}


def test_rpn_samples_at_most_its_share_of_positives():
    config = CONFIG.override(rpn_num_sample=8, rpn_pos_ratio=0.25)
    anchors = [[0, 0, 10, 10]] * 20 + [[50, 50, 60, 60]] * 20
    sampled = rpn(anchors, [[[0, 0, 10, 10]]], config).sampled
    assert sampled.positive.sum() == 2 and sampled.weight.sum() == 8
    assert (sampled.indices[0, :2] < 20).all() and (sampled.indices[0, 2:] >= 20).all()


def test_rpn_without_truth_is_all_negative():
    anchors = slow.random_boxes(np.random.default_rng(1), 40)
    targets = rpn(anchors, [[PADDING, PADDING]])
    assert targets.sampled.positive.sum() == 0 and targets.sampled.weight.sum() == 24
    assert np.isfinite(targets.deltas).all()


def test_roi_targets_follow_the_threshold():
    rng = np.random.default_rng(2)
    truths = np.stack(
        [slow.random_boxes(rng, 3, shortest=20), slow.random_boxes(rng, 3, shortest=20)]
    )
    truths[1, 2] = PADDING
    labels = np.float32([[2, 0, 1], [4, 2, -1]])
    near = np.repeat(truths, 2, axis=1) + rng.normal(0, 1, (2, 6, 4))
    far = np.stack([slow.random_boxes(rng, 30), slow.random_boxes(rng, 30)])
    rois = np.concatenate([near, far], axis=1).astype(np.float32)
    scores = np.full((2, 36), 0.5)
    scores[1, 4:6] = -1  # those near the padding
    rois[1, 4:6] = 0
    targets = roi(rois, scores, truths, labels, CONFIG.override(pos_ratio=0.5))
    positive, weight = targets.positive, targets.weight
    for b in range(2):
        candidates = np.concatenate([rois[b], truths[b]])
        for row in range(16):
            if not weight[b, row]:
                continue
            box = targets.rois[b, row]
            assert (box == candidates).all(axis=1).any()
            (truth,), (iou,), _ = matching.match([box.tolist()], truths[b].tolist())
            assert positive[b, row] == (iou >= 0.5)
            assert targets.labels[b, row] == (labels[b, truth] + 1 if iou >= 0.5 else 0)
            if positive[b, row]:
                wanted = slow.encode(truths[b, truth], box, CONFIG.box_stds)
                np.testing.assert_allclose(targets.deltas[b, row], wanted, rtol=1e-3, atol=1e-3)
        assert 3 <= positive[b].sum() <= 8 and weight[b].sum() == 16
        assert (np.diff(positive[b]) <= 0).all()  # positives first


def test_each_positive_roi_knows_its_truth():
    truths = [
        [[0, 0, 20, 20], [40, 40, 70, 60], [80, 0, 99, 30]],
        [[10, 10, 50, 50], PADDING, PADDING],
    ]
    rois = [
        [[41, 41, 70, 60], [1, 0, 20, 20], [79, 0, 99, 30], [0, 0, 5, 5]],
        [[9, 9, 50, 50]] + [[60, 60, 70, 70]] * 3,
    ]
    labels = [[3, 1, 2], [0, -1, -1]]
    config = CONFIG.override(pos_ratio=0.5)
    proposals, scores, boxes, classes = arrays(rois, np.full((2, 4), 0.5), truths, labels)
    targets, truth = roi_targets(mx.nd, proposals, scores, GroundTruth(boxes, classes), config)
    assert truth.shape == (2, 16)
    for b, count in ((0, 6), (1, 2)):  # the truths themselves among them
        assert targets.positive.asnumpy()[b].sum() == count
        for row in range(count):
            index = int(truth.asnumpy()[b, row])
            box, wanted = targets.rois.asnumpy()[b, row], truths[b][index]
            assert (
                np.abs(box - wanted).max() <= 1
                and targets.labels.asnumpy()[b, row] == labels[b][index] + 1
            )


def test_deltas_of_boxes_with_inclusive_corners():
    config = CONFIG.override(convention="detectron")
    truths, roi_, anchor = [[[10, 10, 49, 29]]], [[[12, 12, 45, 30]]], [[8, 8, 47, 31]]
    targets = roi(roi_, [[0.5]], truths, [[0]], config)
    deltas = targets.deltas
    row = 0 if deltas[0, 0].any() else 1  # the other is the truth itself
    assert targets.positive[0].sum() == 2
    np.testing.assert_allclose(
        deltas[0, row],
        slow.encode(truths[0][0], roi_[0][0], config.box_stds, 1.0),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(deltas[0, 1 - row], 0, atol=1e-6)
    deltas = rpn(anchor, truths, config).deltas
    np.testing.assert_allclose(
        deltas[0, 0], slow.encode(truths[0][0], anchor[0], UNIT, 1.0), rtol=1e-4, atol=1e-5
    )


def test_truths_are_candidates():
    targets = roi([[[0, 0, 5, 5]]], [[0.9]], [[[20, 20, 40, 40]]], [[6]])
    assert targets.rois[0, 0].tolist() == [20, 20, 40, 40] and targets.labels[0, 0] == 7
    np.testing.assert_allclose(targets.deltas[0, 0], 0, atol=1e-6)
    assert targets.positive.sum() == 1 and targets.weight.sum() == 2 and targets.labels[0, 1] == 0


def test_without_truth_all_rois_are_background():
    rois = slow.random_boxes(np.random.default_rng(3), 30)[None]
    targets = roi(rois, np.full((1, 30), 0.5), [[PADDING]], [[-1]])
    assert not targets.labels.any() and not targets.positive.any() and targets.weight.all()
    assert np.isfinite(targets.deltas).all() and (targets.rois >= 0).all()


def test_without_proposals_only_the_truths_are_left():
    rois, scores = np.zeros((1, 30, 4)), np.full((1, 30), -1)
    targets = roi(rois, scores, [[[1, 2, 30, 40], PADDING]], [[0, -1]])
    assert targets.positive.sum() == targets.weight.sum() == 1
    assert (
        targets.rois[0, 0].tolist() == [1, 2, 30, 40]
        and targets.labels[0].tolist() == [1] + [0] * 15
    )


def test_without_proposals_and_truth_nothing_counts():
    targets = roi(np.zeros((1, 30, 4)), np.full((1, 30), -1), [[PADDING]], [[-1]])
    assert not targets.weight.any() and not targets.positive.any() and not targets.labels.any()
    assert (targets.rois >= 0).all() and np.isfinite(targets.deltas).all()


@pytest.mark.parametrize(
    "size,ratio,wanted", [(512, 0.25, 128), (3, 0.25, 1), (16, 0.0, 1), (10, 1.0, 10)]
)
def test_max_positive_rois(size, ratio, wanted):
    assert max_positive_rois(DetectorConfig(num_sample=size, pos_ratio=ratio)) == wanted


@pytest.mark.parametrize("masks", [None, "masks"])
def test_a_flat_list_becomes_the_record_again(masks):
    targets = TrainingTargets(
        rpn=RPNTargets(SampledRows("indices", "positive", "weight"), "deltas"),
        roi=RoITargets("rois", "labels", "roi deltas", "roi positive", "roi weight"),
        masks=masks,
    )
    tensors = flatten(targets)
    assert len(tensors) == len(set(tensors)) == (9 if masks is None else 10)
    assert restore(tensors, has_masks=masks is not None) == targets
    with pytest.raises(
        InputError, match=f"training targets have {len(tensors)} tensors; .* were expected with"
    ):
        restore(tensors, has_masks=masks is None)
