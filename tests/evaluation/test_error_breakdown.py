"""The split of lost AP into causes: the answers of the real tidecv, and cases made by hand."""

import copy
import json
from pathlib import Path

from gluonnorm.errors import InputError
from gluonnorm.evaluation import evaluate_coco, explain_errors
from gluonnorm.evaluation.error_causes import CAUSES

import numpy as np
import pytest
from error_sets import RECIPES, digest, draw_set
from pycocotools import mask as run_length_codec

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tidecv.json"
TIDE_NAMES = {
    "class": "Cls",
    "location": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
    "false_positives": "FalsePos",
    "false_negatives": "FalseNeg",
}
PERFECT = 100  # tidecv's AP is in percent


@pytest.fixture(scope="module")
def answers():
    """What tidecv 1.0.1 says of each set."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))["sets"]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_a_hundred_images_of_coco_lose_what_tidecv_says(shared, iou_type):
    folder = shared / "data" / "coco_eval_parity"
    ground_truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{iou_type}100_results.json").read_text())
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))["example"][iou_type]
    overall = explain_errors(ground_truth, results, iou_type).overall
    assert overall.ap == pytest.approx(expected["ap"] / PERFECT, abs=1e-12)
    for key, tide_name in TIDE_NAMES.items():
        loss = expected["lost"][tide_name] / PERFECT
        assert overall.lost[key] == pytest.approx(loss, abs=1e-12), key


@pytest.mark.parametrize("name", RECIPES)
def test_all_numbers_are_those_of_tidecv(name, answers):
    ground_truth, results = draw_set(name)
    assert digest(ground_truth, results) == answers[name]["digest"], "another set was drawn"
    before = copy.deepcopy((ground_truth, results))
    for case in answers[name]["cases"]:
        breakdown = explain_errors(ground_truth, results, case["iou_type"], *case["thresholds"])
        overall = breakdown.overall
        assert overall.ap == pytest.approx(case["ap"] / PERFECT, abs=1e-12)
        for key, tide_name in TIDE_NAMES.items():
            expected = case["lost"][tide_name] / PERFECT
            assert overall.lost[key] == pytest.approx(expected, abs=1e-12), key
        for key in CAUSES:
            assert overall.errors[key] == case["counts"][TIDE_NAMES[key]], key
        assert_same_classes(breakdown, ground_truth, case)
    assert (ground_truth, results) == before


def assert_same_classes(breakdown, ground_truth, case):
    """Compare the AP of each class, before and after each cause is mended, with tidecv's."""
    for category in ground_truth["categories"]:
        shares = breakdown.classes[category["name"]]
        key = str(category["id"])
        if not shares.objects:
            assert shares.ap == -1 and set(shares.lost.values()) == {0.0}
            # tidecv counts the class if it has detections.
            assert case["classes"].get(key, 0) == 0
            continue
        ap = case["classes"][key]
        assert shares.ap == pytest.approx(ap / PERFECT, abs=1e-12)
        for cause in CAUSES:
            # A class that tidecv leaves out, because nothing of it is left, has no errors any more.
            mended = case["mended_classes"][TIDE_NAMES[cause]].get(key, PERFECT)
            expected = max(mended - ap, 0) / PERFECT
            assert shares.lost[cause] == pytest.approx(expected, abs=1e-12), (key, cause)


def test_every_cause_occurs_in_the_sets(answers):
    for iou_type in ("bbox", "segm"):
        for cause in CAUSES:
            cases = [case for answer in answers.values() for case in answer["cases"]]
            shares = [
                case["lost"][TIDE_NAMES[cause]] for case in cases if case["iou_type"] == iou_type
            ]
            assert max(shares) > 0.1, (iou_type, cause)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_ap_is_cocos_ap50(iou_type):
    """Where no score is tied and every class has objects."""
    ground_truth, results = draw_set("plain")
    scores = evaluate_coco(ground_truth, results, iou_type)
    breakdown = explain_errors(ground_truth, results, iou_type)
    assert breakdown.overall.ap == pytest.approx(scores["AP50"], abs=1e-12)
    for name, shares in breakdown.classes.items():
        assert shares.ap == pytest.approx(scores[f"AP50/{name}"], abs=1e-12)


def test_the_recall_07_counts_here_and_not_in_pycocotools():
    boxes = [[20 * number, 0, 10, 10] for number in range(10)]
    ground_truth = truth_of(*((1, 7, box) for box in boxes))
    ground_truth["categories"] = ground_truth["categories"][:1]
    results = [result(1, 7, box, 0.5) for box in boxes[:7]]
    # The levels 0, 0.01, ... 0.7 are reached; 0.7 by pycocotools is 0.7000000000000001.
    assert explain_errors(ground_truth, results).overall.ap == pytest.approx(71 / 101)
    assert evaluate_coco(ground_truth, results)["AP50"] == pytest.approx(70 / 101)


