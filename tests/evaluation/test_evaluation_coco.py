import contextlib
import copy
import io
import json

from gluonnorm.errors import InputError
from gluonnorm.evaluation import (
    coco_results,
    confuse_classes,
    evaluate_coco,
    evaluate_voc,
    explain_errors,
    match_detections,
)
from gluonnorm.evaluation.coco import METRICS
from gluonnorm.types import Detections

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OFFICIAL = {
    "bbox": (
        0.5046,
        0.6970,
        0.5730,
        0.5856,
        0.5194,
        0.5014,
        0.3868,
        0.5937,
        0.5954,
        0.6398,
        0.5664,
        0.5643,
    ),
    "segm": (
        0.3195,
        0.5623,
        0.2989,
        0.3874,
        0.3102,
        0.3269,
        0.2682,
        0.4154,
        0.4168,
        0.4694,
        0.3768,
        0.3815,
    ),
}


def tiny_truth(**annotation):
    return {
        "images": [{"id": 5, "height": 100, "width": 100}, {"id": 9, "height": 100, "width": 100}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 5,
                "category_id": 3,
                "bbox": [10, 10, 40, 40],
                "area": 1600,
                "iscrowd": 0,
                **annotation,
            }
        ],
    }


def result(image_id=5, category_id=3, bbox=(10, 10, 40, 40), score=0.9):
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "score": score}


