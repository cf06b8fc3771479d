"""Pairs, confusion and calibration of a case that is worked out by hand."""

from gluonnorm.evaluation import evaluate_coco
from gluonnorm.evaluation.calibration import calibrate
from gluonnorm.evaluation.confusion import confuse_classes, unfound_objects
from gluonnorm.evaluation.matches import match_detections

import numpy as np
import pytest
from pycocotools import mask as mask_codec

CAT, DOG = 3, 7


def annotation(image_id, category_id, box, iscrowd=0):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "iscrowd": iscrowd}


def result(image_id, category_id, box, score):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


TRUTH = {
    "images": [{"id": 0, "height": 100, "width": 400}, {"id": 1, "height": 100, "width": 400}],
    "categories": [{"id": DOG, "name": "dog"}, {"id": CAT, "name": "cat"}],
    "annotations": [
        annotation(0, CAT, [0, 0, 10, 10]),
        annotation(0, DOG, [50, 0, 10, 10]),
        annotation(0, DOG, [100, 0, 10, 10], iscrowd=1),
        annotation(1, CAT, [0, 0, 20, 20]),
        annotation(1, CAT, [200, 0, 20, 20]),
    ],
}
RESULTS = [
    result(0, CAT, [0, 0, 10, 10], 0.9),  # right
    result(0, CAT, [1, 0, 10, 10], 0.7),  # IoU 9/11, but the object is found already
    result(0, CAT, [50, 0, 10, 8], 0.85),  # IoU 0.8 with the dog
    result(0, DOG, [101, 0, 8, 8], 0.6),  # on crowd
    result(1, CAT, [0, 0, 20, 12], 0.4),  # right, IoU 0.6
    result(1, DOG, [300, 0, 9, 9], 0.95),  # on nothing
]


@pytest.fixture(scope="module")
def matches():
    return match_detections(TRUTH, RESULTS)


def test_pairs(matches):
    assert matches.verdicts.tolist() == [1, 0, 0, -1, 1, 0]
    assert matches.objects.tolist() == [0, -1, -1, -1, 3, -1]
    assert matches.finders.tolist() == [0, -1, -1, 4, -1]
    assert matches.counts.tolist() == [True, True, False, True, True]


def test_pairs_at_another_iou():
    matches = match_detections(TRUTH, RESULTS, iou_thresh=0.61)
    assert matches.verdicts.tolist() == [1, 0, 0, -1, 0, 0]


def test_precisions_are_those_of_coco(matches):
    # Cats by score: right, wrong, wrong, right, of 3 objects. Recall 1/3 at precision 1, 2/3 at
    # 1/2. The 34 recalls up to 0.33 and the 33 up to 0.66 count; beyond them the precision is 0.
    expected = np.concatenate([np.ones(34), np.full(33, 0.5), np.zeros(34)])
    np.testing.assert_allclose(matches.precisions["cat"], expected, atol=1e-12)
    np.testing.assert_array_equal(matches.precisions["dog"], 0)
    scores = evaluate_coco(TRUTH, RESULTS)
    for name, precisions in matches.precisions.items():
        assert precisions.mean() == pytest.approx(scores[f"AP50/{name}"], abs=1e-12)


def test_a_class_without_objects_has_no_precision():
    truth = {**TRUTH, "categories": [*TRUTH["categories"], {"id": 9, "name": "cow"}]}
    assert set(match_detections(truth, RESULTS).precisions) == {"cat", "dog"}


@pytest.mark.parametrize(
    "score_thresh, counts",
    [
        # Rows: cat, dog, no object. Columns: detected as cat, as dog, not at all.
        (0.3, [[2, 0, 1], [1, 0, 0], [1, 1, 0]]),
        (0.5, [[1, 0, 2], [1, 0, 0], [1, 1, 0]]),
        (0.8, [[1, 0, 2], [1, 0, 0], [0, 1, 0]]),
        (0.99, [[0, 0, 3], [0, 0, 1], [0, 0, 0]]),
    ],
)
def test_confusion(matches, score_thresh, counts):
    confusion = confuse_classes(TRUTH, RESULTS, matches, score_thresh)
    assert confusion.classes == ("cat", "dog")
    assert confusion.counts.tolist() == counts


def test_each_wrong_detection_takes_an_object_of_its_own():
    truth = {**TRUTH, "annotations": [annotation(0, DOG, [50, 0, 10, 10])]}
    twice = [result(0, CAT, [50, 0, 10, 10], 0.8), result(0, CAT, [50, 0, 10, 9], 0.9)]
    matches = match_detections(truth, twice)
    counts = confuse_classes(truth, twice, matches, 0.5).counts
    assert counts.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]


def test_unfound_objects(matches):
    assert unfound_objects(RESULTS, matches, 0.3).tolist() == [False, True, False, False, True]
    assert unfound_objects(RESULTS, matches, 0.5).tolist() == [False, True, False, True, True]


def test_calibration(matches):
    # Judged are 0.9 and 0.4, right, and 0.7, 0.85 and 0.95, wrong. Two bins: 0.4 | the others.
    calibration = calibrate(RESULTS, matches, num_bins=2)
    assert calibration.counts.tolist() == [1, 4]
    np.testing.assert_allclose(calibration.scores, [0.4, 0.85])
    np.testing.assert_allclose(calibration.right, [1, 0.25])
    # (1 * 0.6 + 4 * 0.6) / 5
    assert calibration.error == pytest.approx(0.6)


def test_bins_begin_at_their_lower_edge(matches):
    results = []
    for entry, score in zip(RESULTS, [0.7, 0.3, 1.0, 0.5, 0.0, 0.6]):
        results.append({**entry, "score": score})
    calibration = calibrate(results, match_detections(TRUTH, results))
    # The one of 0.5 is on crowd.
    assert calibration.counts.tolist() == [1, 0, 0, 1, 0, 0, 1, 1, 0, 1]
    assert np.isnan(calibration.right[1])


def test_without_detections():
    matches = match_detections(TRUTH, [])
    assert np.isnan(calibrate([], matches).error)
    assert unfound_objects([], matches, 0.5).tolist() == [True, True, False, True, True]
    counts = confuse_classes(TRUTH, [], matches, 0.5).counts
    assert counts.tolist() == [[0, 0, 3], [0, 0, 1], [0, 0, 0]]


def test_masks_are_compared_as_masks():
    def run_lengths(columns):
        # Columns of a 10 x 10 image, top to bottom, from column 0 on.
        return {"size": [10, 10], "counts": [0, 10 * columns, 100 - 10 * columns]}

    truth = {
        "images": [{"id": 0, "height": 10, "width": 10}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{**annotation(0, 1, [0, 0, 10, 10]), "segmentation": run_lengths(10)}],
    }
    encoded = mask_codec.frPyObjects(run_lengths(4), 10, 10)
    found = [{**result(0, 1, [0, 0, 10, 10], 0.9), "segmentation": encoded}]
    assert match_detections(truth, found, "bbox").verdicts.tolist() == [1]
    assert match_detections(truth, found, "segm").verdicts.tolist() == [0]
