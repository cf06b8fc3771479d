from gluonnorm.errors import InputError
from gluonnorm.ops.nms import nms, per_class_nms
from gluonnorm.ops.select import PAD_SCORE

import mxnet as mx
import numpy as np
import pytest
import reference.nms as slow
from reference.boxes import distinct_scores, random_boxes
from reference.graph import both


def candidates(batch, rois, classes, seed=0):
    """Scores without ties, and boxes that overlap a good deal."""
    rng = np.random.default_rng(seed)
    scores = distinct_scores(rng, (batch, rois, classes))
    return scores, random_boxes(rng, batch * rois * classes, 60, 15).reshape(
        batch, rois, classes, 4
    )


def detections(scores, boxes, **settings):
    return both(lambda F, scores, boxes: per_class_nms(F, scores, boxes, **settings), scores, boxes)


@pytest.mark.parametrize("offset", [0.0, 1.0, 8.0])
def test_nms_equals_a_loop_and_ignores_fill(offset):
    rng = np.random.default_rng(3)
    scores, boxes = (
        distinct_scores(rng, (2, 3, 30)),
        random_boxes(rng, 180, 60, 15).reshape(2, 3, 30, 4),
    )
    scores[:, :, ::4] = PAD_SCORE
    kept_scores, kept_boxes = both(lambda F, *inputs: nms(F, *inputs, 0.4, offset), scores, boxes)
    for image in range(2):
        for level in range(3):
            real = np.flatnonzero(scores[image, level] != PAD_SCORE)
            kept = real[
                slow.suppress(scores[image, level, real], boxes[image, level, real], 0.4, offset)
            ]
            assert 1 < len(kept) < len(real)
            np.testing.assert_array_equal(
                kept_scores[image, level, : len(kept)], scores[image, level, kept]
            )
            np.testing.assert_allclose(
                kept_boxes[image, level, : len(kept)], boxes[image, level, kept], atol=1e-5
            )
            assert (kept_scores[image, level, len(kept) :] == PAD_SCORE).all()
            if not offset:
                np.testing.assert_array_equal(
                    kept_boxes[image, level, : len(kept)], boxes[image, level, kept]
                )
                assert (kept_boxes[image, level, len(kept) :] == -1).all()


def test_a_pixel_more_decides_on_boxes_that_hardly_touch():
    scores, boxes = (
        np.float32([[0.9, 0.8]]),
        np.float32([[[0, 0, 3, 0.5], [0, 0, 3, 2]]]),
    )  # IoU 0.25, or 0.5
    for offset, kept in ((0.0, 2), (1.0, 1)):
        found, _ = both(
            lambda F, *inputs, offset=offset: nms(F, *inputs, 0.4, offset), scores, boxes
        )
        assert (found > 0).sum() == kept
        found, _, _ = detections(
            scores[..., None], boxes[:, :, None], iou_thresh=0.4, max_detections=3, offset=offset
        )
        assert (found >= 0).sum() == kept


@pytest.mark.parametrize("max_detections", [5, 100])
def test_per_class_nms_of_inclusive_corners_equals_a_loop_and_pads_with_minus_one(max_detections):
    scores, boxes = candidates(2, 40, 3, seed=9)
    result = detections(
        scores, boxes, iou_thresh=0.3, score_thresh=0.2, max_detections=max_detections, offset=4.0
    )
    differ = False
    for image in range(2):
        wanted = slow.per_class_nms(scores[image], boxes[image], 0.3, 0.2, max_detections, 4.0)
        plain = slow.per_class_nms(scores[image], boxes[image], 0.3, 0.2, max_detections)
        differ |= bool((wanted[1] != plain[1]).any())
        for got, want in zip(result, wanted):
            np.testing.assert_allclose(got[image], want, atol=1e-5)
            assert ((got[image] == -1) == (want == -1)).all()
    assert differ


@pytest.mark.parametrize("classes", [1, 3, 20])
@pytest.mark.parametrize("max_detections", [5, 100])
def test_per_class_nms_equals_a_loop_over_classes(classes, max_detections):
    scores, boxes = candidates(2, 40, classes, seed=classes)
    result = detections(
        scores,
        boxes,
        iou_thresh=0.3,
        score_thresh=0.2,
        max_detections=max_detections,
        max_candidates=1000,
    )
    for image in range(2):
        wanted = slow.per_class_nms(scores[image], boxes[image], 0.3, 0.2, max_detections)
        for got, want in zip(result, wanted):
            np.testing.assert_array_equal(got[image], want)


def test_fewer_candidates_than_detections():
    scores, boxes = candidates(1, 2, 2)
    boxes[...] = [[[0, 0, 10, 10], [0, 0, 10, 10]], [[50, 50, 60, 60], [0, 0, 10, 9]]]
    ids, values, found = detections(scores, boxes, max_detections=7, score_thresh=0.0)
    wanted = slow.per_class_nms(scores[0], boxes[0], 0.5, 0.0, 7)
    assert (ids[0] >= 0).sum() == 3  # one of class 1 is suppressed, those of class 0 are apart
    for got, want in zip((ids, values, found), wanted):
        np.testing.assert_array_equal(got[0], want)


