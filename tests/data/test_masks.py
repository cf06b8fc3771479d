from gluonnorm.data import DataError
from gluonnorm.data.masks import crop_masks, decode_masks, empty_mask, read_segmentation
from gluonnorm.photos.paste import paste_masks

import numpy as np
import pytest
from pycocotools import mask as rle
from reference.masks import bilinear, coverage

SIZE = (20, 30)


def run_lengths(mask):
    """COCO's uncompressed run lengths of a mask, a pixel at a time."""
    counts, last = [0], 0
    for value in mask.T.reshape(-1):
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def compressed(mask):
    runs = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": runs["size"], "counts": runs["counts"].decode()}


def random_mask(height=20, width=30):
    return (
        np.random.uniform(0, 1, (height // 3 + 1, width // 3 + 1))
        .repeat(3, 0)
        .repeat(3, 1)[:height, :width]
        < 0.4
    )


@pytest.mark.parametrize("form", [run_lengths, compressed])
def test_run_lengths_come_back_as_the_mask(form):
    for _ in range(20):
        masks = [random_mask(), np.random.uniform(0, 1, SIZE) < 0.5, np.ones(SIZE, bool)]
        found = decode_masks([read_segmentation(form(mask), SIZE, "here") for mask in masks], SIZE)
        assert found.dtype == bool and found.flags.c_contiguous
        np.testing.assert_array_equal(found, masks)


def test_long_runs_in_a_large_image():
    mask = np.zeros((900, 1300), bool)
    mask[10:890, 3:1200] = mask[895, 1299] = True
    found = decode_masks([read_segmentation(compressed(mask), mask.shape, "")], mask.shape)
    np.testing.assert_array_equal(found[0], mask)


def test_polygons_are_joined():
    polygons = [[2, 3, 12, 3, 12, 9, 2, 9], [20, 10, 25, 10, 25, 15, 20, 15]]
    wanted = np.zeros(SIZE, bool)
    wanted[3:9, 2:12] = wanted[10:15, 20:25] = True
    np.testing.assert_array_equal(
        decode_masks([read_segmentation(polygons, SIZE, "")], SIZE)[0], wanted
    )
    speck = decode_masks([read_segmentation([[2.1, 2.1, 2.2, 2.1, 2.2, 2.2]], SIZE, "")], SIZE)
    assert speck.shape == (1, *SIZE) and not speck.any()


def test_no_masks():
    assert decode_masks([], SIZE).shape == (0, *SIZE)
    assert crop_masks(np.zeros((0, *SIZE), bool), np.zeros((0, 4), np.float32), 8).shape == (
        0,
        8,
        8,
    )


@pytest.mark.parametrize(
    "segmentation, message",
    [
        (None, "no segmentation"),
        ([], "empty or faulty polygon"),
        ([[]], "empty or faulty polygon"),
        ([[1, 1, 5, 5]], "want x and y of at least three corners"),
        ([[1, 1, 5, 5, 1, 5], [1, 2, 3, 4, 5, 6, 7]], "empty or faulty polygon"),
        ([1, 1, 5, 5], "want x and y of at least three corners"),
        (["1", "1", "5", "5", "1", "5"], "not finite numbers"),
        ([[1, 1, 5, True, 1, 5]], "not finite numbers"),
        ([[1, 1, 5, 10**400, 1, 5]], "not finite numbers"),
        ([1, [1, 1, 5, 5, 1, 5]], "empty or faulty polygon, 1"),
        ([[[1, 1], [5, 5], [1, 5]]], "empty or faulty polygon, a list of length 3"),
        ([[0, 0, 1e9, 0, 1e9, 1e9, 0, 1e9]], r"polygon that is 1e\+09 pixels long"),
        ([[0, 0, 1e7, 0, 1e7, 1e7, 0, 1e7]], r"polygon that is 1e\+07 pixels long"),
        ([[1e9, 1e9, 1e9 + 9, 1e9, 1e9, 1e9 + 9]], "pixels long or away from the image"),
        ([[-1e300, 5, 5, 5, 5, 9]], "pixels long or away from the image"),
        ([[1e308, 5, -1e308, 5, 5, 9]], "pixels long or away from the image"),
        ([[0, 0, 9000, 0] * 300], r"polygon that is 5.4e\+06 pixels long"),
        ([[1, 1, 5, float("nan"), 1, 5]], "not finite numbers"),
        ([[1, 1, 5, "5", 1, 5]], "not finite numbers"),
        ("text", "neither polygons nor run lengths"),
        ({"counts": [600]}, "neither polygons nor run lengths"),
        (
            {"size": [30, 20], "counts": [0, 600]},
            r"mask of size \[30, 20\], but the image is \[20, 30\]",
        ),
        ({"size": 600, "counts": [0, 600]}, "mask of size 600"),
        ({"size": [20, 30], "counts": [600]}, "empty mask"),
        ({"size": [20, 30], "counts": [10, 5]}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": [10, 600]}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": [-10, 5, 605]}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": [0, 599.5, 0.5]}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": ""}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": "\xe9\u20ac"}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": "oo"}, "do not make up the 600 pixels"),
        ({"size": [20, 30], "counts": None}, "do not make up the 600 pixels"),
    ],
)
def test_faults(segmentation, message):
    with pytest.raises(DataError, match=f"^file: annotation 7 has .*{message}") as caught:
        read_segmentation(segmentation, SIZE, "file: annotation 7")
    assert "without masks" in str(caught.value) and "\n" not in str(caught.value)


