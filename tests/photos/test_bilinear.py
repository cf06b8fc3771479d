"""Bilinear resizing of bytes in NumPy against OpenCV's, bit for bit."""

import subprocess
import sys

from gluonnorm.photos.bilinear import BLOCK_ROWS, resize_bytes

import mxnet as mx
import numpy as np
import pytest

BILINEAR = 1  # of mx.image.imresize


def by_opencv(image, height, width):
    pixels = mx.nd.array(image, ctx=mx.cpu(), dtype="uint8")
    return mx.image.imresize(pixels, width, height, interp=BILINEAR).asnumpy()


def noise(rng, height, width):
    """Random bytes, or only black and white, where rounding errors are largest."""
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if rng.random() < 0.3:
        return np.where(image > 127, np.uint8(255), np.uint8(0))
    return image


def assert_same_bytes(image, height, width):
    resized = resize_bytes(image, height, width)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(
        resized, by_opencv(image, height, width), err_msg=f"{image.shape[:2]} -> {(height, width)}"
    )


@pytest.mark.parametrize("largest", [12, 90, 400])
def test_random_sizes(largest):
    rng = np.random.default_rng(largest)
    for _ in range(3000 // largest):
        source = rng.integers(1, largest, 2).tolist()
        target = rng.integers(1, largest, 2).tolist()
        assert_same_bytes(noise(rng, *source), *target)


@pytest.mark.parametrize("row_factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("column_factor", [1, 2, 3, 4, 5])
def test_integer_factors(row_factor, column_factor):
    rng = np.random.default_rng(row_factor * column_factor)
    for _ in range(4):
        height, width = rng.integers(1, 40, 2).tolist()
        large = height * row_factor, width * column_factor
        assert_same_bytes(noise(rng, height, width), *large)
        assert_same_bytes(noise(rng, *large), height, width)


@pytest.mark.parametrize(
    "source, target",
    [
        ((1, 1), (7, 5)),
        ((1, 30), (9, 70)),
        ((30, 1), (70, 9)),
        ((2, 2), (1, 1)),
        ((300, 200), (1, 1)),
        ((5, 8), (1, 20)),
        ((2, 1), (1, 3)),
        ((480, 640), (600, 800)),
        ((1000, 700), (47, 33)),
        ((40, 50), (BLOCK_ROWS, 60)),
        ((40, 50), (BLOCK_ROWS + 1, 60)),
    ],
)
def test_sizes_at_the_limits(source, target):
    assert_same_bytes(noise(np.random.default_rng(0), *source), *target)


def test_views_without_contiguous_memory():
    image = noise(np.random.default_rng(0), 60, 80)
    for view in (image[::-1, ::2], image.transpose(1, 0, 2), image[:, :, ::-1]):
        np.testing.assert_array_equal(resize_bytes(view, 33, 45), resize_bytes(view.copy(), 33, 45))
        np.testing.assert_array_equal(resize_bytes(view, 20, 20), resize_bytes(view.copy(), 20, 20))


def test_photos_are_prepared_without_mxnet(tmp_path):
    program = """
import sys
sys.modules["mxnet"] = None
import numpy as np
from gluonnorm import visualize
from gluonnorm.photos import boxes, files, paste
from gluonnorm.photos.prepare import prepare
from gluonnorm.types import Preprocess
for method in ("pixel", "float", "antialias"):
    rules = Preprocess(short=(20,), max_size=40, resize=method)
    assert prepare(np.zeros((30, 40, 3), np.uint8), rules).pixels.shape == (3, 20, 27)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=str(tmp_path))
