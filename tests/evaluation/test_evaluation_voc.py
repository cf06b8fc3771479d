from gluonnorm.evaluation import evaluate_voc

import numpy as np
import pytest

CLASSES = ("cat", "dog", "cow", "never")  # the last has no truth


def random_data(seed, images=12):
    """Integer boxes of which many overlap; every fifth is difficult; all scores differ."""
    random = np.random.RandomState(seed)

    def box():
        x, y, w, h = (int(v) for v in (*random.randint(0, 20, 2), *random.randint(5, 20, 2)))
        return [x, y, w, h]

    annotations, results = [], []
    for image_id in range(1, images + 1):
        for _ in range(random.randint(0, 5)):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image_id,
                    "bbox": box(),
                    "category_id": int(random.randint(1, 4)),
                    "iscrowd": int(random.rand() < 0.2),
                }
            )
        near = [a for a in annotations if a["image_id"] == image_id]
        for a, shift in [(a, 2) for a in near] + [
            (a, 4) for a in near
        ]:  # every truth found twice, more or less well
            results.append(
                {
                    "image_id": image_id,
                    "category_id": a["category_id"],
                    "bbox": [v + int(random.randint(0, shift)) for v in a["bbox"]],
                }
            )
        results += [
            {"image_id": image_id, "category_id": int(random.randint(1, 5)), "bbox": box()}
            for _ in range(4)
        ]
    for result, score in zip(results, random.permutation(len(results))):
        result["score"] = float(score + 1) / (len(results) + 1)
    truth = {
        "images": [{"id": i} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
    }
    return truth, results


def slow_voc(truth, results, thresh, points):
    """VOCevaldet.m, step by step; ``points`` is 11, or None for the area under the curve."""

    def iou(a, b):
        w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
        h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
        inter = max(w, 0) * max(h, 0)
        return inter / (a[2] * a[3] + b[2] * b[3] - inter)

    scores = {}
    for category in truth["categories"]:
        there = [a for a in truth["annotations"] if a["category_id"] == category["id"]]
        n = sum(1 - a["iscrowd"] for a in there)
        if n == 0:
            scores[category["name"]] = -1.0
            continue
        found = sorted(
            (r for r in results if r["category_id"] == category["id"]), key=lambda r: -r["score"]
        )
        used, tp, fp, curve = set(), 0, 0, []
        for r in found:
            best, best_iou = None, -1.0
            for a in there:
                if a["image_id"] == r["image_id"] and iou(a["bbox"], r["bbox"]) > best_iou:
                    best, best_iou = a, iou(a["bbox"], r["bbox"])
            if best is not None and best_iou >= thresh:
                if not best["iscrowd"]:
                    tp, fp = (tp, fp + 1) if best["id"] in used else (tp + 1, fp)
                    used.add(best["id"])
            else:
                fp += 1
            if tp + fp:
                curve.append((tp / n, tp / (tp + fp)))
        if points:
            levels = [i * 0.1 for i in range(points)]
            ap = (
                sum(max([p for r, p in curve if r >= level], default=0.0) for level in levels)
                / points
            )
        else:
            ap, reached = 0.0, 0.0
            for i, (r, _) in enumerate(curve):
                ap += (r - reached) * max(p for _, p in curve[i:])
                reached = r
        scores[category["name"]] = ap
    return scores


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("thresh", [0.5, 0.7])
@pytest.mark.parametrize("metric, points", [("voc07", 11), ("voc12", None)])
def test_equals_the_devkit_step_by_step(seed, thresh, metric, points):
    truth, results = random_data(seed)
    expected = slow_voc(truth, results, thresh, points)
    metrics = evaluate_voc(truth, results, thresh, metric)
    assert list(metrics) == ["mAP"] + [f"AP/{name}" for name in CLASSES]
    for name in CLASSES:
        assert metrics[f"AP/{name}"] == pytest.approx(expected[name], abs=1e-12)
    assert expected["never"] == -1 and 0 < metrics["mAP"] < 1
    assert metrics["mAP"] == pytest.approx(np.mean([expected[name] for name in CLASSES[:3]]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", ["voc07", "voc12"])
def test_equals_gluoncv_on_inclusive_boxes(seed, metric):
    voc_detection = pytest.importorskip("gluoncv.utils.metrics.voc_detection")
    truth, results = random_data(seed)
    reference = {"voc07": voc_detection.VOC07MApMetric, "voc12": voc_detection.VOCMApMetric}[
        metric
    ](iou_thresh=0.5, class_names=CLASSES)

    def columns(rows):  # boxes as GluonCV has them, the last pixel included
        corners = np.array(
            [[x, y, x + w - 1, y + h - 1] for x, y, w, h in (r["bbox"] for r in rows)], np.float64
        )
        return corners.reshape(1, -1, 4), np.array([[r["category_id"] - 1 for r in rows]])

    for image in truth["images"]:
        found = [r for r in results if r["image_id"] == image["id"]]
        there = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        boxes, labels = columns(found)
        true_boxes, true_labels = columns(there)
        reference.update(
            boxes,
            labels,
            np.array([[r["score"] for r in found]]),
            true_boxes,
            true_labels,
            np.array([[a["iscrowd"] for a in there]]),
        )
    expected = dict(zip(*reference.get()))
    metrics = evaluate_voc(truth, results, 0.5, metric)
    assert np.isnan(
        expected.pop("never")
    )  # no truth: not a number there, -1 here, in neither's mean
    for name, value in expected.items():
        assert metrics["mAP" if name == "mAP" else f"AP/{name}"] == pytest.approx(value, abs=1e-12)


def one_class(annotations, results):
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": box, "iscrowd": crowd}
            for box, crowd in annotations
        ],
    }
    return truth, [
        {"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in results
    ]


def test_second_detection_of_one_truth_is_wrong():
    truth, results = one_class(
        [([0, 0, 10, 10], 0), ([50, 50, 10, 10], 0)],
        [([0, 0, 10, 10], 0.9), ([0, 0, 10, 10], 0.8), ([50, 50, 10, 10], 0.7)],
    )
    # precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1
    assert evaluate_voc(truth, results, metric="voc12")["mAP"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert evaluate_voc(truth, results, metric="voc07")["mAP"] == pytest.approx(
        (6 + 5 * 2 / 3) / 11
    )


def test_detections_of_a_difficult_box_do_not_count():
    truth, results = one_class(
        [([0, 0, 10, 10], 0), ([50, 50, 10, 10], 1)],
        [([50, 50, 10, 10], 0.9), ([50, 50, 10, 10], 0.8), ([0, 0, 10, 10], 0.7)],
    )
    assert evaluate_voc(truth, results)["mAP"] == pytest.approx(1)


def test_an_overlap_equal_to_the_threshold_is_enough():
    truth, results = one_class([([0, 0, 10, 10], 0)], [([0, 0, 10, 5], 0.9)])
    assert evaluate_voc(truth, results, iou_thresh=0.5)["mAP"] == pytest.approx(1)
    assert evaluate_voc(truth, results, iou_thresh=0.51)["mAP"] == 0


@pytest.mark.parametrize("metric", ["voc07", "voc12"])
def test_empty_cases(metric):
    box = [0, 0, 10, 10]
    assert evaluate_voc(*one_class([(box, 0)], []), metric=metric) == {"mAP": 0.0, "AP/cat": 0.0}
    assert evaluate_voc(*one_class([], [(box, 0.5)]), metric=metric) == {
        "mAP": -1.0,
        "AP/cat": -1.0,
    }
    assert evaluate_voc(*one_class([(box, 1)], [(box, 0.5)]), metric=metric) == {
        "mAP": -1.0,
        "AP/cat": -1.0,
    }
    assert evaluate_voc(*one_class([], []), metric=metric) == {"mAP": -1.0, "AP/cat": -1.0}


def test_bad_input():
    truth, results = one_class([], [([0, 0, 1, 1], 0.5)])
    with pytest.raises(ValueError, match="'voc10'.*voc07, voc12"):
        evaluate_voc(truth, results, metric="voc10")
    with pytest.raises(ValueError, match="image_id.*not in the ground truth"):
        evaluate_voc({**truth, "images": []}, results)


def test_equal_scores_do_not_depend_on_the_order_of_images():
    truth = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
    }
    correct = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1.0}
    wrong = {**correct, "image_id": 2}
    # Of two detections with one score, that of image 1 comes first.
    assert evaluate_voc(truth, [correct, wrong])["mAP"] == pytest.approx(1)
    assert evaluate_voc(truth, [wrong, correct])["mAP"] == pytest.approx(1)