def truth_of(*objects, crowd=()):
    """Two images and two classes; each object is an image, a category and a box."""
    annotations = []
    for number, (image_id, category_id, box) in enumerate([*objects, *crowd]):
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": category_id,
                "bbox": box,
                "iscrowd": int(number >= len(objects)),
            }
        )
    return {
        "images": [{"id": 1, "height": 100, "width": 100}, {"id": 2, "height": 100, "width": 100}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 4, "name": "cat"}],
        "annotations": annotations,
    }


def result(image_id, category_id, box, score):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


CAT = (1, 4, [0, 0, 20, 20])
DOG = (1, 7, [50, 50, 20, 20])
RIGHT_CAT = result(1, 4, [0, 0, 20, 20], 0.9)


@pytest.mark.parametrize(
    "error, cause, gain",
    [
        # the cat's AP is 1; the dog's AP is 0, and 1 when the error is mended
        (result(1, 4, [50, 50, 20, 20], 0.8), "class", 0.5),
        (result(1, 7, [60, 50, 20, 20], 0.8), "location", 0.5),  # IoU 1/3
        # the dog is missed in any case: only the precision behind the cat suffers
        (result(1, 4, [60, 50, 20, 20], 0.8), "both", 0.0),
        (result(1, 4, [0, 0, 20, 19], 0.8), "duplicate", 0.0),
        (result(1, 4, [0, 70, 20, 20], 0.8), "background", 0.0),
        (result(2, 4, [0, 0, 20, 20], 0.8), "background", 0.0),  # an image without objects
    ],
)
def test_each_cause_alone(error, cause, gain):
    breakdown = explain_errors(truth_of(CAT, DOG), [RIGHT_CAT, error])
    overall = breakdown.overall
    counted = {key: count for key, count in overall.errors.items() if key in CAUSES and count}
    if gain:
        assert counted == {cause: 1}
        assert overall.errors["false_negatives"] == 1
    else:
        assert counted == {cause: 1, "missed": 1}
    assert overall.errors["false_positives"] == 1
    assert overall.ap == 0.5
    assert overall.lost[cause] == pytest.approx(gain)


@pytest.mark.parametrize(
    "error, cause",
    [
        (result(1, 4, [60, 50, 20, 20], 0.95), "both"),
        (result(1, 4, [0, 70, 20, 20], 0.95), "background"),
        (result(2, 4, [0, 70, 20, 20], 0.95), "background"),
    ],
)
def test_false_detections_ahead_of_the_right_one_halve_the_precision(error, cause):
    breakdown = explain_errors(truth_of(CAT), [RIGHT_CAT, error])
    if cause == "both":
        breakdown = explain_errors(truth_of(CAT, DOG), [RIGHT_CAT, error])
    assert breakdown.classes["cat"].ap == 0.5
    assert breakdown.classes["cat"].lost[cause] == 0.5
    assert breakdown.classes["cat"].lost["false_positives"] == 0.5


def test_a_duplicate_ahead_of_another_object():
    """Ranked right, wrong, right: the precision at the second half of the recall is 2/3."""
    truth = truth_of(CAT, (2, 4, [0, 0, 20, 20]))
    results = [
        RIGHT_CAT,
        result(1, 4, [0, 0, 20, 19], 0.8),
        result(2, 4, [0, 0, 20, 20], 0.7),
    ]
    shares = explain_errors(truth, results).classes["cat"]
    assert shares.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert shares.lost["duplicate"] == pytest.approx(1 - shares.ap)


def test_detections_on_crowd_are_no_errors():
    crowd = [(1, 4, [40, 0, 60, 60])]
    inside = result(1, 4, [50, 10, 10, 10], 0.95)
    of_another_class = result(1, 7, [70, 10, 10, 10], 0.95)
    breakdown = explain_errors(truth_of(CAT, crowd=crowd), [RIGHT_CAT, inside, of_another_class])
    cat, dog = breakdown.classes["cat"], breakdown.classes["dog"]
    assert (cat.objects, cat.detections, cat.ap) == (1, 1, 1.0)
    assert cat.errors["background"] == 0
    # A class without objects has no AP, and its detections are false.
    assert (dog.objects, dog.detections, dog.ap) == (0, 1, -1.0)
    assert dog.errors["background"] == 1


def test_without_detections_everything_is_missed():
    overall = explain_errors(truth_of(CAT, DOG), []).overall
    assert overall.ap == 0
    assert overall.errors["missed"] == overall.errors["false_negatives"] == 2
    assert overall.lost["missed"] == overall.lost["false_negatives"] == 1
    assert overall.lost["background"] == 0


def test_perfect_detections_lose_nothing():
    results = [RIGHT_CAT, result(1, 7, [50, 50, 20, 20], 0.5)]
    breakdown = explain_errors(truth_of(CAT, DOG), results)
    assert breakdown.overall.ap == 1
    assert set(breakdown.overall.lost.values()) == {0.0}
    assert set(breakdown.overall.errors.values()) == {0}


