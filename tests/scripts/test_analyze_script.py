"""analyze.py from end to end, on drawn shapes: made detections, and a small untrained network."""

import copy
import importlib
import json
import shutil

from gluonnorm.data import draw_shapes
from gluonnorm.deploy import export
from gluonnorm.evaluation import explain_errors

import pytest
from in_process import SCRIPTS, run_script
from PIL import Image
from tiny_detector import tiny_detector

CLASSES = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """folder/shapes, and folder/results.json with errors of several kinds in boxes and masks."""
    folder = tmp_path_factory.mktemp("analyze")
    draw_shapes(folder / "shapes", train=1, val=4)
    ground_truth = truth_of(folder)
    results = made_results(ground_truth)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def truth_of(folder):
    return json.loads((folder / "shapes" / "annotations" / "instances_val.json").read_text())


def made_results(ground_truth):
    """Right detections, and every third one of another class, every fourth one twice."""
    results = []
    for number, annotation in enumerate(ground_truth["annotations"]):
        result = {key: annotation[key] for key in ("image_id", "category_id", "segmentation")}
        result["bbox"] = annotation["bbox"]
        result["score"] = 1 - number / 100
        if number % 3 == 0:
            result["category_id"] = annotation["category_id"] % len(CLASSES) + 1
        results.append(result)
        if number % 4 == 0:
            results.append({**result, "score": 0.999})
    return results


def analyze(folder, *flags):
    data = "--dataset", "coco", "--data-root", folder / "shapes", "--val-split", "val"
    return run_script("analyze.py", *data, *flags)


def test_the_causes_of_a_results_file_are_printed_written_and_drawn(folder):
    done = analyze(
        folder,
        "--detections",
        folder / "results.json",
        "--json",
        folder / "out" / "errors.json",
        "--plot",
        folder / "out" / "errors.png",
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((folder / "out" / "errors.json").read_text())
    ground_truth, results = truth_of(folder), json.loads((folder / "results.json").read_text())
    assert list(content) == ["images", "bbox", "segm"]
    assert content["images"] == 4
    for iou_type in ("bbox", "segm"):
        breakdown = explain_errors(ground_truth, results, iou_type)
        assert content[iou_type] == breakdown.as_json()
        assert breakdown.overall.lost["class"] > 0 and breakdown.overall.errors["duplicate"] > 0
    boxes = content["bbox"]["overall"]
    assert f"boxes: AP {boxes['ap']:.4f} at IoU 0.5; 4 images" in done.stdout
    assert f"masks: AP {content['segm']['overall']['ap']:.4f}" in done.stdout
    rows = [line.split() for line in done.stdout.split("masks:")[0].splitlines()]
    printed = [row for row in rows if row and row[0] in boxes["lost"]]
    assert {row[0]: row[1] for row in printed} == {
        cause: f"{boxes['lost'][cause]:.4f}" for cause in list(boxes["lost"])[:6]
    }
    losses = [float(row[1]) for row in printed]
    assert losses == sorted(losses, reverse=True)
    assert "class: look at the labels (check_dataset.py --draw)" in done.stdout
    assert [row[0] for row in rows if row and row[0] in CLASSES] == sorted(
        CLASSES, key=lambda name: content["bbox"]["classes"][name]["ap"]
    )
    assert Image.open(folder / "out" / "errors.png").size[0] > 1000


def test_boxes_or_masks_alone(folder):
    results = json.loads((folder / "results.json").read_text())
    for kept, absent in (("bbox", "segmentation"), ("segmentation", "bbox")):
        some = folder / f"{kept}.json"
        some.write_text(
            json.dumps([{key: row[key] for key in row if key != absent} for row in results])
        )
        done = analyze(folder, "--detections", some)
        assert done.returncode == 0, done.stderr
        assert ("boxes:" in done.stdout) == (kept == "bbox")
        assert ("masks:" in done.stdout) == (kept == "segmentation")
    done = analyze(folder, "--detections", folder / "results.json", "--iou-type", "segm")
    assert "boxes:" not in done.stdout and "masks:" in done.stdout
    done = analyze(folder, "--detections", folder / "bbox.json", "--iou-type", "segm")
    assert done.returncode == 2 and "the detections have no masks" in done.stderr


def test_a_network_is_judged_as_its_saved_detections_are(folder):
    """In every format of data set the same loader is behind both scripts."""
    net = tiny_detector("mask_fpn", CLASSES, short=96, max_size=120, score_thresh=0.0)
    export(net, str(folder / "tiny"))
    network = "--exported", folder / "tiny"
    done = analyze(folder, *network, "--json", folder / "net.json", "--iou-thresh", 0.3)
    assert done.returncode == 0, done.stderr
    data = "--dataset", "coco", "--data-root", folder / "shapes", "--val-split", "val"
    saved = folder / "saved.json"
    run_script("eval_faster_rcnn.py", *network, *data, "--save-json", saved)
    again = analyze(
        folder,
        "--detections",
        saved,
        "--json",
        folder / "again.json",
        "--iou-thresh",
        0.3,
    )
    assert again.returncode == 0, again.stderr
    content = json.loads((folder / "net.json").read_text())
    assert content == json.loads((folder / "again.json").read_text())
    assert content["bbox"]["overall"]["detections"] > 0
    assert list(content) == ["images", "bbox", "segm"]


def test_images_with_more_detections_than_count_are_named(folder):
    results = json.loads((folder / "results.json").read_text())
    first = [entry for entry in results if entry["image_id"] == results[0]["image_id"]]
    for entry in results:
        del entry["segmentation"]
    note = "Images with more than 100 detections: 1. Only the best ones count"
    for count, is_named in ((100, False), (101, True)):
        others = [{**first[0], "score": 0.0} for _ in range(count - len(first))]
        many = folder / "many.json"
        many.write_text(json.dumps([*results, *others]))
        done = analyze(folder, "--detections", many, "--iou-type", "bbox")
        assert done.returncode == 0, done.stderr
        assert (note in done.stdout) == is_named


def test_a_name_with_a_line_break_and_equal_scores(folder, tmp_path):
    results = json.loads((folder / "results.json").read_text())
    for entry in results:
        entry["score"] = 0.5
    (tmp_path / "equal.json").write_text(json.dumps(results))
    shutil.copytree(folder / "shapes", tmp_path / "shapes")
    path = tmp_path / "shapes" / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "red\ncell"
    path.write_text(json.dumps(content))
    equal = "--detections", tmp_path / "equal.json", "--iou-type", "bbox"
    done = analyze(tmp_path, *equal)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "red" in line]
    assert row.startswith("  red cell          ") and len(row.split()) == 2 + 2 + 6
    assert "no cause loses AP" not in done.stdout


