"""Pictures on their way in: against GluonCV, Pillow, and a slow reference."""

import math
from fractions import Fraction

from gluonnorm.photos.files import ImageError, image_size, read_image
from gluonnorm.photos.prepare import check_image, network_input
from gluonnorm.photos.resize import resize, resize_size
from gluonnorm.types import RESIZE_METHODS, ROUNDINGS, Preprocess

import mxnet as mx
import numpy as np
import pytest
from gluoncv.data.transforms.presets.rcnn import FasterRCNNDefaultValTransform
from PIL import Image
from reference.resizing import antialiased, bilinear

SIZES = [
    ((31, 44), (48, 61)),
    ((48, 70), (24, 35)),
    ((50, 7), (3, 40)),
    ((1, 1), (5, 6)),
    ((9, 1), (4, 4)),
]


def photo(height, width):
    return np.random.default_rng(height * width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


def exact_size(height, width, short, max_size, rounding):
    """In fractions; for "floor" the quotient is rounded to double precision first (torchvision)."""
    scale = min(Fraction(short, min(height, width)), Fraction(max_size, max(height, width)))
    if rounding == "floor":
        scale = min(short / min(height, width), max_size / max(height, width))
        return tuple(max(1, math.floor(side * scale)) for side in (height, width))
    if rounding == "nearest":
        return tuple(max(1, math.floor(side * scale + Fraction(1, 2))) for side in (height, width))
    return tuple(max(1, round(side * scale)) for side in (height, width))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_size_after_resizing(rounding):
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 2000, (2000, 2)).tolist():
        size = resize_size(height, width, 600, 1000, rounding)
        assert size == exact_size(height, width, 600, 1000, rounding), (height, width)


@pytest.mark.parametrize(
    "size, short, wanted",
    [
        (
            (500, 400),
            602,
            {"nearest": (753, 602), "even": (752, 602), "floor": (752, 602)},
        ),  # 752.5
        (
            (334, 334),
            800,
            {"nearest": (800, 800), "even": (800, 800), "floor": (799, 799)},
        ),  # 799.9999999999999
        ((480, 640), 800, {"nearest": (800, 1067), "even": (800, 1067), "floor": (800, 1066)}),
        ((427, 640), 800, {"nearest": (800, 1199), "even": (800, 1199), "floor": (800, 1199)}),
        ((1250, 2082), 800, dict.fromkeys(ROUNDINGS, (800, 1332))),  # just within the limit
        (
            (100, 400),
            800,
            {"nearest": (333, 1333), "even": (333, 1333), "floor": (333, 1333)},
        ),  # the longer side's limit
        ((1, 20000), 800, dict.fromkeys(ROUNDINGS, (1, 1333))),  # less than a pixel
    ],
)
def test_rounding_makes_a_difference(size, short, wanted):
    assert {rounding: resize_size(*size, short, 1333, rounding) for rounding in ROUNDINGS} == wanted


def test_unknown_names():
    with pytest.raises(ValueError, match="rounding is 'up'; give one of nearest, even, floor"):
        resize_size(4, 4, 4, 4, "up")
    with pytest.raises(ValueError, match="method is 'cubic'; give one of pixel, float, antialias"):
        resize(photo(4, 4), 2, 2, "cubic")


@pytest.mark.parametrize(
    "size", [(90, 120), (120, 91), (181, 122), (40, 335), (33, 33), (300, 71), (1, 1)]
)
def test_pixel_and_even_equal_gluoncv(size):
    image, rules = (
        photo(*size),
        Preprocess(short=(61,), max_size=100, resize="pixel", rounding="even"),
    )
    wanted, _, _ = FasterRCNNDefaultValTransform(61, 100)(
        mx.nd.array(image, dtype="uint8"), np.zeros((1, 5))
    )
    found = network_input(image, resize_size(*size, 61, 100, "even"), rules)
    assert found.shape == wanted.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.asnumpy(), rtol=0, atol=2e-6)  # a gray level is 0.017


