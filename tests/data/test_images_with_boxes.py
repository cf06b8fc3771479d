from gluonnorm.data import DataError, GluonCVDataset, ImagesWithBoxes

import numpy as np
import pytest

PHOTOS = [np.full((20 + index, 30, 3), index, np.uint8) for index in range(6)]
LABELS = [
    np.zeros((0, 6)),
    np.array([[1, 2, 5, 8, 1, 0]]),
    np.array([[1, 2, 5, 8, 0, 1]]),  # difficult, so not learned
    np.array([[1, 2, 1, 8, 0, 0]]),  # without area
    np.array([[1, 2, 5, 8, 0, 1], [3, 4, 9, 9, 0, 0]]),
    np.array([[1, 2, 1.5, 8, 0, 0], [29.5, 2, 34, 8, 0, 0]]),  # half a pixel in the image
]


def test_images_without_a_box_to_learn_from_are_left_out():
    items = list(zip(PHOTOS, LABELS))
    dataset = GluonCVDataset(items, classes=["cat", "dog"], difficult=True)
    kept = ImagesWithBoxes(dataset)
    assert len(kept) == 2 and kept.left_out == 4
    assert kept.classes == ("cat", "dog") and kept.category_ids == dataset.category_ids
    assert [kept[index].image[0, 0, 0] for index in range(2)] == [1, 4]
    np.testing.assert_array_equal(kept.sizes(), [[21, 30], [24, 30]])
    assert kept[1].crowd.tolist() == [True, False]
    truth = kept.coco_truth()
    assert [image["height"] for image in truth["images"]] == [21, 24]
    assert len(truth["annotations"]) == 3 and len(truth["categories"]) == 2
    assert kept.skipped == ()
    assert kept.listing.images.tolist() == [0, 1, 1] and kept.listing.labels.tolist() == [1, 0, 0]
    assert kept.listing.crowd.tolist() == [False, True, False]
    assert kept.listing.image_names == ("list[1]", "list[4]")
    np.testing.assert_array_equal(kept.listing.image_sizes, kept.sizes())


def test_nothing_left_is_an_error():
    with pytest.raises(DataError, match="none of 1 images has a box to learn from"):
        ImagesWithBoxes(GluonCVDataset([(PHOTOS[0], LABELS[0])], classes=["cat"]))
