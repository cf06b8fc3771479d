from gluonnorm.photos.paste import paste_masks

import numpy as np
import pytest
from reference.masks import paste_expand, paste_sample

SLOW = {"sample": paste_sample, "expand": paste_expand}
METHODS = sorted(SLOW)


def blobs(count, cells):
    """Smooth random masks: noise at a quarter of the resolution, enlarged."""
    coarse = np.random.uniform(0, 1, (count, cells // 4 + 1, cells // 4 + 1))
    return coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :cells, :cells].astype(np.float32)


def boxes_around(height, width, count):
    """Boxes inside, across each edge, smaller than a pixel, larger than the image, outside."""
    corner = np.random.uniform(-8, [width, height], (count, 2))
    random = np.concatenate([corner, corner + np.random.uniform(0.2, 25, (count, 2))], axis=1)
    odd = [
        [-9, -7, width + 11, height + 5],
        [3.2, 4.4, 3.9, 4.7],
        [width + 2, 1, width + 9, 8],
        [-12, -12, -3, -3],
        [0, 0, width, height],
        [5, 5, 13, 13],
    ]
    return np.concatenate([random, odd]).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cells", [4, 14, 28])
def test_equals_a_loop_over_pixels(method, cells):
    boxes = boxes_around(20, 30, 30)
    masks = blobs(len(boxes), cells)
    pasted = paste_masks(masks, boxes, 20, 30, method)
    assert (
        pasted.shape == (len(boxes), 20, 30) and pasted.dtype == bool and 0.02 < pasted.mean() < 0.9
    )
    for mask, box, found in zip(masks, boxes, pasted):
        value = SLOW[method](mask, box, 20, 30)
        certain = np.abs(value - 0.5) > 1e-4  # float32 may fall to either side of the threshold
        assert certain.mean() > 0.95
        np.testing.assert_array_equal(found[certain], value[certain] > 0.5, err_msg=str(box))


def test_full_masks_fill_the_pixels_whose_centers_the_box_holds():
    full = np.ones((2, 28, 28), np.float32)
    boxes = np.float32([[2, 3, 12, 9], [2.6, 3.4, 11.4, 8.6]])
    whole, fraction = paste_masks(full, boxes, 15, 20, "sample")
    wanted = np.zeros((15, 20), bool)
    wanted[3:9, 2:12] = True
    np.testing.assert_array_equal(whole, wanted)
    wanted[:, 2] = wanted[:, 11] = False  # their centers at 2.5 and 11.5 lie outside
    np.testing.assert_array_equal(fraction, wanted)


def test_the_two_ways_differ_at_the_threshold_and_at_the_edge():
    half = np.full((1, 28, 28), 0.5, np.float32)
    box = np.float32([[2, 3, 12, 9]])
    assert (
        paste_masks(half, box, 15, 20, "sample")[0, 5, 5]
        and not paste_masks(half, box, 15, 20, "expand").any()
    )
    full = np.ones((1, 28, 28), np.float32)
    # 10 x 6 pixels grow to 10.7 x 6.4, which reach from pixel 1 to 12 and from 2 to 9: 12 x 8, and
    # 28 / 30 of those
    expanded = paste_masks(full, box, 15, 20, "expand")[0]
    rows, columns = np.flatnonzero(expanded.any(1)), np.flatnonzero(expanded.any(0))
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (1, 12, 2, 9)


@pytest.mark.parametrize("method", METHODS)
def test_a_box_without_an_area_and_no_boxes(method):
    full = np.ones((2, 28, 28), np.float32)
    pasted = paste_masks(full, np.float32([[4, 2, 4, 9], [5, 6, 5, 6]]), 15, 20, method)
    assert pasted.sum(axis=(1, 2)).tolist() == ([0, 0] if method == "sample" else [9, 1])
    assert paste_masks(full[:0], np.zeros((0, 4), np.float32), 15, 20, method).shape == (0, 15, 20)


def test_bad_input():
    mask, box = np.ones((1, 28, 28), np.float32), np.float32([[0, 0, 5, 5]])
    with pytest.raises(
        ValueError, match="method is 'resize'; masks are pasted with 'sample' or 'expand'"
    ):
        paste_masks(mask, box, 10, 10, "resize")
    for masks, boxes in ((mask[0], box), (mask, box[0])):
        with pytest.raises(ValueError, match=r"want \(N, M, M\) and \(N, 4\)"):
            paste_masks(masks, boxes, 10, 10)
    with pytest.raises(ValueError, match="boxes hold NaN or infinity"):
        paste_masks(mask, np.float32([[0, 0, np.nan, 5]]), 10, 10)