def test_a_flat_polygon_is_read_as_one():
    outline = [3, 2, 20, 2, 20, 11.5, 3, 11.5]
    flat = read_segmentation(outline, SIZE, "")
    assert flat == read_segmentation([outline], SIZE, "")
    assert decode_masks([flat], SIZE)[0, 2:11, 3:20].all()


def test_a_polygon_may_leave_the_image():
    runs = read_segmentation([[-500, -500, 600, -500, 600, 9, -500, 9]], SIZE, "")
    (mask,) = decode_masks([runs], SIZE)
    assert mask[:9].all() and not mask[9:].any()


def test_a_string_that_goes_on_and_on_is_refused():
    with pytest.raises(DataError, match="do not make up the 600 pixels"):
        read_segmentation({"size": [20, 30], "counts": "o" * 3_000_000}, SIZE, "")


def test_an_empty_mask():
    assert decode_masks([empty_mask(SIZE)], SIZE).sum() == 0


@pytest.mark.parametrize("cut", [1, 3])
def test_a_cut_string_is_found(cut):
    whole = compressed(random_mask())
    with pytest.raises(DataError, match="do not make up the 600 pixels"):
        read_segmentation({**whole, "counts": whole["counts"][:-cut]}, SIZE, "")


@pytest.mark.parametrize(
    "box", [[0, 0, 30, 20], [3, 2, 19, 14], [4.3, 1.7, 25.6, 16.2], [29, 18.5, 30, 20]]
)
@pytest.mark.parametrize("cells", [4, 12])
def test_crops_are_near_the_covered_area(box, cells):
    yy, xx = np.mgrid[:20, :30] + 0.5
    mask = ((yy - 9) / 8) ** 2 + ((xx - 16) / 12) ** 2 < 1
    (crop,) = crop_masks(mask[None], np.float32([box]), cells)
    wanted = coverage(mask, box, cells)
    assert (
        crop.dtype == np.float32
        and crop.shape == (cells, cells)
        and 0 <= crop.min() <= crop.max() <= 1
    )
    assert (
        np.abs(crop - wanted).mean() < 0.05 and abs(crop.mean() - wanted.mean()) < 0.01
    )  # edges are a little softer
    clear = (wanted < 0.25) | (wanted > 0.75)
    np.testing.assert_array_equal((crop > 0.5)[clear], (wanted > 0.5)[clear])


def test_crops_equal_many_bilinear_samples():
    mask, box, cells, samples = random_mask(), [3.3, 4.8, 21.9, 12.1], 5, 40
    (crop,) = crop_masks(mask[None], np.float32([box]), cells)
    places = (np.arange(cells * samples) + 0.5) / (cells * samples)
    x, y = box[0] + places * (box[2] - box[0]) - 0.5, box[1] + places * (box[3] - box[1]) - 0.5
    dense = np.array([[bilinear(mask, row, column) for column in x] for row in y])
    wanted = dense.reshape(cells, samples, cells, samples).mean(axis=(1, 3))
    np.testing.assert_allclose(crop, wanted, atol=1e-3)


def test_a_large_box_gives_the_covered_area():
    mask = np.zeros((1, 300, 400), bool)
    mask[0, 30:217, 80:333] = True
    (crop,) = crop_masks(mask, np.float32([[50, 20, 370, 260]]), 8)  # cells of 40 x 30 pixels
    np.testing.assert_allclose(crop, coverage(mask[0], [50, 20, 370, 260], 8), atol=0.01)


def test_a_small_box_is_interpolated_and_sees_the_pixels_around_it():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 2:4, 2:4] = True
    (crop,) = crop_masks(mask, np.float32([[2, 2, 4, 4]]), 64)
    places = 2 + (np.arange(64) + 0.5) / 32
    edge = np.interp(places, [1.5, 2.5, 3.5, 4.5], [0, 1, 1, 0])  # between the centers of pixels
    np.testing.assert_allclose(crop, np.outer(edge, edge), atol=0.01)
    assert (crop[1:-1, 1:-1] > 0.25).all()


def test_where_the_image_ends_the_mask_goes_on():
    assert crop_masks(np.ones((1, 6, 9), bool), np.float32([[0, 0, 9, 6]]), 16).min() > 1 - 1e-6


def test_a_mask_far_from_its_box_is_not_seen():
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 12:, 20:] = True
    assert not crop_masks(masks, np.float32([[0, 0, 9, 9], [0, 0, 9, 9]]), 16).any()


@pytest.mark.parametrize("method", ["sample", "expand"])
def test_what_was_cut_out_is_pasted_where_it_was(method):
    yy, xx = np.mgrid[:200, :300] + 0.5
    masks = np.stack(
        [
            ((yy - y) / h) ** 2 + ((xx - x) / w) ** 2 < 1
            for y, x, h, w in (
                (100, 140, 60, 100),
                (30, 40, 12, 20),
                (150, 250, 7, 9),
                (190, 290, 40, 30),
                (90, 3, 30, 8),
            )
        ]
    )
    boxes = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    crops = crop_masks(masks, np.float32(boxes), 112).reshape(5, 28, 4, 28, 4).mean(axis=(2, 4))
    pasted = paste_masks(crops, np.float32(boxes), 200, 300, method)
    iou = (masks & pasted).sum(axis=(1, 2)) / (masks | pasted).sum(axis=(1, 2))
    assert iou.min() > (
        0.97 if method == "sample" else 0.8
    )  # "expand" adds up to a pixel right and below
