"""report.py: one file, what it shows of a run, and what it says of a run that lacks something."""

import html
import importlib
import json
import re
import shlex
import shutil
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from types import SimpleNamespace

import model_zoo
from gluonnorm import training
from gluonnorm.data import COCODataset, GluonCVDataset, draw_shapes
from gluonnorm.evaluation.matches import match_detections

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script
from PIL import Image
from pycocotools import mask as run_length_codec

SMALL = {
    **{"short": 64, "max_size": 96, "fpn_channels": 32, "rpn_channels": 32, "roi_size": 3},
    **{"rpn_test_pre_nms": 50, "rpn_test_post_nms": 10, "mask_roi_size": 4, "mask_channels": 32},
}
VOID_ELEMENTS = ("meta", "input", "img")  # without an end


@pytest.fixture
def part(monkeypatch):
    """A file of the report as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"run_report.{name}")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The folder of a run of two epochs, whose network has random weights, and its data set."""
    folder = tmp_path_factory.mktemp("report")
    draw_shapes(folder / "shapes", train=2, val=2, size=(64, 96))
    classes = COCODataset(
        folder / "shapes/annotations/instances_val.json", folder / "shapes/val"
    ).classes
    net = model_zoo.get_model(
        "mask_rcnn_fpn_resnet18_v1b_custom", classes=classes, norm="gn", **SMALL
    )
    trainer = mx.gluon.Trainer(training.trainable_parameters(net), "sgd")
    state = {"step": 4, "epoch": 2}
    checkpoint = training.save(str(folder / "a&b"), net, trainer, state, asdict(net.spec))
    training.mark_best(checkpoint)
    arguments = {
        **{"network": "mask_rcnn_fpn_resnet18_v1b_custom", "epochs": 2, "lr": 0.02, "resume": True},
        **{"dataset": "coco", "data_root": str(folder / "shapes"), "val_split": ["val"]},
    }
    choices = {"lr": {"value": 0.02, "origin": "recipe", "reason": "0.01 < 0.02 & so on"}}
    content = {"arguments": arguments, "choices": choices, "spec": asdict(net.spec)}
    (folder / "a&b-arguments.json").write_text(json.dumps({**content, "mxnet": "1.9.1"}))
    rows = []
    for step in range(1, 5):
        losses = {"rpn_class": 1 / step, "rcnn_box": 0.5}
        rows.append({"step": step, "epoch": (step - 1) // 2, "losses": losses, "time": 60.0 * step})
        rows[-1]["images_per_second"] = step
    for epoch, scores in ((1, {"AP50": 0.9, "segm/AP": 0.2}), (2, {"AP50": 0.8, "segm/AP": 0.25})):
        rows.insert(3 * epoch - 1, {"step": 2 * epoch, "epoch": epoch, "eval": scores})
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "a&b-metrics.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def folder(complete, tmp_path):
    return shutil.copytree(complete, tmp_path / "runs")


class Outline(HTMLParser):
    """The headlines of a page, what it loads, and whether its elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headlines, self.sources = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag in ("h2", "h3"):
            self.headlines.append("")
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.sources.append(value)
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headlines[-1] += data


def test_the_page_of_a_run_needs_no_other_file(folder):
    done = run_script("report.py", folder / "a&b")
    assert done.returncode == 0, done.stderr
    text = (folder / "a&b-report.html").read_text(encoding="utf-8")
    assert done.stdout.splitlines()[-1] == f"page  {folder}/a&b-report.html"
    outline = Outline(text)
    # The decisive score of a network with masks is their AP; the best one is that of epoch 2.
    assert "a&amp;b-best.json on 2 images" in text
    assert "segm/AP 0.250 (epoch 2)" in text and "a&amp;b" in text and "3 min" in text
    assert "0.01 &lt; 0.02 &amp; so on" in text
    pictures = [source for source in outline.sources if source.startswith("data:image/jpeg;")]
    assert pictures and set(outline.sources) - set(pictures) == {"#a&b"}
    assert "http" not in text.replace("http-equiv", "") and "@import" not in text
    assert outline.headlines == [
        *("Scores while training", "Losses", "a&b", "Average precision by class"),
        *("Average precision by size", "What AP is lost by", "Precision and recall"),
        "Confusion between classes",
        *("Calibration of the scores", "Worst false positives", "Worst misses", "Worst masks"),
        *("Sizes found and missed", "Reachable recall", "Speed", "Configuration", "Environment"),
        "Commands",
    ]
    assert "Training: 2.5 images/s" in text


def test_a_network_of_boxes_on_files_with_masks_whose_best_weights_are_without_header(folder):
    (folder / "a&b-best.json").unlink()
    path = folder / "a&b-arguments.json"
    content = json.loads(path.read_text())
    config = {name: SMALL[name] for name in SMALL if not name.startswith("mask")}
    net = model_zoo.get_model(
        "faster_rcnn_fpn_resnet18_v1b_custom",
        classes=content["spec"]["classes"],
        norm="gn",
        **config,
    )
    net.save_parameters(str(folder / "a&b-best.params"))
    content["arguments"]["network"] = "faster_rcnn_fpn_resnet18_v1b_custom"
    path.write_text(json.dumps({**content, "spec": asdict(net.spec)}))
    done = run_script("report.py", folder / "a&b")
    assert done.returncode == 0, done.stderr
    text = (folder / "a&b-report.html").read_text(encoding="utf-8")
    assert "Worst misses" in text and "Worst masks" not in text
    assert "a&amp;b-best.params on 2 images" in text
    assert "--network faster_rcnn_fpn_resnet18_v1b_custom" in text.split("eval_faster_rcnn.py")[1]


def lacking(folder, *flags):
    """Make the page, and return its text."""
    done = run_script("report.py", folder / "a&b", *flags)
    assert done.returncode == 0, done.stderr
    text = (folder / "a&b-report.html").read_text(encoding="utf-8")
    Outline(text)
    return text


def test_what_was_found_is_used_again_until_something_changes(folder, part):
    shapes = folder / "shapes"
    path = folder / "a&b-report-detections.json"

    def page():
        """A page without the minute and the speed."""
        text = lacking(folder, "--data-root", shapes)
        return re.sub("Made by [^<]*|[0-9.]* images/s, with", "", text)

    first = page()
    content = json.loads(path.read_text())
    seconds = f"in {content['found']['seconds']:.1f} s"
    content["found"]["seconds"] = 1234.5
    path.write_text(json.dumps(content))
    # The page is the same, with the time that the detection took.
    assert page() == first.replace(seconds, "in 1234.5 s") and seconds in first
    photo = next((shapes / "val").iterdir())
    pixels = photo.read_bytes()
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(photo)
    assert "1234.5" not in page()
    photo.write_bytes(pixels)
    path.write_text(json.dumps(content))
    annotations = shapes / "annotations" / "instances_val.json"
    truth = json.loads(annotations.read_text())
    truth["annotations"][0]["iscrowd"] = 1
    annotations.write_text(json.dumps(truth))
    assert "1234.5" not in page()
    read_found = part("kept_detections").read_found
    assert read_found(f"{folder}/a&b", json.loads(path.read_text())["fingerprint"]) is not None
    path.write_text("{")
    assert read_found(f"{folder}/a&b", content["fingerprint"]) is None


def test_what_was_found_depends_on_weights_and_settings(part):
    fingerprint = part("kept_detections").fingerprint
    dataset = GluonCVDataset([(IMAGE, np.array([[10, 10, 50, 50, 0]]))], classes=CLASSES)
    truth = dataset.coco_truth()
    net = model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", norm="gn", classes=CLASSES)
    keys = [fingerprint(net, dataset, truth, ""), fingerprint(net, dataset, truth, "0")]
    assert fingerprint(net, dataset, truth, "") == keys[0]
    net.configure(nms_thresh=0.4)
    keys.append(fingerprint(net, dataset, truth, ""))
    net.rpn.score.bias.set_data(net.rpn.score.bias.data() + 1)
    keys.append(fingerprint(net, dataset, truth, ""))
    assert len(set(keys)) == len(keys)


def test_a_run_without_weights(folder):
    for path in folder.glob("a&b-*.params"):
        path.with_suffix(".json").unlink()
        path.unlink()
    text = lacking(folder)
    assert "a&amp;b-best.json and no checkpoint" in text and "segm/AP 0.250" in text


def test_a_run_with_damaged_weights(folder):
    best, newest = [folder / f"a&b-{name}.params" for name in ("best", "0000004")]
    best.write_bytes(best.read_bytes()[:1000])
    text = lacking(folder)
    assert "a&amp;b-0000004.json on 2 images" in text
    assert re.search(
        "a&amp;b-best.params is damaged: 1000 bytes, [0-9]+ were written, so [^ ]*/a&amp;b-0000004"
        ".json is judged instead",
        text,
    )
    newest.write_bytes(newest.read_bytes()[:1000])
    text = lacking(folder)
    assert "all else that needs detections are missing" in text and "a&amp;b-best" in text


def test_a_run_whose_data_set_is_gone(folder, change_arguments):
    shutil.rmtree(folder / "shapes")
    text = lacking(folder, "--data-root", folder / "shapes")
    assert "instances_val.json" in text and "are missing:" in text and "has moved" not in text
    change_arguments(data_root=str(folder / "gone"))
    text = lacking(folder)
    assert f"--data-root was {folder}/gone in training: if it has moved, give its new place" in text


def test_other_classes_and_scores_than_in_training_are_told(folder, change_arguments):
    path = folder / "shapes/annotations/instances_val.json"
    content = json.loads(path.read_text())
    names = [category["name"] for category in content["categories"]]
    change_arguments(data_root=str(folder / "shapes"))
    # The metrics of the run are made up: its random weights find next to nothing.
    text = plain(lacking(folder))
    judged = re.search(
        rf"a&amp;b-best\.json on 2 images of {folder}/shapes: .*, masks AP (0\.\d\d\d),", text
    )
    assert judged is not None, text
    told = f"In training the same weights had segm/AP 0.250, and here they have {judged[1]}"
    assert told in text
    assert "The classes of network and files differ" not in text
    metrics = folder / "a&b-metrics.jsonl"
    equal = f'"segm/AP": {judged[1]}'
    metrics.write_text(metrics.read_text().replace('"segm/AP": 0.25', equal))
    assert "In training the same weights" not in lacking(folder)
    content["categories"][1]["name"] = "other"
    path.write_text(json.dumps(content))
    text = html.unescape(plain(lacking(folder)))
    assert (
        f"The classes of network and files differ: scored by name: {names[0]}, {names[2]}; not in "
        f"the data set: {names[1]} (no score); not in the network: other (left out)."
    ) in text


def test_runs_of_several_data_sets_share_one_place_only_with_a_word(folder, change_arguments):
    for ending in ("arguments.json", "metrics.jsonl"):
        shutil.copy(folder / f"a&b-{ending}", folder / f"c-{ending}")
    runs = [folder / "a&b", folder / "c"]
    flags = ["--data-root", folder / "shapes", "--no-detections"]
    assert "all runs are judged on" not in run_script("report.py", *runs, *flags).stdout
    change_arguments(data_root="elsewhere")
    done = run_script("report.py", *runs, *flags)
    assert f"all runs are judged on {folder}/shapes, in place of /" in done.stdout
    assert ", elsewhere\n" in done.stdout


FACTORY = """
import pathlib
from gluonnorm.data import COCODataset
pathlib.Path(__file__).with_name("imported").touch()
def shapes(root, split, classes):
    return COCODataset(f"{root}/annotations/instances_{split}.json", f"{root}/{split}", classes)
"""


@pytest.fixture
def change_arguments(folder):
    """A function that changes flags in the file of the run."""

    def change(**flags):
        path = folder / "a&b-arguments.json"
        content = json.loads(path.read_text())
        content["arguments"].update(flags)
        path.write_text(json.dumps(content))

    return change


def test_a_factory_is_imported_only_if_the_command_line_names_it(
    folder, change_arguments, monkeypatch
):
    (folder / "made_for_report.py").write_text(FACTORY)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "made_for_report", raising=False)
    name = "made_for_report:shapes"
    change_arguments(dataset=name)
    text = lacking(folder)
    assert f"if you trust it, give --dataset {name}" in text
    assert not (folder / "imported").exists()
    assert "a&amp;b-best.json on 2 images" in lacking(folder, "--dataset", name)
    assert (folder / "imported").exists()


@pytest.mark.parametrize("name", ["coco", "os:system"])
def test_a_factory_of_no_run_is_refused(folder, name):
    done = run_script("report.py", folder / "a&b", "--dataset", name, "--no-detections")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"--dataset is '{name}'; want the MODULE:FACTORY" in done.stderr


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"dataset": 5}, "--dataset is '5'"),
        ({"num_workers": "two"}, "are damaged: argument -j/--num-workers: invalid int value"),
        ({"sixth_number": 1}, "are damaged: argument --sixth-number: invalid choice"),
        ({"one_based": "yes"}, "are damaged: unrecognized arguments: yes"),
    ],
)
def test_damaged_flags_of_the_data_set_are_named(folder, change_arguments, flags, message):
    change_arguments(**flags)
    assert message in html.unescape(lacking(folder))


def test_a_run_without_metrics(folder):
    (folder / "a&b-metrics.jsonl").unlink()
    text = lacking(folder, "--no-detections")
    assert "The losses and scores of training are missing" in text


@pytest.mark.parametrize(
    "row, message",
    [
        ({"step": 9, "eval": {"AP50": 1.0}}, "step 9 has None as epoch"),
        ({"step": 9, "epoch": "3", "eval": {"AP50": 1.0}}, "step 9 has '3' as epoch"),
        ({"step": 9, "epoch": 3, "eval": {"AP50": "1.0"}}, "step 9 has '1.0' as eval AP50"),
        ({"step": 9, "epoch": 3, "eval": 1.0}, "step 9 has 1.0 as eval, which is no object"),
        ({"step": 9, "epoch": 3, "losses": {"box": None}}, "step 9 has None as losses box"),
        ({"step": 9, "time": "noon"}, "step 9 has 'noon' as time"),
        ({"step": 9, "time": float("nan")}, "step 9 has nan as time"),
    ],
)
def test_a_damaged_row_of_metrics_is_a_note(folder, row, message):
    with (folder / "a&b-metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    text = html.unescape(lacking(folder, "--no-detections"))
    assert "The losses and scores of training are missing" in text and message in text


def test_losses_that_are_not_finite_are_named_and_hide_no_neighbor(part, folder):
    losses = [{"box": 2.0, "class": 1.0}, {"box": float("nan"), "class": 1.0}]
    losses += [{"box": 4.0, "class": 10**400}, {"box": 4.0, "class": 2.0}] * 200
    rows = [{"step": step, "epoch": 0, "losses": row} for step, row in enumerate(losses, 1)]
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "a&b-metrics.jsonl").write_text("".join(lines))
    text = plain(lacking(folder, "--no-detections"))
    assert "a&amp;b: the losses of 201 of 402 updates are not finite, from update 2 on." in text
    run = part("run_files").read_run(str(folder / "a&b"), "a&b")
    sections = part("progress_sections").curves([run])
    # Parts of two updates of the 201 that are left: the first one is 1 and 4, sums of 3 and 6.
    bottom, top = 250, 12
    first = re.search('<polyline points="[0-9.]*,([0-9.]*) ', sections[1])[1]
    assert float(first) == pytest.approx(bottom - (3 + 6) / 2 / 6 * (bottom - top), abs=0.1)


def test_a_score_that_is_no_number_is_not_the_best(part, folder):
    rows = []
    for epoch, score in enumerate((float("nan"), 0.2, 0.3, float("nan")), 1):
        rows.append({"step": epoch, "epoch": epoch, "eval": {"AP50": score}})
    (folder / "a&b-metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = part("run_files").read_run(str(folder / "a&b"), "a&b")
    assert run.best_evaluation == rows[2]


def test_no_pictures_are_asked_for(folder):
    text = lacking(folder, "--num-cases", 0)
    assert "Worst" not in text and "Sizes found and missed" in text


@pytest.mark.parametrize(
    "name",
    [
        *("a&b-best.json", "a&b-best.params", "a&b-0000004.states", "a&b-arguments.json"),
        *("a&b-metrics.jsonl", "a&b-report-detections.json", "a&b.log"),
    ],
)
def test_the_page_replaces_no_file_of_a_run(folder, name):
    path = folder / name
    before = path.read_bytes() if path.exists() else None
    done = run_script("report.py", folder / "a&b", "--output", path, "--no-detections")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"--output would write {path}, which is a file of the run {folder}/a&b" in done.stderr
    assert (path.read_bytes() if path.exists() else None) == before


def test_the_page_replaces_no_file_of_another_run(folder):
    other = folder / "other-best.json"
    other.write_text("weights")
    done = run_script("report.py", folder / "a&b", "--output", other)
    assert done.returncode == 2 and f"--output is {other}; want a name that" in done.stderr
    assert other.read_text() == "weights"


def test_a_page_is_written_again(folder):
    for _ in range(2):
        done = run_script("report.py", folder / "a&b", "--output", folder / "a&b-page.html")
        assert done.returncode == 0, done.stderr


def test_the_last_epoch_of_a_run_without_evaluations_counts(folder):
    path = folder / "a&b-metrics.jsonl"
    steps = [line for line in path.read_text().splitlines() if "losses" in line]
    path.write_text("".join(f"{line}\n" for line in steps))
    assert "2 of 2" in lacking(folder, "--no-detections")


def test_a_run_that_has_just_begun(folder):
    (folder / "a&b-metrics.jsonl").write_text('{"step": 1, "epo')
    assert "has no complete row" in lacking(folder, "--no-detections")


def test_a_run_of_a_version_that_wrote_less(folder):
    path = folder / "a&b-arguments.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"arguments": content["arguments"]}))
    text = lacking(folder)
    assert "did not write why its values were chosen" in text


def test_a_run_of_a_version_with_other_settings(folder):
    (folder / "a&b-best.json").unlink()
    path = folder / "a&b-arguments.json"
    content = json.loads(path.read_text())
    content["spec"]["config"]["setting_of_tomorrow"] = 3
    path.write_text(json.dumps(content))
    text = lacking(folder)
    assert "setting_of_tomorrow" in text and "all else that needs detections are missing" in text
    assert "segm/AP 0.250" in text


def change_json(path, **changes):
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda path: path.unlink(), "is no training run: there is no"),
        (lambda path: path.write_text('{"arguments": {'), "cannot be read"),
        (lambda path: path.write_text("[]"), "cannot be read"),
        (lambda path: path.write_text('{"weights": 1}'), "no arguments of a training run"),
        (lambda path: change_json(path, choices={"lr": 0.1}), "choices.lr is 0.1; want value, "),
        (lambda path: change_json(path, choices=[]), "choices is []; want an object"),
        (lambda path: change_json(path, spec={"config": 1}), "spec.config is 1; want an object"),
        (
            lambda path: change_json(path, arguments={"network": "a", "set": "short=64"}),
            "arguments.set is 'short=64'; want a list of texts",
        ),
        (
            lambda path: change_json(path, arguments={"network": "a", "plugin": [1]}),
            "arguments.plugin is [1]; want a list of texts",
        ),
    ],
)
def test_no_run(folder, change, message):
    change(folder / "a&b-arguments.json")
    done = run_script("report.py", folder / "a&b")
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_runs_that_end_alike_are_told_apart(folder):
    (folder / "other").mkdir()
    for ending in ("arguments.json", "metrics.jsonl"):
        shutil.copy(folder / f"a&b-{ending}", folder / "other")
    text = lacking(folder, folder / "other" / "a&b", "--no-detections")
    assert f'<h2 id="{folder}/other/a&amp;b">' in text and f'<h2 id="{folder}/a&amp;b">' in text


def test_a_run_given_twice(folder):
    done = run_script("report.py", folder / "a&b", folder / "a&b")
    assert done.returncode == 2 and "is given 2 times" in done.stderr


def test_a_mistyped_run_is_told_from_those_there(folder):
    done = run_script("report.py", folder / "a&c")
    assert done.returncode == 2 and "did you mean a&b?" in done.stderr
    done = run_script("report.py", folder / "else")
    assert done.returncode == 2 and f"; there is {folder}/a&b" in done.stderr


CLASSES = ("cat", "dog")
IMAGE = np.zeros((200, 300, 3), np.uint8)


@pytest.fixture
def detected():
    """Two photos with four objects, and five detections."""
    labels = [
        [[10, 10, 50, 50, 0], [100, 10, 140, 50, 1]],
        [[0, 0, 80, 80, 0], [200, 0, 210, 9, 1]],
    ]
    dataset = GluonCVDataset([(IMAGE, np.array(rows, float)) for rows in labels], classes=CLASSES)
    cat, dog = dataset.category_ids
    first, second = [image["id"] for image in dataset.coco_truth()["images"]]
    results = []
    for image_id, category_id, box, score in (
        (first, cat, [10, 10, 40, 40], 0.9),
        (first, cat, [12, 10, 40, 40], 0.8),  # the same object
        (first, cat, [100, 10, 40, 40], 0.7),  # a dog
        (second, dog, [100, 100, 40, 40], 0.95),  # nothing
        (second, cat, [0, 0, 80, 80], 0.3),
    ):
        entry = {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
        results.append(entry)
    truth = dataset.coco_truth()
    return SimpleNamespace(
        dataset=dataset,
        ground_truth=truth,
        results=results,
        matches={"bbox": match_detections(truth, results)},
    )


def test_false_positives(part, detected):
    shelf = part("pictures").PhotoShelf(detected.dataset, detected.ground_truth)
    cases = part("case_sections").false_positives(detected, shelf, 5)
    assert [case.caption for case in cases] == [
        "dog 0.95: there is no object",
        # 38 of 42 columns.
        "cat 0.80: IoU 0.90 with cat, which a better detection has found",
        "cat 0.70: IoU 1.00 with dog",
    ]
    assert len(part("case_sections").false_positives(detected, shelf, 2)) == 2


def test_crowd_and_names_from_right_to_left_in_pictures(part):
    hebrew = "\u05ea\u05d0"
    rows = np.array([[10, 10, 50, 50, 0, 1], [100, 10, 140, 50, 1, 0]], float)
    dataset = GluonCVDataset([(IMAGE, rows)], classes=(hebrew, "dog"), difficult=True)
    truth = dataset.coco_truth()
    (image,) = truth["images"]
    entry = {"image_id": image["id"], "category_id": dataset.category_ids[0], "score": 0.75}
    entry["bbox"] = [105, 10, 40, 40]
    detected = SimpleNamespace(dataset=dataset, ground_truth=truth, results=[entry])
    detected.matches = {"bbox": match_detections(truth, [entry])}
    shelf = part("pictures").PhotoShelf(dataset, truth)
    (case,) = part("case_sections").false_positives(detected, shelf, 5)
    # Unicode's first strong isolate and its end keep the number behind the name.
    isolate = f"\u2068{hebrew}\u2069"
    assert case.caption == f"{isolate} 0.75: IoU {35 / 45:.2f} with dog"
    photo, crop = shelf.photo(image["id"]), part("pictures").Crop(0, 0, 200)
    text = photo.show(crop, truth["annotations"], entry, "objects")
    assert re.findall("<text[^>]*>([^<]+)", text) == [f"{isolate} (crowd or difficult)", "dog"]
    assert f"<span>{isolate}" not in part("score_sections").precision_recall(detected)  # no object
    detected.matches["bbox"].precisions[hebrew] = np.full(101, 0.5)
    assert f"</i>{isolate} 0.500</span>" in part("score_sections").precision_recall(detected)
    detected.matches["bbox"].precisions.clear()
    text = plain(part("score_sections").precision_recall(detected))
    assert text == "|Precision and recall|There is no object that counts.|"


def test_misses(part, detected):
    shelf = part("pictures").PhotoShelf(detected.dataset, detected.ground_truth)
    cases = part("case_sections").misses(detected, shelf, 0.5, 5)
    assert [case.caption for case in cases] == [
        "cat missed; found with the score 0.30 only",
        "dog missed",
        "dog missed",
    ]
    assert len(cases[0].detected) == 1 and cases[0].objects == [cases[0].focus]


def plain(html):
    """The texts of a page, with a | between them."""
    return re.sub("(<[^>]*>)+", "|", html)


def test_what_ap_is_lost_by(part, detected):
    text = plain(part("error_section").error_section(detected))
    # Of two cats the first is found, then come two errors, then the second one: the precision is 1
    # at 51 of 101 recalls, and 1/2 at the others. No dog is found.
    assert f"|Boxes: AP50 {(51 + 50 / 2) / 101 / 2:.3f}|" in text
    # With the dog's class mended, one error is left before the second cat, and one dog of two is
    # found after an error.
    gained = (50 * (2 / 3 - 1 / 2) + 51 / 2) / 101 / 2
    assert f"|class|{gained:.3f}|1|on an object, but called another class|" in text
    assert "look at the labels (check_dataset.py --draw)" in text
    assert "|dog|2|0.000|" in text


def test_no_ap_is_lost_without_objects(part, detected):
    detected.ground_truth["annotations"] = []
    text = plain(part("error_section").error_section(detected))
    assert "the ground truth has no object that counts" in text


def test_a_picture_names_few_boxes_and_the_one_that_matters(part, detected):
    pictures = part("pictures")
    shelf = pictures.PhotoShelf(detected.dataset, detected.ground_truth)
    first, second = detected.results[:2]
    outside = {**first, "bbox": [250, 150, 20, 20]}
    photo, crop = shelf.photo(first["image_id"]), pictures.Crop(0, 0, 100)
    text = photo.show(crop, [first, second, outside], focus=first, alt="both")
    # The picture is three times as large as this part of the photo.
    assert 'x="30.0" y="30.0" width="120.0" height="120.0" class="focus"' in text
    assert text.count("<rect") == 2 and text.count('class="focus"') == 1
    assert re.findall("<text[^>]*>([^<]+)", text) == ["cat 0.90", "cat 0.80"]
    text = photo.show(crop, [first, *[second] * 6], focus=first, alt="all")
    assert text.count("<rect") == 7 and text.count("<title>cat 0.80</title>") == 6
    assert re.findall("<text[^>]*>([^<]+)", text) == ["cat 0.90"]
    objects = detected.ground_truth["annotations"][:1]
    text = photo.show(crop, objects, focus=first, alt="object")
    assert re.findall("<text[^>]*>([^<]+)", text) == ["cat"] and "focus" not in text


def test_scores_without_a_detection_have_no_calibration(part, detected):
    detected.results = []
    text = plain(part("score_sections").score_calibration(detected))
    assert text == "|Calibration of the scores|There is no detection.|"


def test_sizes_found_and_missed(part):
    # 16 and 17 share a class, 23 is in the next one, and 32 in the one after that.
    lengths = np.array([16.0, 17.0, 23.0, 32.0, 500.0])
    found = np.array([True, False, True, False, False])
    missed = np.array([False, True, False, True, False])
    labels, found_counts, missed_counts = part("score_sections").size_histogram(
        lengths, found, missed
    )
    assert labels == ["16", "23", "32"]
    assert found_counts == [1, 1, 0] and missed_counts == [1, 0, 1]


def test_many_classes_are_listed_by_pairs(part):
    names = tuple(f"class {number}" for number in range(30))
    counts = np.zeros((31, 31), int)
    counts[3, 3], counts[4, 5], counts[6, 30] = 90, 7, 8
    confusion = SimpleNamespace(classes=names, counts=counts)
    text = plain(part("score_sections").confusion_table(confusion))
    assert re.findall(r"class \d+\|\w[^|]*\|\d+", text) == [
        "class 6|not detected|8",
        "class 4|class 5|7",
    ]


def test_tables_of_many_classes_are_folded(part):
    names = [f"class {number:03}" for number in range(300)]
    scores = {"AP": 0.5, "AP50": 0.5}
    for number, name in enumerate(names):
        # Every third class has no object, and the later ones have the lower scores.
        scores[f"AP/{name}"] = scores[f"AP50/{name}"] = -1 if number % 3 else 1 - number / 300
    share = SimpleNamespace(objects=1, length=9.0, mean_iou=0.5, positive=0.5, reached=0.5)
    share.candidates = share.proposals = None
    inspection = SimpleNamespace(
        reach=SimpleNamespace(positive=0.7, reached=0.5),
        reach_of_class={name: share for name in names},
        warnings=[f"warning {number}" for number in range(50)],
    )
    detected = SimpleNamespace(
        dataset=SimpleNamespace(classes=names, category_ids=range(300)),
        ground_truth={"annotations": []},
        matches={"bbox": SimpleNamespace(counts=np.zeros(0, bool))},
        has_masks=False,
        scores=scores,
        inspection=inspection,
    )
    sections = part("score_sections")
    shown, folded = sections.class_scores(detected).split("<details>")
    lowest = [f"class {number:03}" for number in range(297, 239, -3)]
    assert re.findall(r"class \d+", plain(shown)) == lowest
    assert re.findall(r"class \d+", plain(folded)) == names
    shown, classes, warnings = sections.reachable_recall(detected).split("<details>")
    assert "class 0" not in shown and plain(classes).count("|class ") == 300
    assert plain(classes).count("warning") == 20 and plain(warnings).count("warning") == 30


def test_long_curves_are_thinned_to_means(part):
    points = [(float(step), float(step % 2)) for step in range(1000)]
    thinned = part("progress_sections").thinned(points)
    # 200 parts of 5: 0 to 4 has two odd steps, 5 to 9 three.
    assert len(thinned) == 200 and thinned[:2] == [(2.0, 0.4), (7.0, 0.6)]
    assert part("progress_sections").thinned(points[:3]) == points[:3]
    assert part("progress_sections").thinned([]) == []


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 2.8, [0, 1, 2]),
        (0, 1435, [0, 500, 1000]),
        (0, 3, [0, 1, 2, 3]),
    ],
)
def test_ticks_are_round(part, low, high, expected):
    np.testing.assert_allclose(part("svg").ticks(low, high), expected, atol=1e-12)


def test_a_point_is_where_the_axes_say(part):
    svg = part("svg")
    line = svg.Line("a < b", [(0, 0), (5, float("nan")), (10, 1)], 0)
    text = svg.line_chart([line], "x", "y", (0, 10), (0, 1))
    bottom = svg.HEIGHT - svg.BOTTOM
    assert f'points="{svg.LEFT},{bottom} {svg.WIDTH - svg.RIGHT},{svg.TOP}"' in text
    assert "a &lt; b" in text and "nan" not in text


def test_points_that_no_axis_can_show_are_left_out(part):
    svg = part("svg")
    numbers = (1e308, -1e308, float("inf"), 10**400, 2.0, 1.0)
    line = svg.Line("loss", list(enumerate(numbers)), 0)
    text = svg.line_chart([line], "x", "y")
    # The steps 4 and 5 are left, from 2 to the half of it.
    middle = (svg.TOP + svg.HEIGHT - svg.BOTTOM) / 2
    left = svg.LEFT + 4 / 5 * (svg.WIDTH - svg.RIGHT - svg.LEFT)
    assert f'points="{left:g},{svg.TOP} {svg.WIDTH - svg.RIGHT},{middle:g}"' in text
    tiny = svg.Line("loss", [(0, 5e-324), (1, -5e-324)], 0)
    assert "<polyline" in svg.line_chart([tiny], "x", "y")


@pytest.mark.parametrize(
    "pause, evaluation, expected",
    [(0, 30, "11 min"), (90, 30, "12 min"), (7200, 30, "11 min"), (0, 1200, "50 min")],
)
def test_the_time_of_a_run_has_no_pauses(part, pause, evaluation, expected):
    # Two epochs of 300 updates a second each, and two evaluations. The pause is before update 450,
    # and may be a slow moment if it is short.
    rows, now = [], 1e9
    for step in range(601):
        now += 1 + pause * (step == 450)
        rows.append({"step": step, "epoch": step // 301, "losses": {}, "time": now})
        if step in (300, 600):
            now += evaluation
            rows.append({"step": step, "epoch": step // 300, "eval": {"AP50": 1}, "time": now})
    run = SimpleNamespace(rows=rows)
    assert part("progress_sections").duration(run) == expected


def test_a_short_run_has_seconds(part):
    rows = [{"step": step, "losses": {}, "time": 1e9 + 5 * step} for step in range(7)]
    assert part("progress_sections").duration(SimpleNamespace(rows=rows)) == "30 s"


def test_a_run_that_ended_early_is_told_from_one_that_was_stopped(folder, change_arguments):
    change_arguments(epochs=8)
    assert "|2 of 8|" in plain(lacking(folder, "--no-detections"))
    path = folder / "a&b-arguments.json"
    # What --patience writes.
    path.write_text(json.dumps({**json.loads(path.read_text()), "last_epoch": 2}))
    assert "|2 of 8, ended early|" in plain(lacking(folder, "--no-detections"))


def test_what_differs_between_runs(folder, change_arguments):
    for ending in ("arguments.json", "metrics.jsonl"):
        shutil.copy(folder / f"a&b-{ending}", folder / f"c-{ending}")
    text = plain(lacking(folder, folder / "c", "--no-detections"))
    assert "|What differs between the runs|All flags and versions are the same.|" in text
    change_arguments(lr=0.5, batch_size=8, save_prefix="elsewhere", num_workers=3)
    text = plain(lacking(folder, folder / "c", "--no-detections"))
    rows = "lr|0.5|0.02|batch_size|8|–|num_workers|3|–"
    assert f"|setting|a&amp;b|c|{rows}|Scores while training|" in text
    change_arguments(set=["short=64", "anchor_ratios=(1.0,)"])
    text = plain(lacking(folder, folder / "c", "--no-detections"))
    assert "|set short|64|–|set anchor_ratios|(1.0,)|–|" in text
    change_arguments(set=[])
    # No difference: flags that are not given, and one that the other version did not have.
    change_arguments(val_split=["test"], skip_bad=False, plugin=[], font=None)
    text = plain(lacking(folder, folder / "c", "--no-detections"))
    assert '|val_split|["test"]|["val"]|' in text
    assert "The validation sets may differ (val_split)." in text
    assert not re.search("[|](skip_bad|plugin|font)[|][^|]*[|]–[|]", text.split("Scores while")[0])
    assert "What differs" not in lacking(folder, "--no-detections")


def test_lines_of_the_same_color_have_other_dashes(part):
    svg = part("svg")
    lines = [svg.Line(f"run {number}", [(0, 0), (1, 1)], number) for number in range(24)]
    text = svg.line_chart(lines, "x", "y")
    drawn = re.findall("<polyline [^>]* style=[^>]*>", text)
    assert len({re.sub("points=[^ ]* ", "", line) for line in drawn}) == 24
    assert len(set(re.findall("<i style=[^>]*>", text))) == 24


def test_crops_stay_in_the_photo(part):
    crop = part("pictures").crop_around([250, 10, 40, 20], (200, 300))
    assert (crop.left, crop.top, crop.side) == (200, 0, 100)
    assert part("pictures").crop_around([0, 0, 30, 30], (40, 60)) == (0, 0, 60)


def test_the_command_has_the_flags_of_the_run(part):
    values = {"epochs": 8, "set": ["a=1", "b=(2,)"], "amp": True, "gpus": "", "font": None}
    assert part("setup_sections").flags_of(values, list(values)) == [
        *("--epochs", "8", "--set", "a=1", "b=(2,)", "--amp")
    ]


def test_the_commands_have_the_plugins_of_the_run_and_the_data_set_where_it_is_now(part):
    arguments = {"network": "mine", "dataset": "coco", "data_root": "then", "plugin": ["one", "b"]}
    arguments["save_prefix"] = "runs/mine"
    run = SimpleNamespace(arguments=arguments, spec={})
    text = part("setup_sections").commands(run, "run-best.json", "now")
    written = [html.unescape(pre) for pre in re.findall("<pre>(.*?)</pre>", text, re.DOTALL)]
    lines = [shlex.split(command.replace("\\\n", "")) for command in written]
    assert [line[1] for line in lines] == [
        *("scripts/train_faster_rcnn.py", "scripts/eval_faster_rcnn.py"),
        *("scripts/analyze.py", "scripts/check_dataset.py"),
    ]
    for words in lines:
        assert words[words.index("--data-root") + 1] == "now"
    for script, words in (("train_faster_rcnn", lines[0]), ("check_dataset", lines[3])):
        args = importlib.import_module(script).parse_args(words[2:])
        assert args.plugin == ["one", "b"] and args.data_root == "now"
    # Training refuses a prefix that has checkpoints.
    assert lines[0][lines[0].index("--save-prefix") + 1] == "runs/mine-again"
    for words in lines[1:3]:
        assert words[2:6] == ["--plugin", "one", "--plugin", "b"]


@pytest.fixture
def masked(detected):
    """The first photo of ``detected`` with masks: half of the cat, and all of the dog."""
    first = detected.results[0]["image_id"]
    truth = detected.ground_truth
    truth["images"] = [image for image in truth["images"] if image["id"] == first]
    truth["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] == first]
    detected.results = [entry for entry in detected.results if entry["image_id"] == first]
    for entry in truth["annotations"]:
        entry["segmentation"] = mask_of(entry["bbox"])
    for entry in detected.results:
        x, y, width, height = entry["bbox"]
        # 15 of 40 columns: an IoU of 0.375 with the mask of the object.
        entry["segmentation"] = mask_of([x, y, 15 if x < 100 else width, height])
    for iou_type in ("bbox", "segm"):
        detected.matches[iou_type] = match_detections(truth, detected.results, iou_type)
    return detected


def mask_of(box):
    """A mask of IMAGE that fills a box."""
    x, y, width, height = map(int, box)
    mask = np.zeros(IMAGE.shape[:2], np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    encoded = run_length_codec.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}


def test_confusion_and_calibration_of_masks(part, masked):
    sections = part("score_sections")
    text = plain(sections.confusion_tables(masked, 0.5))
    boxes, masks = text.split("Masks at an IoU of 0.5")
    tables = [half.split("0.5 or more:")[1].split("Detections with")[0] for half in (boxes, masks)]
    # Boxes: a cat found, found again (on no object), and a dog called a cat. Masks: no cat found.
    header = "|cat|dog|not detected|"
    assert [re.sub("[|]+", "|", text) for text in tables] == [
        f"{header}cat|1|0|0|dog|1|0|0|no object|1|0|",
        f"{header}cat|0|0|1|dog|1|0|0|no object|2|0|",
    ]
    text = plain(sections.score_calibration(masked))
    # The scores 0.9, 0.8 and 0.7, of which the first is right as a box and none as a mask.
    assert f"{(0.1 + 0.8 + 0.7) / 3:.3f} (boxes), {(0.9 + 0.8 + 0.7) / 3:.3f} (masks)" in text
    assert "share of right masks" in text and "Numbers of masks" in text