def by_pycocotools(truth, results, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_official_numbers(shared, kind, capfd):
    folder = shared / "data" / "coco_eval_parity"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    before = copy.deepcopy((truth, results))
    metrics = evaluate_coco(truth, results, kind)
    assert capfd.readouterr() == ("", "")
    assert (truth, results) == before

    assert tuple(metrics)[:12] == METRICS
    assert tuple(round(metrics[name], 4) for name in METRICS) == OFFICIAL[kind]
    reference = by_pycocotools(truth, results, kind)
    assert [metrics[name] for name in METRICS] == list(reference.stats)
    precision = reference.eval["precision"][:, :, :, 0, 2]
    for k, category_id in enumerate(reference.params.catIds):
        name = reference.cocoGt.cats[category_id]["name"]
        for key, values in (
            (f"AP/{name}", precision[:, :, k]),
            (f"AP50/{name}", precision[0, :, k]),
        ):
            assert metrics[key] == (np.mean(values[values > -1]) if (values > -1).any() else -1)
    assert len(metrics) == 12 + 2 * 80


def test_a_perfect_detection_scores_one_and_the_class_without_truth_minus_one():
    metrics = evaluate_coco(tiny_truth(), [result()])
    assert (
        metrics["AP"] == pytest.approx(1)
        and metrics["AP50"] == pytest.approx(1)
        and metrics["AR1"] == 1
    )
    assert metrics["APm"] == pytest.approx(1) and metrics["APs"] == -1 and metrics["APl"] == -1
    assert metrics["AP/cat"] == pytest.approx(1) and metrics["AP50/dog"] == -1
    assert list(metrics)[12:] == ["AP/dog", "AP/cat", "AP50/dog", "AP50/cat"]


def test_half_covered_box_counts_at_the_low_thresholds_only():
    # 40 x 26 of 40 x 40 pixels: IoU 0.65, which passes 0.5, 0.55, 0.6 and 0.65 of ten thresholds
    metrics = evaluate_coco(tiny_truth(), [result(bbox=(10, 10, 40, 26))])
    assert (
        metrics["AP"] == pytest.approx(0.4)
        and metrics["AP50"] == pytest.approx(1)
        and metrics["AP75"] == 0
    )


def test_nothing_found_is_zero():
    metrics = evaluate_coco(tiny_truth(), [])
    assert (
        metrics["AP"]
        == metrics["AP50"]
        == metrics["AR100"]
        == metrics["APm"]
        == metrics["AP/cat"]
        == 0
    )
    assert metrics["APs"] == metrics["AP/dog"] == -1


@pytest.mark.parametrize("results", [[], [result(), result(image_id=9)]])
@pytest.mark.parametrize("annotations", ["none", "crowd"])
def test_truth_without_countable_boxes_is_minus_one(results, annotations):
    truth = tiny_truth(iscrowd=1)
    if annotations == "none":
        truth["annotations"] = []
    assert set(evaluate_coco(truth, results).values()) == {-1.0}


def test_truth_of_boxes_alone_needs_neither_area_nor_crowd_nor_unique_ids():
    truth = tiny_truth()
    truth["annotations"] = [
        {"image_id": i, "category_id": 3, "bbox": [10, 10, 40, 40], "id": 7} for i in (5, 9)
    ]
    assert evaluate_coco(truth, [result(), result(image_id=9)])["APm"] == pytest.approx(1)


def test_mask_area_decides_the_size_of_a_mask_result_that_also_has_a_box():
    # The unmatched mask of 10 x 10 pixels is small, whatever its box, so it spoils APs' range but
    # not APm.
    mask = np.zeros((100, 100), dtype=np.uint8, order="F")
    mask[10:20, 10:20] = 1
    small = rle.encode(mask)
    mask[10:50, 10:50] = 1
    truth = tiny_truth(segmentation=[[10, 10, 50, 10, 50, 50, 10, 50]])
    results = [
        {**result(score=0.5), "segmentation": rle.encode(mask)},
        {**result(score=0.9), "segmentation": small},
    ]
    metrics = evaluate_coco(truth, results, "segm")
    assert metrics["APm"] == pytest.approx(1) and metrics["AP"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "bad, message",
    [
        ([result(image_id=6)], "image_id.*not in the ground truth.*6"),
        ([result(category_id=2)], "category_id.*not in the ground truth.*2"),
    ],
)
def test_results_of_another_data_set_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        evaluate_coco(tiny_truth(), bad)


def test_unknown_ids_of_several_types_are_named():
    results = [result(category_id=None), result(category_id="cat"), result(category_id=8)]
    with pytest.raises(InputError, match="3 category_id values .*: None, 8, cat; it has 2 "):
        evaluate_coco(tiny_truth(), results)


def test_unknown_kind_and_repeated_names_are_refused():
    with pytest.raises(ValueError, match="'keypoints'.*'bbox' and 'segm'"):
        evaluate_coco(tiny_truth(), [], iou_type="keypoints")
    truth = tiny_truth()
    truth["categories"][0]["name"] = "dog"
    with pytest.raises(ValueError, match="same name"):
        evaluate_coco(truth, [])


def test_coco_results_are_json_and_xywh():
    found = Detections(
        np.array([[1, 2, 4, 8], [0, 0, 5, 5]], np.float32),
        np.array([0.75, 0.5], np.float32),
        np.array([1, 0], np.int32),
    )
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    results = coco_results([(np.int64(9), found), (5, empty)], category_ids=(1, 3))
    assert json.loads(json.dumps(results)) == [
        {"image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 6], "score": 0.75},
        {"image_id": 9, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5},
    ]


def test_masks_become_run_lengths_that_json_can_hold():
    masks = np.zeros((2, 30, 40), bool)
    masks[0, 3:9, 2:4] = masks[1, 29, 39] = masks[1, 0, 0] = True
    found = Detections(
        np.float32([[1, 2, 4, 8], [0, 0, 5, 5]]), np.float32([0.75, 0.5]), np.int32([1, 0]), masks
    )
    results = json.loads(json.dumps(coco_results([(9, found)], category_ids=(1, 3))))
    assert [row["segmentation"]["size"] for row in results] == [[30, 40]] * 2
    for row, mask in zip(results, masks):
        np.testing.assert_array_equal(rle.decode(row["segmentation"]), mask)


def test_masks_score_as_their_overlap_says_whatever_the_boxes():
    # The annotation's mask covers 40 x 40 pixels, the result's 40 x 26 of them: IoU 0.65, four of
    # ten thresholds.
    truth = tiny_truth(segmentation=[[10, 10, 50, 10, 50, 50, 10, 50]])
    mask = np.zeros((1, 100, 100), bool)
    mask[0, 10:36, 10:50] = True
    found = Detections(np.float32([[10, 10, 50, 50]]), np.float32([0.9]), np.int32([1]), mask)
    results = coco_results([(5, found)], category_ids=(1, 3))
    assert evaluate_coco(truth, results, "segm")["AP"] == pytest.approx(0.4)
    assert evaluate_coco(truth, results, "bbox")["AP"] == pytest.approx(1)


def test_masks_that_are_not_there_cannot_be_scored():
    mask = rle.encode(np.ones((100, 100), np.uint8, order="F"))
    with pytest.raises(ValueError, match="annotation number 0 has no segmentation"):
        evaluate_coco(tiny_truth(), [{**result(), "segmentation": mask}], "segm")
    with pytest.raises(ValueError, match="result number 1 has no segmentation, the first of 1 "):
        evaluate_coco(
            tiny_truth(segmentation=mask), [{**result(), "segmentation": mask}, result()], "segm"
        )


@pytest.mark.parametrize("class_id", [2, -1])
def test_coco_results_refuse_a_class_the_data_set_lacks(class_id):
    found = Detections(
        np.ones((1, 4), np.float32), np.ones(1, np.float32), np.array([class_id], np.int32)
    )
    with pytest.raises(ValueError, match="image 5.*2 classes"):
        coco_results([(5, found)], category_ids=(1, 3))


@pytest.mark.parametrize("inclusive", [False, True])
def test_rows_of_detections_that_equal_the_ground_truth_score_one(inclusive):
    """Also for small boxes, where a missing pixel would cost most of the thresholds."""
    truth = tiny_truth(bbox=[10, 10, 4, 3])
    box = [10, 10, 13, 12] if inclusive else [10, 10, 14, 13]
    found = Detections(
        np.float32([box]), np.float32([0.9]), np.int32([1]), masks=None, inclusive=inclusive
    )
    results = coco_results([(5, found)], category_ids=(1, 3))
    assert results[0]["bbox"] == [10, 10, 4, 3]
    assert evaluate_coco(truth, results)["AP"] == pytest.approx(1)
    assert evaluate_voc(truth, results, iou_thresh=0.99)["mAP"] == pytest.approx(1)


@pytest.mark.parametrize("area", [-1, -0.5, None, float("nan"), float("inf")])
def test_an_area_that_is_none_is_that_of_the_box(area):
    truth = tiny_truth(area=area)
    result = {"image_id": 5, "category_id": 3, "bbox": [10, 10, 40, 40], "score": 0.5}
    scores = evaluate_coco(truth, [result])
    assert scores["AP"] == scores["APm"] == pytest.approx(1)  # 1600 square pixels are medium
    assert scores["APs"] == scores["APl"] == -1


@pytest.mark.parametrize("evaluate", [evaluate_coco, evaluate_voc, explain_errors])
@pytest.mark.parametrize(
    "annotation, result, message",
    [
        ({"iscrowd": "0"}, {}, "annotation number 0 has iscrowd '0'; want 0 or 1"),
        ({"iscrowd": 2}, {}, "annotation number 0 has iscrowd 2; want 0 or 1"),
        ({"area": "12"}, {}, "annotation number 0 has the area '12'; want a number"),
        ({"area": True}, {}, "annotation number 0 has the area True; want a number"),
        ({"bbox": [1, 2, float("nan"), 4]}, {}, "annotation number 0 has bbox .*; want finite"),
        ({}, {"score": float("nan")}, "result number 0 has score nan; want finite"),
        ({}, {"bbox": [1, 2, 3, float("inf")]}, "result number 0 has bbox .*; want finite"),
        ({}, {"score": "0.9"}, "result number 0 has score '0.9'; want a number"),
        ({}, {"score": None}, "result number 0 has score None; want a number"),
        ({}, {"bbox": [1, 2, 3]}, r"result number 0 has bbox \[1, 2, 3\]; want four numbers"),
        ({}, {"bbox": 7}, "result number 0 has bbox 7; want four numbers"),
        ({}, {"bbox": [1, 2, "3", 4]}, "result number 0 has bbox .*; want four numbers"),
        ({}, {"bbox": [50, 50, -40, -40]}, "result number 0 has bbox .*not negative"),
        ({}, {"bbox": None}, "result number 0 has no bbox"),
        ({"bbox": [1, 2, 3]}, {}, r"annotation number 0 has bbox \[1, 2, 3\]; want four numbers"),
        ({"bbox": [50, 50, 40, -40]}, {}, "annotation number 0 has bbox .*not negative"),
        ({"bbox": None}, {}, "annotation number 0 has no bbox"),
        ({"category_id": 2}, {}, "category_id values of the annotations are not .*: 2; it has 2 "),
        ({"image_id": 6}, {}, "image_id values of the annotations are not .*: 6; it has 2 images"),
        ({"category_id": None}, {"category_id": "a"}, "of the annotations are not .*: None; it"),
        ({"category_id": "3"}, {}, "category_id values of the annotations are not .*: 3; it has "),
    ],
)
def test_values_that_would_make_a_wrong_score_are_refused(evaluate, annotation, result, message):
    row = {"image_id": 5, "category_id": 3, "bbox": [10, 10, 40, 40], "score": 0.5, **result}
    with pytest.raises(InputError, match=message):
        evaluate(tiny_truth(**annotation), [row])


@pytest.mark.parametrize("evaluate", [evaluate_coco, evaluate_voc, explain_errors])
@pytest.mark.parametrize("key", ["image_id", "category_id", "score", "bbox"])
def test_a_result_without_a_key_is_named(evaluate, key):
    incomplete = result()
    del incomplete[key]
    with pytest.raises(InputError, match=f"result number 1 has no {key}"):
        evaluate(tiny_truth(), [result(), incomplete])


@pytest.mark.parametrize("evaluate", [evaluate_coco, evaluate_voc, explain_errors])
@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
def test_a_ground_truth_without_a_section_is_named(evaluate, section):
    truth = tiny_truth()
    del truth[section]
    with pytest.raises(InputError, match=f"the ground truth has no {section}"):
        evaluate(truth, [result()])


@pytest.mark.parametrize("evaluate", [evaluate_coco, evaluate_voc, explain_errors])
@pytest.mark.parametrize(
    "section, key, message",
    [
        ("images", "id", "image number 0 has no id"),
        ("annotations", "image_id", "annotation number 0 has no image_id"),
        ("annotations", "category_id", "annotation number 0 has no category_id"),
        ("categories", "id", "category number 0 has no id"),
        ("categories", "name", "category number 0 has no name"),
    ],
)
def test_an_entry_of_a_ground_truth_without_a_key_is_named(evaluate, section, key, message):
    truth = tiny_truth()
    del truth[section][0][key]
    with pytest.raises(InputError, match=message):
        evaluate(truth, [result()])


def test_classes_of_annotations_are_checked_before_they_are_counted():
    truth = tiny_truth()
    matches = match_detections(truth, [result()])
    truth["annotations"][0]["category_id"] = 2
    with pytest.raises(InputError, match="category_id values of the annotations"):
        confuse_classes(truth, [result()], matches, 0.5)


@pytest.mark.parametrize(
    "mask, message",
    [
        ([[10, 10, 50, 10, 50, 50]], "result number 0 has a list as segmentation; want run"),
        ({"counts": [0, 10000]}, "result number 0 has a segmentation with counts; want run"),
    ],
)
def test_masks_of_results_are_run_lengths(mask, message):
    truth = tiny_truth(segmentation=[[10, 10, 50, 10, 50, 50, 10, 50]])
    with pytest.raises(InputError, match=message):
        evaluate_coco(truth, [{**result(), "segmentation": mask}], "segm")


@pytest.mark.parametrize("box", [None, []])
def test_masks_need_no_boxes_and_may_have_uncompressed_run_lengths(box):
    # 40 columns of 100 rows, of which 40 are inside: the square of the annotation.
    lengths = [10 * 100 + 10, *[40, 60] * 39, 40, 50 * 100 - 10 + 60]
    mask = {"size": [100, 100], "counts": lengths}
    assert sum(lengths) == 100 * 100
    truth = tiny_truth(segmentation=[[10, 10, 50, 10, 50, 50, 10, 50]])
    scores = evaluate_coco(truth, [{**result(), "bbox": box, "segmentation": mask}], "segm")
    assert scores["AP"] == scores["APm"] == pytest.approx(1)


@pytest.mark.parametrize("crowd", [None, 0, 0.0, False])
def test_a_box_without_a_crowd_flag_counts(crowd):
    row = {"image_id": 5, "category_id": 3, "bbox": [10, 10, 40, 40], "score": 0.5}
    truth = tiny_truth(iscrowd=crowd)
    assert evaluate_coco(truth, [row])["AP"] == pytest.approx(1)
    assert evaluate_voc(truth, [row])["mAP"] == pytest.approx(1)