def test_none_above_the_threshold():
    scores, boxes = candidates(2, 10, 3)
    scores[1] = 0.9  # at the threshold is not above it
    for result in detections(np.minimum(scores, 0.9), boxes, score_thresh=0.9, max_detections=4):
        assert (result == -1).all()


def test_boxes_of_different_classes_never_suppress_each_other():
    scores, boxes = (
        np.float32([[[0.9, 0.8, 0.7]]]),
        np.tile(np.float32([1, 2, 30, 40]), (1, 1, 3, 1)),
    )
    ids, values, _ = detections(scores, boxes, max_detections=3)
    assert ids[0, :, 0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(values[0, :, 0], [0.9, 0.8, 0.7])


def test_only_the_best_pairs_enter():
    scores = np.float32([[[0.9], [0.8], [0.7], [0.6]]])
    boxes = np.float32(
        [[[0, 0, 10, 10]], [[0, 0, 10, 10]], [[20, 20, 30, 30]], [[40, 40, 50, 50]]]
    )[None]
    ids, values, _ = detections(scores, boxes, max_detections=3, max_candidates=3)
    np.testing.assert_allclose(values[0, :, 0], [0.9, 0.7, -1])
    assert ids[0, :, 0].tolist() == [0, 0, -1]


def test_fewer_candidates_allowed_than_detections_wanted():
    with pytest.raises(InputError, match="max_candidates is 9, less than max_detections 10"):
        per_class_nms(
            mx.nd,
            mx.nd.ones((1, 20, 1)),
            mx.nd.ones((1, 20, 1, 4)),
            max_detections=10,
            max_candidates=9,
        )


def candidates_of(scores, boxes, **settings):
    """What the graph shows of the choice."""
    graph = mx.sym.Group(
        list(per_class_nms(mx.sym, mx.sym.var("scores"), mx.sym.var("boxes"), **settings))
    )
    (name,) = [
        name for name in graph.get_internals().list_outputs() if name.endswith("candidates_output")
    ]
    node = graph.get_internals()[name]
    (values,) = node.eval(
        **{
            name: mx.nd.array(array)
            for name, array in (("scores", scores), ("boxes", boxes))
            if name in node.list_inputs()
        }
    )
    return values.asnumpy()


@pytest.mark.parametrize("most", [10, 11, 12, 50])
def test_the_graph_shows_whether_the_choice_has_cut(most):
    scores, boxes = candidates(2, 6, 2)
    scores.reshape(2, -1)[1, :5] = (
        0.05  # at the threshold is not above it; the first image has 12 pairs, the other 7
    )
    values = candidates_of(scores, boxes, max_candidates=most, max_detections=5, score_thresh=0.05)
    assert values.shape == (2, most + 1)
    for image in range(2):
        above = -np.sort(-scores[image][scores[image] > np.float32(0.05)])[: most + 1]
        np.testing.assert_array_equal(values[image, : len(above)], above)
        assert (values[image, len(above) :] == PAD_SCORE).all()
    assert [float(value) > 0.05 for value in values[:, -1]] == [most < 12, False]


def test_the_node_keeps_its_name_in_nested_blocks_and_in_a_file(tmp_path):
    class Inner(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, scores, boxes):
            return per_class_nms(F, scores, boxes, max_candidates=10, max_detections=3)

    class Outer(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.one, self.other = Inner(), Inner()

        def hybrid_forward(self, F, scores, boxes):
            return self.one(scores, boxes) + self.other(0.5 * scores, boxes)

    net = Outer()
    net.hybridize()
    net(*(mx.nd.array(array) for array in candidates(2, 6, 2)))
    net.export(str(tmp_path / "net"))
    graph = mx.sym.load(str(tmp_path / "net-symbol.json"))
    names = [
        name for name in graph.get_internals().list_outputs() if name.endswith("candidates_output")
    ]
    assert len(set(names)) == 2


def test_a_thousand_classes_equal_a_loop():
    rng = np.random.default_rng(9)
    scores = np.where(
        rng.random((1, 40, 1203)) < 0.002, distinct_scores(rng, (1, 40, 1203)), 0.01
    ).astype(np.float32)
    boxes = random_boxes(rng, scores.size, 60, 15).reshape(*scores.shape, 4)
    wanted = slow.per_class_nms(scores[0], boxes[0], 0.5, 0.05, 100)
    assert len(np.unique(wanted[0])) > 50
    for got, want in zip(detections(scores, boxes), wanted):
        np.testing.assert_allclose(got[0], want, rtol=1e-6)
