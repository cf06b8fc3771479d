from gluonnorm.data import EvalTransform, Record, TrainTransform, resize_size
from gluonnorm.types import Preprocess

import numpy as np
import pytest

RAW = Preprocess(short=(24,), max_size=100, normalize=False)


def record_of(image, boxes=(), labels=(), crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
    return Record(image, boxes, np.array(labels, np.int32), crowd, 5, "a.jpg")


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_bilinear(image, height, width):
    """Pixel centres at half coordinates, edges repeated."""
    rows = np.clip((np.arange(height) + 0.5) * image.shape[0] / height - 0.5, 0, image.shape[0] - 1)
    columns = np.clip((np.arange(width) + 0.5) * image.shape[1] / width - 0.5, 0, image.shape[1] - 1)
    result = np.zeros((height, width, 3))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            top, left = int(row), int(column)
            bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            a, b = row - top, column - left
            result[y, x] = ((1 - a) * ((1 - b) * image[top, left] + b * image[top, right])
                            + a * ((1 - b) * image[bottom, left] + b * image[bottom, right]))
    return result


@pytest.mark.parametrize("height, width, short, max_size, wanted", [
    (480, 640, 800, 1333, (800, 1067)),
    (640, 480, 800, 1333, (1067, 800)),
    (100, 400, 800, 1333, (333, 1333)),
    (600, 600, 600, 1000, (600, 600)),
    (1, 1000, 600, 1000, (1, 1000)),
    (1, 3000, 600, 1000, (1, 1000)),  # 1/3 pixel, but no image is empty
    (375, 500, 600, 800, (600, 800)),
])
def test_resize_size(height, width, short, max_size, wanted):
    assert resize_size(height, width, short, max_size) == wanted


def test_resize_size_short_is_exact_or_long_is_max():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 4000, (500, 2)).tolist():
        result = resize_size(height, width, 300, 500)
        assert max(result) <= 500 and (min(result) == 300 or max(result) == 500)


@pytest.mark.parametrize("size", [(16, 20), (31, 24), (48, 70)])
def test_resizing_is_bilinear(size):
    image = noise(*size)
    sample = EvalTransform(RAW)(record_of(image))
    wanted = slow_bilinear(image, *resize_size(*size, 24, 100))
    assert sample.image.dtype == np.float32 and sample.image.flags.c_contiguous
    assert np.abs(sample.image.transpose(1, 2, 0) - wanted).max() < 1  # 8-bit arithmetic


def test_normalize_and_raw():
    image = noise(24, 30)
    normalized = Preprocess(short=(24,), max_size=100, mean=(10, 20, 30), std=(2, 4, 5))
    np.testing.assert_array_equal(EvalTransform(RAW)(record_of(image)).image, image.transpose(2, 0, 1))
    np.testing.assert_allclose(EvalTransform(normalized)(record_of(image)).image,
                               ((image - np.array([10.0, 20, 30])) / [2, 4, 5]).transpose(2, 0, 1), rtol=1e-6)


def test_boxes_scale_by_axis_and_metadata_stays():
    sample = EvalTransform(Preprocess(short=(25,), max_size=100))(record_of(noise(10, 33), [[1, 2, 30, 9]], [4]))
    assert sample.image.shape == (3, 25, 83)  # 82.5 rounded up
    np.testing.assert_allclose(sample.scale, [83 / 33, 2.5], rtol=1e-6)
    np.testing.assert_allclose(sample.boxes, [[83 / 33, 5, 30 * 83 / 33, 22.5]], rtol=1e-6)
    assert sample.size.tolist() == [10, 33] and (sample.image_id, sample.name) == (5, "a.jpg")
    assert sample.labels.tolist() == [4] and sample.boxes.dtype == np.float32


def test_flip_moves_pixels_and_boxes_together():
    image = np.zeros((24, 40, 3), np.uint8)
    image[5:12, 3:10] = 255
    sample = TrainTransform(RAW, flip=1)(record_of(image, [[3, 5, 10, 12]], [0]), np.random.default_rng(0))
    rows, columns = np.nonzero(sample.image[0])
    assert sample.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    assert sample.boxes[0, 0] == 30


def test_crowd_and_empty_boxes_are_left_out():
    record = record_of(noise(24, 30), [[1, 1, 5, 5], [2, 2, 9, 9], [3, 3, 3, 9]], [0, 1, 2], [True, False, False])
    for sample in (EvalTransform(RAW)(record), TrainTransform(RAW)(record, np.random.default_rng(0))):
        assert sample.labels.tolist() == [1] and sample.boxes.shape == (1, 4)


def test_no_boxes_and_one_pixel():
    sample = TrainTransform(RAW, flip=1)(record_of(noise(1, 1)), np.random.default_rng(0))
    assert sample.image.shape == (3, 24, 24) and sample.boxes.shape == (0, 4) and sample.labels.shape == (0,)


def test_train_draws_every_length_and_flips_as_often_as_told():
    transform = TrainTransform(Preprocess(short=(8, 12, 16), max_size=100, normalize=False), flip=0.25)
    record = record_of(noise(8, 10), [[0, 0, 2, 8]], [0])
    rng = np.random.default_rng(0)
    samples = [transform(record, rng) for _ in range(400)]
    assert {sample.image.shape[1] for sample in samples} == {8, 12, 16}
    assert 70 < sum(sample.boxes[0, 0] > 0 for sample in samples) < 130
    assert EvalTransform(Preprocess(short=(8, 12, 16), max_size=100))(record).image.shape[1] == 16


def test_the_generator_decides():
    transform = TrainTransform(Preprocess(short=tuple(range(8, 30)), max_size=100))
    record = record_of(noise(8, 10), [[0, 0, 2, 8]], [0])
    first, again = (transform(record, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)


def test_flip_must_be_a_probability():
    with pytest.raises(ValueError, match="flip is 2"):
        TrainTransform(RAW, flip=2)
