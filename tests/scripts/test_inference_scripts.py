"""eval_faster_rcnn.py, export.py and demo.py from end to end, on a small untrained network."""

import dataclasses
import json
import os
import subprocess
import sys

import model_zoo
from gluonnorm import deploy, training
from gluonnorm.data import draw_shapes
from gluonnorm.deploy.backends.choice import RUN_TIMES
from gluonnorm.evaluation import evaluate_coco, evaluate_voc

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script
from PIL import Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """folder/shapes, and the checkpoint folder/net-0000003.json with weights of a fixed seed."""
    folder = tmp_path_factory.mktemp("scripts")
    draw_shapes(folder / "shapes", train=1, val=3)
    mx.random.seed(0)
    net = model_zoo.get_model(
        "faster_rcnn_resnet18_v1b_custom",
        classes=("circle", "square", "triangle"),
        short=96,
        max_size=128,
        score_thresh=0.0,
        rpn_channels=32,
        rpn_test_pre_nms=100,
        rpn_test_post_nms=30,
    )
    net(mx.nd.zeros((1, 3, 96, 128)))
    trainer = mx.gluon.Trainer(training.trainable_parameters(net), "sgd", {"learning_rate": 0.1})
    training.save(
        str(folder / "net"),
        net,
        trainer,
        {"step": 3, "epoch": 0, "seed": 0},
        dataclasses.asdict(net.spec),
    )
    return folder


@pytest.fixture(scope="module")
def exported(folder):
    """The checkpoint exported by the script, and what the script printed."""
    done = run_script(
        "export.py",
        "--params",
        folder / "net-0000003.json",
        "--output",
        folder / "out" / "net",
        "--image",
        folder / "shapes" / "val" / "000000.jpg",
    )
    assert done.returncode == 0, done.stderr
    return folder / "out" / "net", done.stdout


def test_weights_alone_have_the_widths_that_set_names(folder):
    done = run_script(
        "check_dataset.py",
        *("--dataset", "coco", "--data-root", folder / "shapes", "--val-split", "val"),
        *("--only", "val", "--num-judged", "1", "--params", folder / "net-0000003.params"),
        *("--network", "faster_rcnn_resnet18_v1b_custom", "--set", "rpn_channels=32", "short=96"),
    )
    assert done.returncode == 0, done.stderr
    assert "proposals" in done.stdout


def data_flags(folder):
    return "--dataset", "coco", "--data-root", folder / "shapes", "--val-split", "val"


def test_export_writes_files_and_finds_no_difference(exported):
    prefix, printed = exported
    assert sorted(path.name for path in prefix.parent.iterdir()) == [
        "net-0000.params",
        "net-symbol.json",
        "net.json",
    ]
    detections = int(printed.split("): ")[1].split(" detections")[0])
    differences = printed.split("largest difference: ids 0, scores ")[1].split(", boxes ")
    assert (
        detections > 0 and float(differences[0]) < 1e-5 and float(differences[1].split()[0]) < 1e-3
    )


def test_export_checks_an_onnx_file_in_onnxruntime(folder):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    done = run_script(
        "export.py",
        "--params",
        folder / "net-0000003.json",
        "--output",
        folder / "onnx" / "net",
        "--format",
        "onnx",
    )
    assert done.returncode == 0, done.stderr
    assert f"wrote {folder / 'onnx' / 'net.onnx'}, {folder / 'onnx' / 'net.json'}" in done.stdout
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == ["net.json", "net.onnx"]
    assert int(done.stdout.split("): ")[1].split(" detections")[0]) > 0
    differences = done.stdout.split("largest difference: ids 0, scores ")[1].split(", boxes ")
    assert float(differences[0]) < 1e-4
    assert float(differences[1].split()[0]) < 1e-2


