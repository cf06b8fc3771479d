from gluonnorm.data import Sample, batchify
from gluonnorm.errors import InputError

import numpy as np
import pytest


def sample_of(height, width, boxes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.random.default_rng(height).normal(size=(3, height, width)).astype(np.float32)
    return Sample(
        image,
        boxes,
        np.arange(len(boxes), dtype=np.int32),
        np.float32([2, 3]),
        np.array([7, 8]),
        height,
        f"{height}.jpg",
    )


def test_images_are_padded_right_and_bottom():
    samples = [sample_of(10, 40, []), sample_of(33, 20, [])]
    images = batchify(samples, (1, 2, 3)).images.asnumpy()
    assert images.shape == (2, 3, 33, 40) and images.dtype == np.float32
    for image, sample in zip(images, samples):
        _, height, width = sample.image.shape
        np.testing.assert_array_equal(image[:, :height, :width], sample.image)
        for channel, value in enumerate((1, 2, 3)):
            assert (image[channel, height:] == value).all() and (
                image[channel, :, width:] == value
            ).all()


def test_boxes_are_padded():
    truths = [[1, 2, 3, 4]], [], [[0, 0, 1, 1], [5, 5, 6, 6]]
    batch = batchify([sample_of(9, 9, boxes) for boxes in truths], (0, 0, 0))
    none = [-1, -1, -1, -1]
    assert batch.boxes.asnumpy().tolist() == [
        [[1, 2, 3, 4], none],
        [none, none],
        [[0, 0, 1, 1], [5, 5, 6, 6]],
    ]
    assert batch.labels.asnumpy().tolist() == [[0, -1], [-1, -1], [0, 1]]
    assert batch.boxes.dtype == batch.labels.dtype == np.float32


def test_no_boxes_at_all_leaves_one_padded_row():
    batch = batchify([sample_of(9, 9, [])], (0, 0, 0))
    assert batch.boxes.asnumpy().tolist() == [[[-1] * 4]] and batch.labels.asnumpy().tolist() == [
        [-1]
    ]


def test_masks_are_padded_as_boxes_are():
    samples = [sample_of(9, 9, [[0, 0, 5, 5]] * count) for count in (1, 0, 2)]
    masks = [
        np.random.uniform(0, 1, (len(sample.boxes), 6, 6)).astype(np.float32) for sample in samples
    ]
    batch = batchify(
        [sample._replace(masks=mask) for sample, mask in zip(samples, masks)], (0, 0, 0)
    )
    found = batch.masks.asnumpy()
    assert found.shape == (3, 2, 6, 6) and found.dtype == np.float32
    for padded, mask in zip(found, masks):
        np.testing.assert_array_equal(padded[: len(mask)], mask)
        assert not padded[len(mask) :].any()
    assert batchify([samples[1]._replace(masks=masks[1])], (0, 0, 0)).masks.shape == (1, 1, 6, 6)


def test_without_masks_there_are_none_and_some_without_are_refused():
    some = sample_of(9, 9, [])
    assert batchify([some], (0, 0, 0)).masks is None
    with pytest.raises(InputError, match="1 of 2 samples have masks"):
        batchify([some, some._replace(masks=np.zeros((0, 6, 6), np.float32))], (0, 0, 0))


def test_metadata():
    info = batchify([sample_of(9, 9, []), sample_of(8, 8, [])], (0, 0, 0)).samples
    assert [(entry.image_id, entry.name) for entry in info] == [(9, "9.jpg"), (8, "8.jpg")]
    assert info[0].scale.tolist() == [2, 3] and info[0].size.tolist() == [7, 8]


def test_no_samples():
    with pytest.raises(InputError, match="no samples"):
        batchify([], (0, 0, 0))


def test_a_batch_keeps_how_corners_are_counted():
    image = np.zeros((3, 4, 4), np.float32)
    no_boxes = np.zeros((0, 4), np.float32)
    for inclusive in (False, True):
        sample = Sample(
            image, no_boxes, np.int32([]), np.ones(2), np.array([4, 4]), 1, "", None, inclusive
        )
        assert batchify([sample], (0, 0, 0)).samples[0].inclusive is inclusive
