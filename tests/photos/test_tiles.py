"""Where tiles are: of one size, as few as possible, overlapping enough, covering the photo."""

import math

from gluonnorm.errors import InputError
from gluonnorm.photos.tiles import Tiling, Window

import numpy as np
import pytest


@pytest.mark.parametrize("length", [1, 7, 64, 65, 100, 1000, 6000])
@pytest.mark.parametrize("tile", [1, 2, 7, 64, 1024])
@pytest.mark.parametrize("overlap", [0, 0.2, 0.5, 0.9])
def test_tiles_along_a_side(length, tile, overlap):
    windows = Tiling(tile, overlap).windows(3, length)
    row = [window for window in windows if window.top == 0]
    lefts = np.array([window.left for window in row])
    rights = np.array([window.right for window in row])
    assert lefts[0] == 0 and rights[-1] == length
    assert set(rights - lefts) == {min(tile, length)}
    if len(row) == 1:
        return
    wanted = min(math.ceil(tile * overlap), tile - 1)
    common = rights[:-1] - lefts[1:]
    assert common.min() >= wanted and common.max() - common.min() <= 1
    one_less = tile + (len(row) - 2) * (tile - wanted)
    assert one_less < length  # a tile less would not cover the side


def test_a_photo_that_fits_is_one_tile():
    for size in ((1024, 1024), (1, 1), (700, 1024), (1024, 3)):
        assert Tiling(1024).windows(*size) == [Window(0, 0, *size)]
    assert len(Tiling(1024).windows(1025, 1024)) == 2


def test_tiles_are_rows_of_views():
    image = np.arange(10 * 7 * 3).reshape(10, 7, 3)
    windows = Tiling(tile=4, overlap=0.25).windows(10, 7)
    corners = [(window.top, window.left) for window in windows]
    assert corners == [(0, 0), (0, 3), (3, 0), (3, 3), (6, 0), (6, 3)]
    part = windows[3].part_of(image)
    assert part.base is image.base and part.shape == (4, 4, 3)
    np.testing.assert_array_equal(part, image[3:7, 3:7])


@pytest.mark.parametrize("tile", [0, -1, 0.5, 1024.5, True, "1024", math.nan, math.inf, None])
def test_a_wrong_tile(tile):
    with pytest.raises(InputError, match="tile is .*; want the side of a tile in pixels"):
        Tiling(tile)


@pytest.mark.parametrize("overlap", [-0.1, 0.91, 1, 20, True, "0.2", math.nan, None, 1j])
def test_a_wrong_overlap(overlap):
    with pytest.raises(InputError, match="overlap is .*; want the share .* from 0 to 0.9"):
        Tiling(1024, overlap)


def test_numbers_of_numpy():
    assert Tiling(np.int32(64), np.float32(0.5)).windows(64, 96) == Tiling(64, 0.5).windows(64, 96)
