from gluonnorm.ops.boxes import box_area, box_iou, clip_boxes, image_extent, split_coordinates
from gluonnorm.photos import boxes as photo_boxes

import numpy as np
import pytest
from reference.boxes import iou, random_boxes
from reference.graph import both

ODD = np.float32(
    [[2, 2, 2, 4], [5, 5, 3, 7], [-1, -1, -1, -1], [0, 0, 1, 1]]
)  # point, inverted, padding, good


def test_split_coordinates_in_their_order():
    columns = both(split_coordinates, np.arange(24).reshape(2, 3, 4))
    for i, column in enumerate(columns):
        np.testing.assert_array_equal(column, np.arange(24).reshape(2, 3, 4)[..., i : i + 1])


def test_area_equals_the_numpy_half():
    boxes = np.concatenate([random_boxes(np.random.default_rng(0), 20), ODD])
    (area,) = both(box_area, boxes)
    np.testing.assert_allclose(area[:, 0], photo_boxes.box_area(boxes), rtol=1e-6)
    np.testing.assert_array_equal(area[-4:, 0], [0, 0, 0, 1])


def test_iou_equals_a_loop_and_the_numpy_half():
    rng = np.random.default_rng(1)
    boxes = np.stack([random_boxes(rng, 15), random_boxes(rng, 15)])
    others = np.stack([np.concatenate([random_boxes(rng, 5), ODD]) for _ in range(2)])
    (result,) = both(box_iou, boxes, others)
    wanted = [
        [[iou(box, other) for other in others[b].tolist()] for box in boxes[b].tolist()]
        for b in range(2)
    ]
    np.testing.assert_allclose(result, wanted, atol=1e-6)
    np.testing.assert_allclose(
        result, [photo_boxes.box_iou(boxes[b], others[b]) for b in range(2)], atol=1e-6
    )


def test_iou_of_one_set_with_every_image():
    rng = np.random.default_rng(2)
    anchors, others = random_boxes(rng, 6), np.stack([random_boxes(rng, 3), random_boxes(rng, 3)])
    (result,) = both(box_iou, anchors[None], others)
    np.testing.assert_allclose(
        result, [photo_boxes.box_iou(anchors, image) for image in others], atol=1e-6
    )


def test_boxes_without_area_overlap_nothing_not_even_themselves():
    (result,) = both(box_iou, ODD[None, :3], ODD[None])
    np.testing.assert_array_equal(result, np.zeros((1, 3, 4)))


def test_clip_equals_the_numpy_half():
    boxes = (random_boxes(np.random.default_rng(3), 40) * 2 - 50).reshape(2, 20, 4)
    (result,) = both(
        lambda F, boxes, height, width: clip_boxes(F, boxes, (height, width)), boxes, [30], [50]
    )
    wanted = photo_boxes.clip_boxes(boxes.reshape(-1, 4), 30, 50).reshape(2, 20, 4)
    np.testing.assert_array_equal(result, wanted)
    assert (result != boxes).any() and (result == boxes).any()


@pytest.mark.parametrize("height,width", [(1, 1), (1, 7), (5, 3)])
def test_image_extent(height, width):
    extent = both(image_extent, np.zeros((2, 3, height, width)))
    assert [value.tolist() for value in extent] == [[height], [width]]
