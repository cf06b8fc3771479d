from gluonnorm.rcnn.matcher import Match, match

import numpy as np
import reference.matching as slow
from reference.boxes import iou, random_boxes
from reference.graph import both

PADDING = np.full((1, 4), -1, np.float32)


def matched(boxes, truths):
    """The match as NumPy arrays, after a check that a traced graph gives the same."""
    return Match(*both(match, boxes, truths))


def test_match_equals_two_loops():
    rng = np.random.default_rng(0)
    boxes = np.stack([random_boxes(rng, 30), random_boxes(rng, 30)])
    truths = np.stack([random_boxes(rng, 5), np.concatenate([random_boxes(rng, 4), PADDING])])
    result = matched(boxes, truths)
    for b in range(2):
        want_truth, want_iou, want_best = slow.match(boxes[b].tolist(), truths[b].tolist())
        np.testing.assert_allclose(result.iou[b], want_iou, atol=1e-6)
        np.testing.assert_array_equal(result.is_best[b], want_best)
        overlapping = np.array(want_iou) > 0
        assert overlapping.sum() > 10
        np.testing.assert_array_equal(
            result.ground_truth_index[b, overlapping], np.array(want_truth)[overlapping]
        )


def test_every_truth_has_a_best_box_even_at_low_overlap():
    boxes = [[[0, 0, 10, 10], [20, 0, 30, 10], [21, 0, 31, 10]]]
    truths = [[[8, 0, 18, 10], [20, 0, 30, 10]]]  # the first overlaps no box by more than 1 / 9
    result = matched(boxes, truths)
    np.testing.assert_allclose(result.iou, [[1 / 9, 1, 9 / 11]], rtol=1e-5)
    assert result.ground_truth_index.tolist() == [[0, 1, 1]]
    assert result.is_best.tolist() == [[1, 1, 0]]


def test_boxes_that_tie_are_all_best():
    boxes = [[[0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]]]
    assert matched(boxes, [[[5, 0, 25, 10]]]).is_best.tolist() == [[1, 1, 0]]


def test_a_truth_nothing_overlaps_has_no_best():
    result = matched([[[0, 0, 10, 10], [20, 0, 30, 10]]], [[[100, 100, 110, 110]]])
    assert not result.iou.any() and not result.is_best.any()


def test_padding_matches_nothing_not_even_padding():
    result = matched([[[-1, -1, -1, -1], [0, 0, 10, 10]]], [[[-1, -1, -1, -1]]])
    assert not result.iou.any() and not result.is_best.any()


def test_one_set_of_anchors_serves_every_image():
    rng = np.random.default_rng(1)
    anchors, truths = random_boxes(rng, 12), np.stack([random_boxes(rng, 2), random_boxes(rng, 2)])
    iou = matched(anchors[None], truths).iou
    np.testing.assert_allclose(
        iou, [slow.match(anchors.tolist(), image.tolist())[1] for image in truths], atol=1e-6
    )


def with_offset(F, boxes, truths):
    """Match boxes whose far corner is their last pixel."""
    return match(F, boxes, truths, 1.0)


def test_inclusive_boxes_overlap_with_their_last_pixels():
    rng = np.random.default_rng(2)
    boxes = random_boxes(rng, 40)
    truths = random_boxes(rng, 6) + np.float32([0, 0, 1, 1])  # no truth is a single pixel
    result = Match(*both(with_offset, boxes[None], truths[None]))
    expected = [max(iou(box, truth, 1.0) for truth in truths.tolist()) for box in boxes.tolist()]
    np.testing.assert_allclose(result.iou[0], expected, atol=1e-6)
    plain = matched(boxes[None], truths[None])
    assert (result.iou - plain.iou).max() > 0.01


def test_padding_matches_no_inclusive_box_outside_the_image():
    boxes = [[[-9, -9, 3, 3], [-1, -1, -1, -1]]]
    result = Match(*both(with_offset, boxes, [[[-1, -1, -1, -1]]]))
    assert not result.iou.any() and not result.is_best.any()