@pytest.mark.parametrize("before, after", SIZES)
def test_antialias_equals_pillow_and_the_area_average(before, after):
    image = photo(*before)
    found = resize(image, *after, "antialias")
    pillow = Image.fromarray(image).resize(after[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, np.asarray(pillow))
    assert np.abs(found - antialiased(image, *after)).max() < 1.01  # bytes, rounded once an axis
    exact = resize(image.astype(np.float32), *after, "antialias")
    assert exact.dtype == np.float32
    np.testing.assert_allclose(exact, antialiased(image, *after), rtol=0, atol=1e-3)


@pytest.mark.parametrize("before, after", SIZES)
def test_float_equals_the_slow_formula(before, after):
    image, wanted = photo(*before), bilinear(photo(*before), *after)
    for picture, method in (
        (image, "float"),
        (image.astype(np.float32), "float"),
        (image.astype(np.float32), "pixel"),
    ):
        found = resize(picture, *after, method)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-3)
    bytes_ = resize(image, *after, "pixel")
    assert bytes_.dtype == np.uint8 and np.abs(bytes_ - wanted).max() < 1.01


def test_float_at_full_size_stays_within_single_precision_of_the_formula():
    image = photo(3, 480).astype(np.float32)
    np.testing.assert_allclose(
        resize(image, 5, 1067, "float"), bilinear(image, 5, 1067), rtol=0, atol=0.02
    )


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_same_size_leaves_the_pixels_untouched(method, dtype):
    image = photo(20, 30).astype(dtype)
    np.testing.assert_array_equal(resize(image, 20, 30, method), image)
    raw = network_input(image, (20, 30), Preprocess(normalize=False, resize=method))
    np.testing.assert_array_equal(raw, image.transpose(2, 0, 1))
    raw[:] = 0
    np.testing.assert_array_equal(image, photo(20, 30))  # what came in is not what went out


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_views_are_as_good_as_copies(method, dtype):
    view = photo(20, 60).astype(dtype)[::-1, ::2]
    np.testing.assert_array_equal(resize(view, 15, 40, method), resize(view.copy(), 15, 40, method))


def test_normalized_and_in_the_order_of_the_network():
    image = photo(6, 7)
    rules = Preprocess(mean=(1, 2, 3), std=(4, 5, 6), order="BGR")
    wanted = ((image - np.float32([1, 2, 3])) / np.float32([4, 5, 6])).transpose(2, 0, 1)
    found = network_input(image, (6, 7), rules)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, wanted[::-1], rtol=1e-6)
    np.testing.assert_array_equal(
        network_input(image, (6, 7), Preprocess(normalize=False, order="BGR"))[0], image[:, :, 2]
    )


def test_arrays_that_are_pictures():
    image = photo(1, 1)
    assert check_image(image) is image
    assert check_image(image.astype(np.float64)).dtype == np.float32
    assert check_image(np.float32([[[-20, 100, 275]]])).max() == 275  # what cubic resizing leaves
    gray = np.uint8([[0, 50, 255]]).view(np.matrix)
    np.testing.assert_array_equal(check_image(gray)[0, :, 1], [0, 50, 255])
    unmasked = np.ma.array(image, mask=False)
    assert type(check_image(unmasked)) is type(check_image(gray)) is np.ndarray
    np.testing.assert_array_equal(check_image(unmasked), image)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\); want \(H, W, 3\)"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), "at least one pixel"),
        (np.zeros((4, 5, 3), np.int64), "image is of int64; want uint8, or float32"),
        (np.full((4, 5, 3), np.nan, np.float32), "NaN or infinity"),
        (np.float32([[[1, np.nan, 1]]]), "NaN or infinity"),
        (np.ma.masked_equal(np.full((1, 1, 3), 9, np.uint8), 9), "masked pixels; give image.fill"),
        (np.full((4, 5, 3), np.inf, np.float32), "NaN or infinity"),
        (np.full((4, 5, 3), 65535, np.float32), "from 65535 to 65535; want float32 in 0..255"),
        ([[1, 2, 3]], "image is a list; want a path or an"),
        (None, "image is a NoneType"),
    ],
)
def test_arrays_that_are_none(image, message):
    with pytest.raises(ImageError, match=message):
        check_image(image)


def test_files(tmp_path):
    image = photo(3, 4)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    assert image_size(str(tmp_path / "a.png")) == (3, 4)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="absent.png: no such image file"):
            read(tmp_path / "absent.png")
