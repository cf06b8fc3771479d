from gluonnorm.ops.masks import crop_targets, pick_class

import mxnet as mx
import numpy as np
import pytest
from reference.graph import both
from reference.masks import bilinear, coverage

BOXES = np.float32([[[4, 6, 60, 50], [30, 10, 90, 70]], [[10, 10, 42, 42], [-1, -1, -1, -1]]])
CELLS = 24  # a side of a truth's mask


def truths(cells=CELLS, seed=0):
    """(2, 2, S, S): smooth masks of 0..1, of which the last is padding."""
    y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
    rng = np.random.default_rng(seed)
    masks = [
        np.clip(2 - 6 * np.hypot(x - cx, (y - cy) * 1.3), 0, 1)
        for cx, cy in rng.uniform(0.2, 0.8, (4, 2))
    ]
    masks[3][:] = 0
    return np.float32(masks).reshape(2, 2, cells, cells)


def near(boxes, count, seed=1):
    """RoIs about the boxes: truths (B, count) and RoIs (B, count, 4)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, boxes.shape[1], (len(boxes), count))
    rois = np.take_along_axis(boxes, truth[:, :, None], axis=1) + rng.normal(
        0, 5, (len(boxes), count, 4)
    )
    return truth, np.maximum(rois, 0).astype(np.float32)


def slow_crop(mask, box, roi, size):
    """The mean of 4 x 4 samples of each cell of the RoI, before the threshold."""
    cells = len(mask)
    result = np.zeros((size, size))
    for place in np.ndindex(size, size, 4, 4):
        y = roi[1] + (place[0] + (place[2] + 0.5) / 4) * (roi[3] - roi[1]) / size
        x = roi[0] + (place[1] + (place[3] + 0.5) / 4) * (roi[2] - roi[0]) / size
        down, across = (
            (y - box[1]) / (box[3] - box[1]) * cells,
            (x - box[0]) / (box[2] - box[0]) * cells,
        )
        result[place[:2]] += bilinear(mask, down - 0.5, across - 0.5) / 16
    return result


def crops(masks, boxes, truth, rois, size):
    return both(lambda F, *inputs: crop_targets(F, *inputs, size), masks, boxes, truth, rois)[0]


def test_pick_class_takes_each_row_s_own_map():
    masks, ids = (
        np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32),
        [2, 0, -1, 1, 2],
    )
    (found,) = both(pick_class, masks, ids)
    np.testing.assert_array_equal(found, masks[np.arange(5), [2, 0, 0, 1, 2]])


def test_the_gradient_of_pick_class_reaches_the_picked_map_only():
    masks = mx.nd.ones((2, 3, 2, 2))
    masks.attach_grad()
    with mx.autograd.record():
        loss = pick_class(mx.nd, masks, mx.nd.array([1, 2])).sum()
    loss.backward()
    wanted = np.zeros((2, 3, 2, 2))
    wanted[0, 1] = wanted[1, 2] = 1
    np.testing.assert_array_equal(masks.grad.asnumpy(), wanted)


@pytest.mark.parametrize("size", [7, 14])
def test_crops_equal_sampling_one_by_one(size):
    masks = truths()
    truth, rois = near(BOXES, 5)
    truth[1] = 0  # the other is padding
    rois[1] = near(BOXES[1:, :1], 5)[1]
    result = crops(masks, BOXES, truth, rois, size)
    assert result.shape == (2, 5, size, size) and set(np.unique(result)) == {0, 1}
    for b in range(2):
        for r in range(5):
            which, roi = truth[b, r], rois[b, r].astype(float)
            wanted = slow_crop(masks[b, which], BOXES[b, which].astype(float), roi, size)
            sure = np.abs(wanted - 0.5) > 1e-3
            assert sure.mean() > 0.9 and 0 < (wanted >= 0.5).sum()
            np.testing.assert_array_equal(result[b, r][sure], wanted[sure] >= 0.5)


def test_crops_agree_with_the_mask_in_the_whole_image():
    """A cell is 1 if the mask covers half of it in the image; cells on its edge may differ."""
    y, x = np.mgrid[:80, :100] + 0.5
    mask = (np.hypot((x - 45) / 30, (y - 40) / 22) < 1) & ~(np.hypot(x - 45, y - 35) < 8)
    box = np.float32([15, 18, 75, 62])
    cut = np.float32([[coverage(mask, box, 112)]])
    rois = np.float32([[[15, 18, 75, 62], [20, 10, 70, 70], [40, 30, 90, 75], [0, 0, 100, 80]]])
    result = crops(cut, box[None, None], np.zeros((1, 4)), rois, 28)
    for found, roi in zip(result[0], rois[0]):
        wanted = coverage(mask, roi, 28) >= 0.5
        assert (found != wanted).mean() < 0.015 and wanted.mean() > 0.2


def test_a_roi_equal_to_its_truth_gets_the_mask_back():
    checks = np.indices((8, 8)).sum(axis=0) % 2
    fine = np.float32(checks.repeat(14, 0).repeat(14, 1))[None, None]
    result = crops(fine, [[[3, 5, 40, 77]]], [[0]], [[[3, 5, 40, 77]]], 8)
    np.testing.assert_array_equal(result[0, 0], checks)


def test_outside_of_the_truth_s_box_there_is_no_mask():
    full = np.ones((1, 1, 16, 16), np.float32)
    result = crops(
        full,
        [[[20, 20, 40, 40]]],
        [[0, 0, 0]],
        [[[20, 20, 60, 40], [60, 60, 90, 90], [0, 0, 40, 40]]],
        8,
    )
    left, corner = np.zeros((8, 8)), np.zeros((8, 8))
    left[:, :4], corner[4:, 4:] = 1, 1
    np.testing.assert_array_equal(result[0], [left, np.zeros((8, 8)), corner])


def test_a_cell_half_covered_counts():
    full = np.ones((1, 1, 112, 112), np.float32)
    result = crops(full, [[[0, 0, 50, 100]]], [[0, 0]], [[[47, 0, 57, 100], [45, 0, 55, 100]]], 1)
    assert result.ravel().tolist() == [0, 1]  # 3 and 5 of 10 pixels


@pytest.mark.parametrize("truth", [0, 1])
def test_padding_gives_finite_crops(truth):
    boxes, rois = (
        [[[-1, -1, -1, -1], [5, 5, 5, 30]]],
        [[[0, 0, 0, 0], [3, 3, 30, 30], [-1, -1, -1, -1]]],
    )
    result = crops(np.ones((1, 2, 16, 16)), boxes, [[truth] * 3], rois, 7)
    assert result.shape == (1, 3, 7, 7) and np.isin(result, (0, 1)).all()