def test_errors_that_no_cause_alone_mends(monkeypatch):
    """The right detection is one of four with the same score; tidecv then ranks it last."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    error_report = importlib.import_module("_error_report").error_report
    box = [0, 0, 10, 10]
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "cat"}]}
    truth["annotations"] = [{"image_id": 1, "category_id": 1, "bbox": box}]
    right = {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.5}
    elsewhere = {**right, "bbox": [50, 50, 10, 10]}
    again = {**right, "bbox": [0, 0, 10, 9]}
    text = "\n".join(error_report(explain_errors(truth, [right, elsewhere, again]), 1))
    assert "AP 1.0000" in text and "no cause loses AP alone" in text
    text = "\n".join(error_report(explain_errors(truth, [right]), 1))
    assert "AP 1.0000" in text and text.count("no cause loses AP\n") == 1


def test_no_detections_at_all(folder):
    (folder / "none.json").write_text("[]")
    done = analyze(folder, "--detections", folder / "none.json", "--plot", folder / "none.png")
    assert done.returncode == 0, done.stderr
    assert "boxes: AP 0.0000" in done.stdout
    assert "missed              1.0000" in done.stdout


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": 77}, "1 image_id values of the results are not in the ground truth: 77"),
        ({"category_id": 8}, "1 category_id values of the results are not in the ground truth: 8"),
        ({"image_id": "a.jpg"}, "entry 2 has image_id 'a.jpg'; want an integer"),
        ({"score": "0.5"}, "entry 2 has score '0.5'; want a number"),
        ({"score": float("nan")}, "result number 2 has score"),
        ({"bbox": [1, 2, 3]}, "entry 2 has bbox [1, 2, 3]; want x, y, width and height"),
        ({"bbox": [1, 2, -3, 4]}, "entry 2 has bbox [1, 2, -3, 4]; want x, y, width and height"),
        ({"segmentation": [[1, 2, 3]]}, "entry 2 has segmentation a list of length 1; want run"),
        ({"segmentation": {"size": [2, 2], "counts": [1, 2]}}, "entry 2 has run lengths [1, 2] in"),
        ({"segmentation": {"size": [2, 2], "counts": [4]}}, "result number 2 has a mask of 2 x 2"),
    ],
)
def test_a_wrong_results_file_is_one_line(folder, change, message):
    results = json.loads((folder / "results.json").read_text())
    results[2].update(change)
    (folder / "wrong.json").write_text(json.dumps(results))
    done = analyze(folder, "--detections", folder / "wrong.json")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    "content, message",
    [
        ({"annotations": []}, "holds an object with 1 keys; want a list of results"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], "entry 0 has neither bbox nor segm"),
        ([{"image_id": 1, "category_id": 1}], "entry 0 has no 'score'"),
        ([3], "entry 0 has no 'score'"),
    ],
)
def test_a_file_of_something_else_is_one_line(folder, content, message):
    (folder / "other.json").write_text(json.dumps(content))
    done = analyze(folder, "--detections", folder / "other.json")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert message in done.stderr


def test_uncompressed_run_lengths_are_read(folder):
    results = json.loads((folder / "results.json").read_text())
    width_and_height = results[0]["segmentation"]["size"]
    pixels = width_and_height[0] * width_and_height[1]
    changed = copy.deepcopy(results[:1])
    changed[0]["segmentation"] = {"size": width_and_height, "counts": [0, pixels]}
    (folder / "lengths.json").write_text(json.dumps(changed))
    done = analyze(folder, "--detections", folder / "lengths.json", "--iou-type", "segm")
    assert done.returncode == 0 and "1 detections" in done.stdout, done.stderr


def test_flags_of_a_network_are_refused_beside_detections(folder):
    flags = "--detections", folder / "results.json", "--set", "nms_thresh=0.3", "--norm", "gn"
    done = analyze(folder, *flags)
    assert done.returncode == 2
    assert "--detections runs no network, so --norm, --set would change nothing" in done.stderr
