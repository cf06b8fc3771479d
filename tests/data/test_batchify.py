from gluonnorm.data import Sample, batchify, pad_value
from gluonnorm.types import Preprocess

import numpy as np
import pytest


def sample_of(height, width, boxes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.random.default_rng(height).normal(size=(3, height, width)).astype(np.float32)
    return Sample(image, boxes, np.arange(len(boxes), dtype=np.int32), np.float32([2, 3]), np.array([7, 8]), height,
                  f"{height}.jpg")


def test_images_are_padded_right_and_bottom():
    samples = [sample_of(10, 40, []), sample_of(33, 20, [])]
    images = batchify(samples, (1, 2, 3), 32).images.asnumpy()
    assert images.shape == (2, 3, 64, 64) and images.dtype == np.float32
    for image, sample in zip(images, samples):
        _, height, width = sample.image.shape
        np.testing.assert_array_equal(image[:, :height, :width], sample.image)
        for channel, value in enumerate((1, 2, 3)):
            assert (image[channel, height:] == value).all() and (image[channel, :, width:] == value).all()


@pytest.mark.parametrize("multiple, wanted", [(1, (31, 64)), (16, (32, 64)), (64, (64, 64)), (128, (128, 128))])
def test_sides_are_rounded_up(multiple, wanted):
    assert batchify([sample_of(31, 64, [])], (0, 0, 0), multiple).images.shape[2:] == wanted


def test_boxes_are_padded():
    truths = [[1, 2, 3, 4]], [], [[0, 0, 1, 1], [5, 5, 6, 6]]
    batch = batchify([sample_of(9, 9, boxes) for boxes in truths], (0, 0, 0))
    none = [-1, -1, -1, -1]
    assert batch.boxes.asnumpy().tolist() == [[[1, 2, 3, 4], none], [none, none], [[0, 0, 1, 1], [5, 5, 6, 6]]]
    assert batch.labels.asnumpy().tolist() == [[0, -1], [-1, -1], [0, 1]]
    assert batch.boxes.dtype == batch.labels.dtype == np.float32


def test_no_boxes_at_all_leaves_one_padded_row():
    batch = batchify([sample_of(9, 9, [])], (0, 0, 0))
    assert batch.boxes.asnumpy().tolist() == [[[-1] * 4]] and batch.labels.asnumpy().tolist() == [[-1]]


def test_metadata():
    info = batchify([sample_of(9, 9, []), sample_of(8, 8, [])], (0, 0, 0)).samples
    assert [(entry.image_id, entry.name) for entry in info] == [(9, "9.jpg"), (8, "8.jpg")]
    assert info[0].scale.tolist() == [2, 3] and info[0].size.tolist() == [7, 8]


def test_no_samples():
    with pytest.raises(ValueError, match="no samples"):
        batchify([], (0, 0, 0))


def test_pad_value_is_the_mean_as_the_network_sees_it():
    assert pad_value(Preprocess(mean=(1, 2, 3))) == (0, 0, 0)
    assert pad_value(Preprocess(mean=(1, 2, 3), normalize=False)) == (1, 2, 3)
