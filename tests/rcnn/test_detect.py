from gluonnorm.convention import BoxConvention
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.rcnn.detect import detect

import mxnet as mx
import numpy as np
import pytest
import reference.boxes as slow
from reference.graph import both
from reference.nms import per_class_nms

EXTENT = (60, 80)
CONFIG = DetectorConfig(rpn_test_post_nms=12, max_detections=20, score_thresh=0.15, nms_thresh=0.3)


def heads(classes, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (24, classes + 1)).astype(np.float32)
    deltas = rng.normal(0, 1, (24, 4 * classes)).astype(np.float32)
    rois = slow.random_boxes(rng, 24, 80, 10).reshape(2, 12, 4)
    return logits, deltas, rois, np.full((2, 12), 0.5, np.float32)


def detections(logits, deltas, rois, scores, classes, config=CONFIG):
    def function(F, height, width, *inputs):
        return detect(F, *inputs, (height, width), classes, config)

    return both(function, EXTENT[:1], EXTENT[1:], logits, deltas, rois, scores)


def slow_detect(logits, deltas, rois, classes, offset=0.0, cut=True):
    """One image."""
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    boxes = [
        [
            slow.decode(delta, roi, CONFIG.box_stds, offset=offset)
            for delta in row.reshape(classes, 4)
        ]
        for row, roi in zip(deltas.astype(float), rois.astype(float))
    ]
    if cut:
        boxes = [[slow.clip(box, *EXTENT, offset) for box in row] for row in boxes]
    return per_class_nms(chances[:, 1:], np.array(boxes), 0.3, 0.15, 20, offset)


def test_detect_equals_a_loop():
    for classes in (1, 3):
        logits, deltas, rois, scores = heads(classes)
        result = detections(logits, deltas, rois, scores, classes)
        for b in range(2):
            rows = slice(12 * b, 12 * b + 12)
            wanted = slow_detect(logits[rows], deltas[rows], rois[b], classes)
            assert 3 < (wanted[0] >= 0).sum() < 20
            for got, want in zip(result, wanted):
                np.testing.assert_allclose(got[b], want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"inclusive": True},
        {"clip_detections": False},
        {"inclusive": True, "clip_detections": False},
    ],
)
def test_other_conventions_equal_a_loop(change):
    convention = BoxConvention(**change)
    result = detections(*heads(3), 3, CONFIG.override(convention=convention))
    logits, deltas, rois, _ = heads(3)
    for b in range(2):
        rows = slice(12 * b, 12 * b + 12)
        wanted = slow_detect(
            logits[rows], deltas[rows], rois[b], 3, convention.offset, convention.clip_detections
        )
        for got, want in zip(result, wanted):
            np.testing.assert_allclose(got[b], want, rtol=1e-4, atol=1e-3)
    plain = detections(*heads(3), 3)
    assert np.abs(plain[2] - result[2]).max() > 0.5


def test_detections_that_are_too_small_suppress_nothing():
    """The first box, half a pixel high, would suppress the second were it a candidate."""
    rois = np.float32([[[10, 10, 50, 10.5], [10, 10, 50, 10.7]] + [[0, 0, 0, 0]] * 10])
    scores = np.float32([[0.9, 0.8] + [-1] * 10])
    logits, deltas = np.zeros((12, 2), np.float32), np.zeros((12, 4), np.float32)
    logits[:2, 1] = 3, 2
    found = [
        detections(
            logits, deltas, rois, scores, 1, CONFIG.override(convention=BoxConvention(**change))
        )[2]
        for change in ({}, {"min_detection_size": 0.6})
    ]
    np.testing.assert_allclose([boxes[0, :2, 3] for boxes in found], [[10.5, -1], [10.7, -1]])


def test_padded_rois_detect_nothing():
    logits, deltas, rois, scores = heads(3)
    scores[0] = -1
    scores[1, 5:] = -1
    rois[scores < 0] = 0
    ids, _, boxes = detections(logits, deltas, rois, scores, 3)
    assert (ids[0] == -1).all() and (boxes[0] == -1).all()
    wanted = slow_detect(logits[12:17], deltas[12:17], rois[1, :5], 3)
    np.testing.assert_allclose(ids[1], wanted[0])
    np.testing.assert_allclose(boxes[1], wanted[2], rtol=1e-4, atol=1e-3)


def test_more_detections_wanted_than_pairs_exist():
    config = CONFIG.override(max_detections=500, score_thresh=0.0, nms_thresh=1.0)
    ids, scores, _ = detections(*heads(3), 3, config)
    assert ids.shape == (2, 500, 1)
    assert ((ids >= 0).sum(axis=(1, 2)) == 36).all() and (np.diff(scores[:, :36, 0]) <= 0).all()


def test_settings_reach_the_suppression():
    heads_of_3 = heads(3)
    changes = (
        {},
        {"score_thresh": 0.5},
        {"nms_thresh": 1.0},
        {"max_candidates": 20, "nms_thresh": 1.0},
        {"max_detections": 2},
    )
    counts = [
        (detections(*heads_of_3, 3, CONFIG.override(**change))[0] >= 0).sum() for change in changes
    ]
    assert counts[1] < counts[0] < counts[2] and counts[4] == 4


def test_the_graph_shows_the_candidates_also_where_there_are_fewer_pairs():
    for most, width in (
        (20, 21),
        (36, 37),
        (1000, 37),
    ):  # 12 RoIs and 3 classes: no more than 36 pairs
        config = CONFIG.override(max_candidates=most)
        result = detect(
            mx.sym,
            *(mx.sym.var(name) for name in ("logits", "deltas", "rois", "scores")),
            (mx.sym.var("height"), mx.sym.var("width")),
            3,
            config,
        )
        internals = mx.sym.Group(list(result)).get_internals()
        (name,) = [name for name in internals.list_outputs() if name.endswith("candidates_output")]
        logits, _, _, scores = heads(3)
        (values,) = internals[name].eval(logits=mx.nd.array(logits), scores=mx.nd.array(scores))
        assert values.shape == (2, width)
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        above = (chances[:, 1:].reshape(2, -1) > config.score_thresh).sum(axis=1)
        assert (
            (values[:, -1] > config.score_thresh).asnumpy() == (above > most)
        ).all() and above.min() > 3
