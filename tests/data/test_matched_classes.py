"""A data set with the classes of a network: matched by name, the others without boxes."""

from gluonnorm.data import DataError, GluonCVDataset, MatchedClasses
from gluonnorm.evaluation import evaluate_coco

import numpy as np
import pytest

IMAGE = np.zeros((20, 30, 3), np.uint8)
BOXES = np.array([[1, 2, 5, 8, 0], [2, 3, 9, 9, 1], [4, 4, 20, 12, 2], [0, 0, 9, 9, 1]])


@pytest.fixture
def dataset():
    return GluonCVDataset([(IMAGE, BOXES), (IMAGE, BOXES[:1])], classes=["cat", "dog", "cow"])


def test_the_same_classes_change_nothing(dataset):
    matched = MatchedClasses(dataset, dataset.classes)
    assert matched.note == "" and matched.category_ids == dataset.category_ids
    assert matched.coco_truth() == dataset.coco_truth() and len(matched) == 2
    assert matched[0].labels.tolist() == [0, 1, 2, 1]
    assert (matched.sizes() == dataset.sizes()).all()


def test_another_order_is_no_difference_to_tell(dataset):
    matched = MatchedClasses(dataset, ["cow", "cat", "dog"])
    assert matched.note == "" and matched.category_ids == (3, 1, 2)
    assert matched[0].labels.tolist() == [1, 2, 0, 2]


def test_fewer_and_other_classes(dataset):
    matched = MatchedClasses(dataset, ["horse", "dog", "bird", "cat"])
    assert matched.note == (
        "scored by name: dog, cat; not in the data set: horse, bird (no score); "
        "not in the network: cow (left out)"
    )
    assert matched.shared_ids == (2, 1)
    labeled = matched[0]
    assert labeled.labels.tolist() == [3, 1, 1] and len(labeled.crowd) == 3
    assert (labeled.boxes == BOXES[[0, 1, 3], :4]).all()
    truth = matched.coco_truth()
    names = {entry["id"]: entry["name"] for entry in truth["categories"]}
    assert [names[category_id] for category_id in matched.category_ids] == list(matched.classes)
    assert len(names) == 4 and len(truth["images"]) == 2
    assert sorted(names[entry["category_id"]] for entry in truth["annotations"]) == [
        "cat",
        "cat",
        "dog",
        "dog",
    ]


def test_scores_of_shared_classes_are_those_of_them_alone(dataset):
    matched = MatchedClasses(dataset, ["horse", "dog", "cat"])
    truth = matched.coco_truth()
    results = []
    for annotation in truth["annotations"]:
        score = 0.9 if annotation["category_id"] == 2 else 0.4
        row = {"image_id": annotation["image_id"], "score": score, "bbox": annotation["bbox"]}
        results.append({**row, "category_id": annotation["category_id"]})
        results.append({**row, "category_id": matched.category_ids[0]})  # horses that are none
    scores = evaluate_coco(truth, results)
    assert scores["AP/horse"] == -1
    assert scores["AP/dog"] == scores["AP/cat"] == scores["AP"] == pytest.approx(1)


def test_no_shared_class_is_an_error(dataset):
    with pytest.raises(DataError, match="none of the classes Cat, horse is .*; did you mean cat"):
        MatchedClasses(dataset, ["Cat", "horse"])
