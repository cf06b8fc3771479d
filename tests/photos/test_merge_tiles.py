"""Detections of tiles become those of the photo: repeated ones, cut ones, and long objects."""

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.photos.merge_tiles import TileDetections, merge_tiles
from gluonnorm.photos.tiles import Tiling
from gluonnorm.types import Detections

import numpy as np
import pytest

# A photo of two tiles: they have the columns 60 to 100 in common.
HEIGHT, WIDTH = 100, 160
LEFT, RIGHT = Tiling(100, 0.4).windows(HEIGHT, WIDTH)


def tile_with(window, rows, masks=False, inclusive=False):
    """A tile with detections (x1, y1, x2, y2, score, id) in pixels of the photo.

    The box is cut off at the tile, as a detector sees it; a mask fills it.
    """
    rows = np.float32(rows).reshape(-1, 6)
    corner = np.float32([window.left, window.top] * 2)
    height, width = window.bottom - window.top, window.right - window.left
    boxes = np.clip(rows[:, :4] - corner, 0, np.float32([width, height] * 2))
    filled = None
    if masks:
        filled = np.zeros((len(rows), height, width), bool)
        for mask, (x1, y1, x2, y2) in zip(filled, boxes.astype(int)):
            mask[y1:y2, x1:x2] = True
        filled = CroppedMasks.of(filled)
    if inclusive:
        boxes[:, 2:] -= 1
    detections = Detections(boxes, rows[:, 4], rows[:, 5].astype(np.int32), filled, inclusive)
    return TileDetections(window, detections)


def merged(left_rows, right_rows, **options):
    """Rows (x1, y1, x2, y2, score, id) of the photo, best first."""
    tiles = [tile_with(LEFT, left_rows, **options), tile_with(RIGHT, right_rows, **options)]
    found = merge_tiles(tiles, HEIGHT, WIDTH)
    assert found.boxes.dtype == np.float32 and found.ids.dtype == np.int32
    return np.column_stack([found.boxes, found.scores, found.ids])


def assert_rows(found, wanted):
    np.testing.assert_allclose(found, np.float32(wanted).reshape(-1, 6), rtol=0, atol=1e-5)


def test_of_an_object_in_both_tiles_the_better_one_stays():
    found = merged([[70, 10, 90, 30, 0.7, 1]], [[71, 11, 91, 30, 0.8, 1]])
    assert_rows(found, [[71, 11, 91, 30, 0.8, 1]])


def test_a_whole_object_stays_and_not_its_part_of_a_better_score():
    found = merged([[80, 10, 120, 30, 0.9, 1]], [[80, 10, 120, 30, 0.6, 1]])
    assert_rows(found, [[80, 10, 120, 30, 0.6, 1]])
    found = merged([[40, 10, 80, 30, 0.6, 1]], [[40, 10, 80, 30, 0.9, 1]])
    assert_rows(found, [[40, 10, 80, 30, 0.6, 1]])


def test_a_part_of_another_height_belongs_to_the_whole_object():
    """A tile sees an arm, the other one the person."""
    found = merged([[92, 40, 100, 46, 0.9, 0]], [[90, 10, 120, 80, 0.8, 0]])
    assert_rows(found, [[90, 10, 120, 80, 0.8, 0]])


def test_other_classes_stay():
    rows = [[70, 10, 90, 30, 0.7, 1]], [[70, 10, 90, 30, 0.8, 0]]
    assert_rows(merged(*rows), [rows[1][0], rows[0][0]])


def test_objects_of_one_tile_are_never_merged():
    """The network has decided about them already, by its own threshold."""
    rows = [[10, 10, 40, 40, 0.9, 1], [12, 10, 42, 40, 0.8, 1]]
    assert_rows(merged(rows, []), rows)
    near = [[70, 10, 90, 30, 0.9, 1], [73, 10, 93, 30, 0.8, 1]]
    assert_rows(merged(near, near[::-1]), near)


def test_a_small_object_in_front_of_a_large_one_stays():
    large = [62, 5, 98, 80, 0.9, 1]
    small = [70, 20, 80, 30, 0.8, 1]
    assert_rows(merged([large], [small]), [large, small])


def test_a_part_without_a_counterpart_stays():
    assert_rows(merged([[80, 10, 120, 30, 0.9, 1]], []), [[80, 10, 100, 30, 0.9, 1]])


def test_a_box_at_the_edge_of_the_photo_is_not_cut():
    """Else the one of the other tile, in which the object is cut, could stay."""
    at_edges = [0, 0, 70, 100, 0.6, 1]
    assert_rows(merged([at_edges], [[0, 0, 70, 100, 0.9, 1]]), [at_edges])


def test_parts_of_a_long_object_are_put_together():
    long = [20, 30, 140, 50]
    found = merge_tiles(
        [
            tile_with(LEFT, [[*long, 0.7, 2]], masks=True),
            tile_with(RIGHT, [[*long, 0.8, 2]], masks=True),
        ],
        HEIGHT,
        WIDTH,
    )
    assert_rows(np.column_stack([found.boxes, found.scores, found.ids]), [[*long, 0.8, 2]])
    wanted = np.zeros((1, HEIGHT, WIDTH), bool)
    wanted[0, 30:50, 20:140] = True
    np.testing.assert_array_equal(np.asarray(found.masks), wanted)


def test_parts_that_look_unlike_beyond_the_common_region_are_put_together():
    """An airplane: the left tile sees its wings, and of the right one only the nose."""
    found = merged([[10, 10, 100, 90, 0.9, 0]], [[60, 45, 130, 55, 0.8, 0]])
    assert_rows(found, [[10, 10, 130, 90, 0.9, 0]])


