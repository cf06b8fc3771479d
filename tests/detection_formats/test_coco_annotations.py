"""Detections as a COCO data set, read again by this package and by pycocotools."""

import contextlib
import io
import json

from gluonnorm.cropped_masks import CroppedMasks
from gluonnorm.data import COCODataset
from gluonnorm.detection_formats import coco_data
from gluonnorm.errors import InputError
from gluonnorm.types import Detections

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

CLASSES = ("cat", "dog", "猫")
SIZE = (20, 30)


def detections(*rows, masks=None, inclusive=False):
    """Rows of (x1, y1, x2, y2, score, id)."""
    array = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(array[:, :4], array[:, 4], array[:, 5].astype(np.int32), masks, inclusive)


def filled(*boxes):
    """Masks that fill boxes of whole pixels."""
    masks = np.zeros((len(boxes), *SIZE), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = True
    return masks


def written(tmp_path, content, names=("a.png", "sub/b.png")):
    """Write the file and its images."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / name)
    path = tmp_path / "found.json"
    path.write_text(json.dumps(content))
    return path


def test_the_package_reads_what_it_wrote(tmp_path):
    first = detections([1, 2, 4, 8, 0.75, 2], [10, 11, 30, 20, 0.5, 0])
    images = [("a.png", SIZE, first), ("sub/b.png", SIZE, detections())]
    dataset = COCODataset(written(tmp_path, coco_data(images, CLASSES)), tmp_path)
    assert dataset.classes == CLASSES and len(dataset) == 2
    np.testing.assert_array_equal(dataset[0][1], first.boxes)
    np.testing.assert_array_equal(dataset[0][2], first.ids)
    assert len(dataset[1][1]) == 0


def test_masks_and_inclusive_corners(tmp_path):
    masks = filled((1, 2, 4, 8), (10, 11, 30, 20))
    masks[0, 3, 2] = False  # a hole
    # The far corners are the last pixels.
    found = detections([1, 2, 3, 7, 0.75, 2], [10, 11, 29, 19, 0.5, 0], inclusive=True)
    for form in (masks, CroppedMasks.of(masks)):
        content = coco_data([("a.png", SIZE, found._replace(masks=form))], CLASSES)
        assert [entry["bbox"] for entry in content["annotations"]] == [
            [1, 2, 3, 6],
            [10, 11, 20, 9],
        ]
        assert [entry["area"] for entry in content["annotations"]] == [17, 180]
        dataset = COCODataset(written(tmp_path, content), tmp_path, masks=True)
        np.testing.assert_array_equal(np.asarray(dataset[0].masks, bool), masks)


def test_ids_of_another_data_set_and_scores_for_evaluation(tmp_path):
    found = detections([1, 2, 4, 8, 0.75, 2], [10, 11, 30, 20, 0.5, 0])
    content = coco_data([("a.png", SIZE, found)], CLASSES, category_ids=np.array([7, 9, 90]))
    assert content["categories"] == [
        {"id": 7, "name": "cat"},
        {"id": 9, "name": "dog"},
        {"id": 90, "name": "猫"},
    ]
    assert [entry["category_id"] for entry in content["annotations"]] == [90, 7]
    path = written(tmp_path, content, ["a.png"])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        results = truth.loadRes(content["annotations"])
    assert [entry["score"] for entry in results.dataset["annotations"]] == [0.75, 0.5]


def test_boxes_are_clipped_and_what_is_outside_is_left_out():
    found = detections([-5, -5, 10, 10, 0.9, 0], [30, 0, 40, 9, 0.8, 1], [3, 3, 3, 9, 0.7, 1])
    content = coco_data([("a.png", SIZE, found)], CLASSES)
    assert [entry["bbox"] for entry in content["annotations"]] == [[0, 0, 10, 10]]
    # A mask without pixels is no annotation, and the ids go on without a gap.
    masks = filled((0, 0, 0, 0), (1, 1, 2, 2))
    found = detections([0, 0, 9, 9, 0.9, 0], [1, 1, 2, 2, 0.8, 1], masks=masks)
    content = coco_data([("a.png", SIZE, found), ("b.png", SIZE, found)], CLASSES)
    assert [entry["id"] for entry in content["annotations"]] == [1, 2]
    assert [entry["image_id"] for entry in content["annotations"]] == [0, 1]


def test_wrong_input_is_refused():
    found = detections([1, 2, 4, 8, 0.75, 2])
    with pytest.raises(InputError, match="3 classes and 2 category ids; want one for each class"):
        coco_data([("a.png", SIZE, found)], CLASSES, category_ids=[1, 2])
    with pytest.raises(InputError, match="classes 2 to 2, but the data set has 2 classes"):
        coco_data([("a.png", SIZE, found)], CLASSES[:2])
    masked = found._replace(masks=filled((1, 2, 4, 8)))
    with pytest.raises(InputError, match=r"masks are \(20, 30\), and the image is \(30, 20\)"):
        coco_data([("a.png", (30, 20), masked)], CLASSES)