def test_the_order_of_the_results_changes_nothing():
    ground_truth, results = draw_set("many classes")
    assert explain_errors(ground_truth, results[::-1]) == explain_errors(ground_truth, results)


def test_polygons_and_run_lengths_are_the_same_masks():
    ground_truth, results = draw_set("plain")
    for annotation in ground_truth["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        annotation["segmentation"] = [[float(side) for side in corners]]
    of_polygons = explain_errors(ground_truth, results, "segm")
    for result in results[:5]:
        pixels = run_length_codec.decode(result["segmentation"]).T.ravel()
        changes = np.flatnonzero(np.diff(pixels, prepend=0, append=0))
        lengths = np.diff(changes, prepend=0, append=pixels.size)
        result["segmentation"] = {"size": [120, 120], "counts": lengths.tolist()}
    for annotation in ground_truth["annotations"]:
        encoded = run_length_codec.frPyObjects(annotation["segmentation"], 120, 120)[0]
        annotation["segmentation"] = encoded
    assert explain_errors(ground_truth, results, "segm") == of_polygons


def test_ids_of_annotations_mean_nothing():
    ground_truth, results = draw_set("crowds")
    expected = explain_errors(ground_truth, results)
    for annotation in ground_truth["annotations"]:
        annotation["id"] = 7
    assert explain_errors(ground_truth, results) == expected
    for annotation in ground_truth["annotations"]:
        del annotation["id"]
    assert explain_errors(ground_truth, results) == expected


def test_the_breakdown_is_json():
    breakdown = explain_errors(truth_of(CAT, DOG), [RIGHT_CAT])
    content = json.loads(json.dumps(breakdown.as_json()))
    thresholds = ["iou_thresh", "background_thresh"]
    assert list(content) == ["iou_type", *thresholds, "overall", "classes", "truncated_images"]
    assert list(content["classes"]) == ["cat", "dog"]
    assert list(content["overall"]["lost"]) == [*CAUSES, "false_positives", "false_negatives"]
    dog = content["classes"]["dog"]
    assert (dog["objects"], dog["detections"], dog["ap"]) == (1, 0, 0.0)
    missing = {"missed": 1, "false_negatives": 1}
    nothing = dict.fromkeys(content["overall"]["lost"], 0)
    assert dog["lost"] == dog["errors"] == {**nothing, **missing}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": 9}, "1 image_id values .* not in the ground truth: 9; .* 2 images .* 1, 2"),
        ({"category_id": 5}, "1 category_id values .*: 5; it has 2 categories with the ids 4, 7"),
        ({"score": float("nan")}, "result number 1 has score"),
        ({"bbox": [0, 0, float("inf"), 1]}, "result number 1 has bbox"),
    ],
)
def test_results_of_another_data_set_are_named(change, message):
    with pytest.raises(InputError, match=message):
        explain_errors(truth_of(CAT), [RIGHT_CAT, {**RIGHT_CAT, **change}])


def test_what_cannot_be_compared_is_refused():
    truth = truth_of(CAT)
    without_box = {key: value for key, value in RIGHT_CAT.items() if key != "bbox"}
    with pytest.raises(InputError, match="result number 0 has no bbox, the first of 1 "):
        explain_errors(truth, [without_box])
    with pytest.raises(InputError, match="annotation number 0 has no segmentation"):
        explain_errors(truth, [RIGHT_CAT], "segm")
    mask = run_length_codec.encode(np.ones((9, 9), np.uint8, order="F"))
    masked = {**truth, "annotations": [{**truth["annotations"][0], "segmentation": mask}]}
    with pytest.raises(InputError, match="image 1 of the ground truth has no height and width"):
        explain_errors({**masked, "images": [{"id": 1}]}, [], "segm")
    with pytest.raises(InputError, match="'keypoints'.*'bbox' and 'segm'"):
        explain_errors(truth, [RIGHT_CAT], "keypoints")
    with pytest.raises(InputError, match="no object that counts"):
        explain_errors(truth_of(crowd=[CAT]), [RIGHT_CAT])
    with pytest.raises(InputError, match="no object that counts"):
        explain_errors({**truth, "images": [], "annotations": []}, [])


@pytest.mark.parametrize("iou_thresh, background", [(0.5, 0), (0.5, 0.5), (1.1, 0.1), (0.1, 0.2)])
def test_thresholds_out_of_order_are_refused(iou_thresh, background):
    with pytest.raises(InputError, match=f"background_thresh is {background} and iou_thresh"):
        explain_errors(truth_of(CAT), [], "bbox", iou_thresh, background)


@pytest.mark.parametrize("evaluate", [evaluate_coco, explain_errors])
def test_a_mask_of_another_size_than_its_image_is_refused(evaluate):
    """pycocotools would give it an IoU of -1 with everything."""
    ground_truth, results = draw_set("plain")
    results[3]["segmentation"] = {**results[3]["segmentation"], "size": [60, 240]}
    with pytest.raises(InputError, match="result number 3 has a mask of 60 x 240 .*120 x 120"):
        evaluate(ground_truth, results, "segm")
