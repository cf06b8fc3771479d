from gluonnorm.photos.boxes import (
    box_area,
    box_iou,
    clip_boxes,
    exclusive_corners,
    flip_boxes,
    inclusive_corners,
    valid_boxes,
)
from gluonnorm.photos.paste import detections_in_photo, paste_masks

import numpy as np

NONE = np.zeros((0, 4), np.float32)


def slow_iou(first, second):
    """Counts the unit squares that boxes of whole coordinates cover."""

    def cells(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    union = len(cells(first) | cells(second))
    return len(cells(first) & cells(second)) / union if union else 0.0


def random_boxes(rng, count):
    corner = rng.integers(0, 10, (count, 2))
    return np.concatenate([corner, corner + rng.integers(0, 8, (count, 2))], axis=1)


def test_iou_equals_counting_cells():
    rng = np.random.default_rng(0)
    boxes, others = random_boxes(rng, 30), random_boxes(rng, 20)  # some have no area
    iou = box_iou(boxes.astype(np.float32), others.astype(np.float32))
    wanted = [[slow_iou(box, other) for other in others.tolist()] for box in boxes.tolist()]
    assert iou.dtype == np.float32
    np.testing.assert_allclose(iou, wanted, atol=1e-6)


def test_iou_of_equal_boxes_is_one_and_of_points_zero():
    box, point = np.float32([[1, 2, 4, 9]]), np.float32([[3, 3, 3, 3]])
    assert box_iou(box, box) == 1
    assert box_iou(point, point) == 0


def test_area():
    boxes = np.float32([[0, 0, 3, 2], [1, 1, 1, 5], [4, 4, 2, 2], [0.5, 0, 1, 1]])
    np.testing.assert_array_equal(box_area(boxes), np.float32([6, 0, 0, 0.5]))


def test_clip_cuts_to_width_and_height_and_leaves_the_argument_alone():
    boxes = np.float32([[-5, -6, 50, 60], [2, 3, 4, 5], [30, 30, 40, 40]])
    before = boxes.copy()
    np.testing.assert_array_equal(
        clip_boxes(boxes, 10, 20), [[0, 0, 20, 10], [2, 3, 4, 5], [20, 10, 20, 10]]
    )
    np.testing.assert_array_equal(boxes, before)


def test_flip_mirrors_pixels_and_boxes_alike():
    image = np.zeros((6, 9), bool)
    image[1:4, 2:7] = True
    x1, y1, x2, y2 = flip_boxes(np.float32([[2, 1, 7, 4]]), 9)[0].astype(int)
    flipped = np.zeros_like(image)
    flipped[y1:y2, x1:x2] = True
    np.testing.assert_array_equal(flipped, image[:, ::-1])


def test_flip_twice_is_the_identity():
    boxes = np.float32([[0, 1, 5, 4], [3, 3, 9, 9]])
    np.testing.assert_array_equal(flip_boxes(flip_boxes(boxes, 12), 12), boxes)


def test_valid_boxes():
    boxes = np.float32(
        [
            [0, 0, 1, 1],
            [2, 2, 2, 4],
            [2, 2, 4, 2],
            [4, 4, 2, 6],
            [0, 0, np.nan, 1],
            [0, 0, np.inf, 1],
        ]
    )
    assert valid_boxes(boxes).tolist() == [True, False, False, False, False, False]


def test_no_boxes():
    some = np.float32([[0, 0, 1, 1]])
    assert box_area(NONE).shape == (0,)
    assert box_iou(NONE, some).shape == (0, 1) and box_iou(some, NONE).shape == (1, 0)
    assert clip_boxes(NONE, 5, 5).shape == flip_boxes(NONE, 5).shape == (0, 4)
    assert valid_boxes(NONE).shape == (0,)


def rows(*boxes):
    """The network's rows: ids 0, 1, .., scores 0.9, 0.8, .., the boxes, and a row of padding."""
    count = len(boxes)
    ids = np.float32([*range(count), -1])[:, None]
    scores = np.float32([*(0.9 - 0.1 * np.arange(count)), -1])[:, None]
    return ids, scores, np.float32([*boxes, [-1] * 4])


def test_to_photo_divides_by_axis_cuts_and_drops():
    nan = [np.nan, 0, 9, 9]
    inside, beyond, padding, point = (
        [10, 20, 50, 60],
        [-8, -8, 500, 44],
        [210, 8, 230, 16],
        [8, 8, 8, 9],
    )
    found = detections_in_photo(
        *rows(inside, beyond, padding, point, nan), None, np.float32([2, 4]), (20, 100)
    )
    np.testing.assert_array_equal(found.boxes, [[5, 5, 25, 15], [0, 0, 100, 11]])
    np.testing.assert_array_equal(found.ids, [0, 1])
    np.testing.assert_allclose(found.scores, [0.9, 0.8], rtol=1e-6)
    assert (found.boxes.dtype, found.scores.dtype, found.ids.dtype) == (
        np.float32,
        np.float32,
        np.int32,
    )
    assert found.masks is None


def test_to_photo_pastes_where_the_box_lay_before_it_was_cut():
    masks = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    for method in ("sample", "expand"):
        found = detections_in_photo(
            *rows([210, 8, 230, 16], [-8, -8, 30, 44]), masks, np.float32([2, 4]), (20, 100), method
        )
        wanted = paste_masks(masks[1:2], np.float32([[-4, -2, 15, 11]]), 20, 100, method)
        assert wanted.any() and found.boxes.tolist() == [[0, 0, 15, 11]]
        np.testing.assert_array_equal(found.masks, wanted)
    none = detections_in_photo(*rows(), masks[:1], np.float32([2, 4]), (20, 100))
    assert none.masks.shape == (0, 20, 100) and none.boxes.shape == (0, 4)


def test_inclusive_boxes_of_one_pixel_stay_and_end_at_the_last_pixel():
    """In Detectron x2 = x1 is one pixel, and a photo 100 wide ends at 99."""
    point = [20, 8, 20, 16]
    narrow = [40, 8, 39.9, 16]  # 0.95 pixels of the photo wide
    reversed_box = [60, 8, 57, 16]  # its width is negative
    beyond = [150, -8, 500, 44]
    last_column = [199, 8, 199, 16]
    outside = [200, 8, 230, 16]
    found = detections_in_photo(
        *rows(point, narrow, reversed_box, beyond, last_column, outside),
        None,
        np.float32([2, 4]),
        (20, 100),
        inclusive=True,
    )
    expected = [[10, 2, 10, 4], [20, 2, 19.95, 4], [75, 0, 99, 11], [99, 2, 99, 4]]
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-6)
    assert found.ids.tolist() == [0, 1, 3, 4] and found.inclusive


def test_inclusive_corners_are_those_of_the_last_pixel():
    boxes = np.float32([[3, 4, 10, 5], [0, 0, 0.5, 2]])
    before = boxes.copy()
    np.testing.assert_array_equal(inclusive_corners(boxes), [[3, 4, 9, 4], [0, 0, 0, 1]])
    np.testing.assert_array_equal(exclusive_corners(inclusive_corners(boxes))[0], boxes[0])
    np.testing.assert_array_equal(boxes, before)
