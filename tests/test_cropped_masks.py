"""Masks that are kept as crops can be used like the array of complete masks."""

import copy
import pickle

from gluonnorm.coco_results import coco_results
from gluonnorm.cropped_masks import Crop, CroppedMasks
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

import numpy as np
import pytest
from pycocotools import mask as run_lengths

HEIGHT, WIDTH = 9, 14


@pytest.fixture()
def array():
    """Six masks: scattered pixels, the complete photo, one corner each, and none."""
    masks = np.zeros((6, HEIGHT, WIDTH), bool)
    masks[0, 2:7, 3:9] = np.random.default_rng(1).random((5, 6)) < 0.6
    masks[1] = True
    masks[2, -3:, -2:] = True
    masks[3, :2, :4] = True
    masks[4, :, 5] = True
    return masks


@pytest.fixture()
def cropped(array):
    return CroppedMasks.of(array)


def test_crops_are_as_small_as_the_objects(array, cropped):
    assert CroppedMasks.of(cropped) is cropped
    assert [crop.pixels.shape for crop in cropped.crops[1:]] == [
        (HEIGHT, WIDTH),
        (3, 2),
        (2, 4),
        (HEIGHT, 1),
        (0, 0),
    ]
    np.testing.assert_array_equal(np.asarray(cropped), array)
    assert cropped.shape == array.shape and cropped.dtype == bool and len(cropped) == 6
    assert CroppedMasks([], 3, 4).shape == (0, 3, 4) == np.asarray(CroppedMasks([], 3, 4)).shape


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int64(2),
        slice(1, 4),
        slice(None, None, -1),
        [3, 0],
        np.array([False, True, True, False, False, True]),
        np.array([], int),
        (0, 3, 4),
        (slice(None), 2),
        np.array([[0, 1], [2, 3]]),
        None,
    ],
)
def test_an_index_gives_what_the_array_gives(array, cropped, index):
    found = cropped[index]
    np.testing.assert_array_equal(np.asarray(found), array[index])
    if isinstance(index, (slice, list)):
        assert isinstance(found, CroppedMasks)


def test_an_index_out_of_range_is_an_error(cropped):
    with pytest.raises(IndexError):
        cropped[6]
    with pytest.raises(IndexError):
        cropped[[True, False]]


def test_what_an_array_does_they_do(array, cropped):
    assert [mask.sum() for mask in cropped] == array.sum(axis=(1, 2)).tolist()
    np.testing.assert_array_equal(cropped.any(axis=0), array.any(axis=0))
    np.testing.assert_array_equal(np.sum(cropped, axis=(1, 2)), array.sum(axis=(1, 2)))
    np.testing.assert_array_equal(cropped & ~array[::-1], array & ~array[::-1])
    np.testing.assert_array_equal(array | cropped, array)
    assert (cropped == array).all() and (cropped.astype(np.uint8) == array).all()
    assert cropped.size == array.size
    with pytest.raises(AttributeError, match="no attribute 'height'"):
        cropped.height  # noqa: B018


def test_they_are_copied_and_pickled_as_crops(array, cropped):
    for other in (copy.deepcopy(cropped), pickle.loads(pickle.dumps(cropped))):
        assert isinstance(other, CroppedMasks)
        np.testing.assert_array_equal(np.asarray(other), array)


def detections_with(masks):
    count = len(masks)
    boxes = np.float32([[3, 2, 9, 7]] * count)
    return Detections(boxes, np.linspace(0.9, 0.6, count, dtype=np.float32), np.arange(6), masks)


def test_pictures_and_run_lengths_are_those_of_the_array(array, cropped):
    with_space = CroppedMasks([*cropped.crops[:5], Crop(3, 0, np.zeros((2, 3), bool))], 9, 14)
    image = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    names = list("abcdef")
    drawn = draw(image, detections_with(array), names)
    assert (drawn != image).any()
    wanted = []
    for mask in array:
        encoded = run_lengths.encode(np.asfortranarray(mask, np.uint8))
        wanted.append(encoded["counts"].decode())
    for masks in (array, cropped, with_space):
        np.testing.assert_array_equal(draw(image, detections_with(masks), names), drawn)
        results = coco_results([(1, detections_with(masks))], range(6))
        assert [result["segmentation"]["counts"] for result in results] == wanted
        assert results[0]["segmentation"]["size"] == [HEIGHT, WIDTH]
