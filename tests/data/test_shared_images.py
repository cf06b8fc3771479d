"""Images that are in two data sets."""

from gluonnorm.data import COCODataset, GluonCVDataset, draw_shapes
from gluonnorm.data.shared_images import shared_images, shared_images_note

import numpy as np

CLASSES = ["a", "b"]


def dataset(*images):
    """A data set whose images have these boxes, all of class a; the names are 0, 1, 2, ..."""
    items = []
    for boxes in images:
        label = np.array([[*box, 0] for box in boxes], np.float32).reshape(-1, 5)
        items.append((np.zeros((20, 30, 3), np.uint8), label))
    return GluonCVDataset(items, classes=CLASSES)


ONE, OTHER, THIRD = (1, 2, 9, 8), (3, 3, 12, 15), (0, 0, 30, 20)


def test_an_image_is_the_same_if_its_name_and_all_of_its_boxes_are():
    training = dataset([ONE], [OTHER, THIRD], [ONE, OTHER], [])
    names = shared_images(training, dataset([ONE], [THIRD, OTHER], [ONE], []))
    # The order of boxes may differ, image 2 has lost one, and an image without boxes may be any.
    assert len(names) == 2 and names == shared_images(training, training)[:2]
    assert shared_images(training, dataset([OTHER], [ONE])) == ()
    assert shared_images_note(training, dataset([])) == ""
    note = shared_images_note(training, dataset([ONE], [OTHER]))
    assert note.startswith("1 of 2 validation images are training images too (the same name")


def test_splits_that_number_their_images_alike_share_none(tmp_path):
    draw_shapes(tmp_path, train=3, val=3, size=(64, 96))
    train, val = (
        COCODataset(tmp_path / "annotations" / f"instances_{split}.json", tmp_path / split)
        for split in ("train", "val")
    )
    assert train.listing.image_names == val.listing.image_names
    assert shared_images(train, val) == ()
    with_boxes = len(np.unique(train.listing.images))
    assert len(shared_images(train, train)) == with_boxes > 0