def test_two_long_objects_side_by_side_stay_two():
    rows = [[20, 30, 140, 50, 0.9, 2], [20, 51, 140, 70, 0.8, 2]]
    assert_rows(merged(rows, rows), rows)


def test_a_long_object_behind_another_one_keeps_its_own_parts():
    """In what the tiles have in common, both are as wide; only the heights tell them apart."""
    rows = [[20, 10, 140, 90, 0.9, 2], [30, 30, 130, 60, 0.8, 2]]
    assert_rows(merged(rows, rows), rows)
    assert_rows(merged(rows, rows[::-1]), rows)


def test_two_long_objects_one_after_the_other_stay_two():
    """They touch, and the tile in the middle has missed the first one."""
    first, second = [10, 30, 99, 50, 0.9, 2], [97, 30, 200, 50, 0.8, 2]
    windows = Tiling(100, 0.4).windows(100, 220)
    assert [window.left for window in windows] == [0, 60, 120]
    seen = [first, second], [second], [second]
    tiles = [tile_with(window, rows) for window, rows in zip(windows, seen)]
    found = merge_tiles(tiles, 100, 220)
    assert_rows(np.column_stack([found.boxes, found.scores, found.ids]), [first, second])


def test_masks_go_with_their_boxes():
    rows = [[70, 10, 90, 30, 0.5, 1], [80, 40, 120, 60, 0.9, 1], [5, 5, 9, 9, 0.4, 0]]
    tiles = [
        tile_with(LEFT, rows, masks=True),
        tile_with(RIGHT, rows[:2], masks=True),
    ]
    found = merge_tiles(tiles, HEIGHT, WIDTH)
    assert isinstance(found.masks, CroppedMasks) and found.masks.shape == (3, HEIGHT, WIDTH)
    for mask, (x1, y1, x2, y2) in zip(found.masks, found.boxes.astype(int)):
        assert mask.sum() == (y2 - y1) * (x2 - x1) and mask[y1:y2, x1:x2].all()
    assert found.scores.tolist() == np.float32([0.9, 0.5, 0.4]).tolist()


def test_inclusive_corners_stay_inclusive():
    rows = [[80, 10, 120, 30, 0.9, 1], [70, 50, 71, 51, 0.8, 0]]  # the second one is a pixel
    found = merged(rows, rows, inclusive=True)
    assert_rows(found, [[80, 10, 119, 29, 0.9, 1], [70, 50, 70, 50, 0.8, 0]])


def test_no_detections():
    assert merged([], []).shape == (0, 6)
    tiles = [tile_with(LEFT, [], masks=True), tile_with(RIGHT, [], masks=True)]
    assert merge_tiles(tiles, HEIGHT, WIDTH).masks.shape == (0, HEIGHT, WIDTH)


def test_a_single_tile_is_returned_as_it_is():
    (window,) = Tiling(200).windows(HEIGHT, WIDTH)
    tile = tile_with(window, [[0, 0, 160, 50, 0.5, 0], [0, 0, 160, 52, 0.5, 0]], masks=True)
    assert merge_tiles([tile], HEIGHT, WIDTH) is tile.detections


def separate_objects(height, width, count, rng):
    """Boxes of integers, at least 3 pixels apart, from a few pixels to most of the photo."""
    taken = np.zeros((height, width), bool)
    boxes = []
    while len(boxes) < count:
        sides = np.int64(np.exp(rng.uniform(np.log(4), np.log([height, width]))))
        top, left = rng.integers(0, [height, width] - sides + 1)
        bottom, right = [top, left] + sides
        around = taken[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3]
        if not around.any():
            taken[top:bottom, left:right] = True
            boxes.append([left, top, right, bottom])
    return np.float32(boxes)


@pytest.mark.parametrize("seed", range(20))
def test_each_of_many_objects_is_found_once(seed):
    """Objects of all lengths, also beyond a tile; each tile sees what is in it, a little blurred.

    The blur is less than half a pixel at the edges of objects, none at those of tiles.
    """
    rng = np.random.default_rng(seed)
    height, width = rng.integers(150, 400, 2)
    objects = separate_objects(height, width, 25, rng)
    ids = rng.integers(0, 2, len(objects))
    tiles = []
    for window in Tiling(100, 0.3).windows(height, width):
        corners = np.float32([window.left, window.top] * 2)
        sides = np.float32([window.right - window.left, window.bottom - window.top] * 2)
        blurred = objects + rng.uniform(-0.4, 0.4, objects.shape)
        visible = np.clip(blurred - corners, 0, sides)
        is_visible = (visible[:, 2:] - visible[:, :2] > 1).all(axis=1)
        rows = np.column_stack([visible + corners, rng.uniform(0.3, 1, len(objects)), ids])
        tiles.append(tile_with(window, rows[is_visible], masks=True))
    found = merge_tiles(tiles, height, width)
    assert len(found.ids) == len(objects)
    assert (np.diff(found.scores) <= 0).all()
    distances = np.abs(found.boxes[:, None] - objects).max(axis=2)
    nearest = distances.argmin(axis=1)
    assert sorted(nearest) == list(range(len(objects)))
    assert distances.min(axis=1).max() < 1
    np.testing.assert_array_equal(found.ids, ids[nearest])
    for mask, box in zip(found.masks, objects[nearest].astype(int)):
        wanted = np.zeros((height, width), bool)
        wanted[box[1] : box[3], box[0] : box[2]] = True
        # Rounding the blurred corners moves each side of the mask by a pixel at most.
        grown = np.zeros((height, width), bool)
        grown[max(0, box[1] - 1) : box[3] + 1, max(0, box[0] - 1) : box[2] + 1] = True
        assert (mask <= grown).all() and mask.sum() >= wanted.sum() - (wanted ^ grown).sum()