def test_export_without_onnxruntime_is_one_line_before_the_work(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, RUN_TIMES["onnxruntime"].module, raising=False)
    done = run_script(
        "export.py",
        "--params",
        folder / "net-0000003.json",
        "--output",
        folder / "unchecked" / "net",
        "--format",
        "onnx",
    )
    assert done.returncode == 2
    assert "backend 'onnxruntime' needs the package onnxruntime" in done.stderr
    assert "pip install 'gluonnorm[onnx]'" in done.stderr
    assert not (folder / "unchecked").exists()


def test_settings_of_the_command_line_reach_the_export(folder):
    done = run_script(
        "export.py",
        "--params",
        folder / "net-0000003.json",
        "--set",
        "max_detections=5",
        "--output",
        folder / "few" / "net",
        "--image",
        folder / "shapes" / "val" / "000000.jpg",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "few" / "net.json").read_text())["config"]["max_detections"] == 5


def test_a_checkpoint_and_its_export_get_the_scores_of_their_detections(folder, exported):
    truth = json.loads((folder / "shapes" / "annotations" / "instances_val.json").read_text())
    found = []
    for model, metric in (
        (("--params", folder / "net-0000003.json"), "coco"),
        (("--exported", exported[0]), "voc12"),
    ):
        saved = folder / f"{metric}.json"
        done = run_script(
            "eval_faster_rcnn.py",
            *model,
            *data_flags(folder),
            "--metric",
            metric,
            "--batch-size",
            2,
            "--save-json",
            saved,
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
        results = json.loads(saved.read_text())
        found.append(results)
        assert f"{metric}, 3 images, {len(results)} detections" in done.stdout and results
        rows = [line.split() for line in done.stdout.splitlines() if line]
        if metric == "coco":
            metrics = evaluate_coco(truth, results)
            assert ["AP50", f"{metrics['AP50']:.4f}"] in rows
            assert [
                "circle",
                f"{metrics['AP/circle']:.4f}",
                f"{metrics['AP50/circle']:.4f}",
            ] in rows
        else:
            metrics = evaluate_voc(truth, results, metric="voc12")
            assert ["mAP", f"{metrics['mAP']:.4f}"] in rows and [
                "square",
                f"{metrics['AP/square']:.4f}",
            ] in rows
    assert_same_but_for_rounding(*found)


def assert_same_but_for_rounding(found, others):
    """An export computes as its network does, its norms folded."""
    assert [(row["image_id"], row["category_id"]) for row in found] == [
        (row["image_id"], row["category_id"]) for row in others
    ]
    np.testing.assert_allclose(
        [row["score"] for row in found], [row["score"] for row in others], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(
        [row["bbox"] for row in found], [row["bbox"] for row in others], rtol=0, atol=1e-3
    )


@pytest.fixture(scope="module")
def masked(folder):
    """A checkpoint of a network with masks, and its export: the flags that name them."""
    mx.random.seed(0)
    net = model_zoo.get_model(
        "mask_rcnn_fpn_resnet18_v1b_custom",
        classes=("circle", "square", "triangle"),
        short=96,
        max_size=128,
        score_thresh=0.0,
        fpn_channels=32,
        rpn_channels=32,
        rpn_test_pre_nms=50,
        rpn_test_post_nms=20,
        mask_channels=32,
        mask_roi_size=4,
        max_detections=5,
    )
    net(mx.nd.zeros((1, 3, 96, 128)))
    training.save(
        str(folder / "masks"),
        net,
        mx.gluon.Trainer(training.trainable_parameters(net), "sgd"),
        {"step": 3, "epoch": 0, "seed": 0},
        dataclasses.asdict(net.spec),
    )
    deploy.export(net, str(folder / "out" / "masks"))
    return ("--params", folder / "masks-0000003.json"), ("--exported", folder / "out" / "masks")


@pytest.mark.parametrize("which", [0, 1])
def test_masks_are_scored_too(folder, masked, which):
    saved = folder / f"masks-{which}.json"
    done = run_script(
        "eval_faster_rcnn.py", *masked[which], *data_flags(folder), "--save-json", saved
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(saved.read_text())
    assert results and all("counts" in row["segmentation"] for row in results)
    metrics = evaluate_coco(
        json.loads((folder / "shapes" / "annotations" / "instances_val.json").read_text()),
        results,
        "segm",
    )
    rows = [line.split() for line in done.stdout.splitlines() if line]
    assert ["segm/AP50", f"{metrics['AP50']:.4f}"] in rows
    assert ["class", "AP", "AP50", "segm/AP", "segm/AP50"] in rows
    assert [row[-2:] for row in rows if row[0] == "circle"] == [
        [f"{metrics[name]:.4f}" for name in ("AP/circle", "AP50/circle")]
    ]


def test_masks_need_no_truth_where_boxes_alone_are_scored(folder, masked):
    done = run_script("eval_faster_rcnn.py", *masked[0], *data_flags(folder), "--metric", "voc07")
    assert done.returncode == 0 and "mAP" in done.stdout and "segm" not in done.stdout


def test_a_script_starts_in_a_process_of_its_own(folder, exported):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run(
        [
            sys.executable,
            str(SCRIPTS / "demo.py"),
            str(folder / "shapes" / "val"),
            "--exported",
            str(exported[0]),
            "--output",
            str(folder / "alone"),
        ],
        env=environment,
        capture_output=True,
    )
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert len(list((folder / "alone").iterdir())) == 3


def test_demo_draws_what_it_can_and_says_what_it_cannot(folder, exported):
    photos = folder / "photos"
    photos.mkdir()
    pixels = np.zeros((60, 80, 3), np.uint8)
    for name in ("b.jpg", "a.png"):
        Image.fromarray(pixels).save(photos / name)
    (photos / "broken.jpg").write_bytes((photos / "b.jpg").read_bytes()[:100])
    (photos / "notes.txt").write_text("not an image")
    done = run_script(
        "demo.py",
        photos,
        folder / "absent.jpg",
        photos / "b.jpg",
        "--exported",
        exported[0],
        "--output",
        folder / "drawn",
        "--score-thresh",
        0,
    )
    assert done.returncode == 1
    errors = done.stderr.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)
    assert (
        "broken.jpg: cannot be read as an image" in errors[0]
        and "absent.jpg: no such image file" in errors[1]
    )
    assert sorted(path.name for path in (folder / "drawn").iterdir()) == [
        "a-detections.jpg",
        "b-2-detections.jpg",
        "b-detections.jpg",
    ]
    drawn = np.array(Image.open(folder / "drawn" / "a-detections.jpg"))
    assert drawn.shape[1:] == pixels.shape[1:]
    assert drawn[: len(pixels)].max() > 100  # boxes lie on the black image, above the legend
    assert drawn[len(pixels) :].mean() > 200
    assert done.stdout.count(" -> ") == 3


@pytest.mark.parametrize(
    "script, args, message",
    [
        (
            "eval_faster_rcnn.py",
            ["--params", "net-0000003.json", "--dataset", "voc", "--data-root", "absent"],
            "absent",
        ),
        (
            "eval_faster_rcnn.py",
            [
                "--params",
                "net-0000003.json",
                "--dataset",
                "lst",
                "--data-root",
                ".",
                "--gpus",
                "99",
            ],
            "--gpus asks for GPU 99",
        ),
        (
            "export.py",
            ["--params", "net-0000003.json", "--norm", "gn", "--output", "other/net"],
            "checkpoint of another network",
        ),
        (
            "export.py",
            ["--params", "net-0000003.params", "--output", "other/net"],
            "name their network with --network",
        ),
        (
            "export.py",
            ["--params", "net-0000003.params", "--network", "resnet50_v2", "--output", "other/net"],
            "is a bare backbone",
        ),
        (
            "export.py",
            ["--params", "net-0000003.json", "--set", "nms_treshold=1", "--output", "other/net"],
            "no setting 'nms_treshold'; did you mean nms_thresh",
        ),
        (
            "export.py",
            ["--params", "net-0000003.json", "--set", "rpn_channels=8", "--output", "other/net"],
            "and would be 8: widths, RoI size and number of anchors are those of the weights",
        ),
        (
            "demo.py",
            ["shapes/val", "--exported", "absent", "--set", "nms_thresh=0.3"],
            "--set cannot change exported",
        ),
        ("demo.py", ["shapes/val", "--exported", "absent"], "absent-symbol.json and"),
        ("demo.py", ["shapes", "--exported", "absent"], "shapes: no images in this folder"),
    ],
)
def test_what_the_user_can_cause_is_one_line_and_status_two(
    folder, monkeypatch, script, args, message
):
    monkeypatch.chdir(folder)
    done = run_script(script, *args)
    assert done.returncode == 2 and done.stdout == ""
    assert (
        done.stderr.startswith("error: ")
        and done.stderr.count("\n") == 1
        and message in done.stderr
    )
    assert not (folder / "other").exists()


@pytest.mark.parametrize("script", ["eval_faster_rcnn.py", "export.py", "demo.py"])
def test_help_shows_an_example(script):
    done = run_script(script, "--help")
    assert (
        done.returncode == 0
        and f"python scripts/{script}" in done.stdout
        and "--seed" in done.stdout
    )


def changed_truth(folder, name, change):
    """A copy of the validation file in which ``change`` has altered the content."""
    content = json.loads((folder / "shapes" / "annotations" / "instances_val.json").read_text())
    change(content)
    path = folder / "shapes" / "annotations" / f"{name}.json"
    path.write_text(json.dumps(content))
    return "annotations/" + path.name


def evaluate_script(folder, annotations, *flags):
    image_folder = folder / "shapes" / "val"
    return run_script(
        "eval_faster_rcnn.py",
        "--params",
        folder / "net-0000003.json",
        *data_flags(folder),
        "--annotations",
        annotations,
        "--image-dir",
        image_folder,
        *flags,
    )


def test_a_file_with_fewer_and_other_categories_is_scored_by_name(folder):
    def rename(content):
        for category in content["categories"]:
            if category["name"] == "square":
                category["name"] = "hexagon"

    annotations = changed_truth(folder, "other_names", rename)
    saved = folder / "other_names.json"
    done = evaluate_script(folder, annotations, "--save-json", saved, "--metric", "voc07")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == (
        "scored by name: circle, triangle; not in the data set: square (no score); "
        "not in the network: hexagon (left out)"
    )
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["square"] == ["-1.0000"] and "hexagon" not in rows
    # The other classes have the scores that they have with all categories.
    whole = evaluate_script(folder, "annotations/instances_val.json", "--metric", "voc07")
    whole_rows = {line.split()[0]: line.split()[1:] for line in whole.stdout.splitlines() if line}
    for name in ("circle", "triangle"):
        assert rows[name] == whole_rows[name] and float(rows[name][0]) >= 0
    truth = json.loads((folder / "shapes" / annotations).read_text())
    shared = {entry["id"] for entry in truth["categories"] if entry["name"] != "hexagon"}
    assert {entry["category_id"] for entry in json.loads(saved.read_text())} == shared


def test_a_file_without_a_category_of_the_network_is_an_error(folder):
    def rename(content):
        for category in content["categories"]:
            category["name"] += "s"

    done = evaluate_script(folder, changed_truth(folder, "none_shared", rename))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "so nothing can be scored; did you mean circles?" in done.stderr


def test_only_crowd_is_said(folder):
    def make_crowd(content):
        for annotation in content["annotations"]:
            annotation["iscrowd"] = 1

    done = evaluate_script(folder, changed_truth(folder, "crowd", make_crowd))
    assert done.returncode == 0, done.stderr
    assert "no box of the ground truth counts" in done.stdout


def test_a_file_that_cannot_be_written_costs_no_work(folder):
    done = evaluate_script(folder, "annotations/instances_val.json", "--save-json", folder)
    assert done.returncode == 2 and "is a folder; name a file" in done.stderr
