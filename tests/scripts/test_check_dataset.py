"""The check of a data set: its report and its exit status, and what training refuses."""

import json
import shutil
from dataclasses import asdict

import model_zoo
from gluonnorm import training
from gluonnorm.data import COCODataset, draw_shapes

import mxnet as mx
import numpy as np
import pytest
from in_process import run_script
from PIL import Image

SPLITS = ("--dataset", "coco", "--train-split", "train", "--val-split", "val")
SMALL_NETWORK = (
    *("--network", "faster_rcnn_resnet18_v1b_custom"),
    *("--set", "short=64", "max_size=96"),
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    draw_shapes(root, train=6, val=4, size=(64, 96), seed=5)
    return root


@pytest.fixture
def edited(shapes, tmp_path):
    """A copy of the data set, and a function that changes the annotations of both splits."""
    root = shutil.copytree(shapes, tmp_path / "data")

    def edit(change):
        for path in (root / "annotations").iterdir():
            content = json.loads(path.read_text())
            change(content)
            path.write_text(json.dumps(content))
        return root

    return edit


def check(root, *flags):
    return run_script("check_dataset.py", *SPLITS, "--data-root", root, *flags)


def test_a_sound_set(shapes):
    done = check(shapes)
    assert done.returncode == 0 and done.stderr == ""
    content = json.loads((shapes / "annotations" / "instances_train.json").read_text())
    empty = 6 - len({entry["image_id"] for entry in content["annotations"]})
    assert done.stdout.startswith(f"train: 6 images, {empty} of them without boxes to learn from\n")
    assert "\nval: 4 images" in done.stdout
    assert done.stdout.count("  0 faults, 0 problems") == 2
    for category in content["categories"]:
        boxes = [a for a in content["annotations"] if a["category_id"] == category["id"]]
        images = {a["image_id"] for a in boxes}
        row = [category["name"], str(len(boxes)), str(len(images))]
        assert row in [line.split() for line in done.stdout.splitlines()]
    heights = [line for line in done.stdout.splitlines() if "image height" in line]
    assert heights[0].split() == ["image", "height", "64", "64", "64"]


def test_all_faults_are_listed(edited):
    def change(content):
        content["annotations"][0]["bbox"] = [900, 5, 5, 5]
        content["annotations"][1]["iscrowd"] = "perhaps"

    root = edited(change)
    (root / "train" / "000001.jpg").unlink()
    cut = root / "train" / "000002.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    done = check(root, "--only", "train")
    assert done.returncode == 1 and "\nval:" not in done.stdout
    faults = [line for line in done.stdout.splitlines() if line.startswith("  fault: ")]
    for part in ("000001.jpg: no such image", "000002.jpg: cannot", "outside the", "'perhaps'"):
        assert sum(part in fault for fault in faults) == 1, (part, faults)
    assert len(faults) == 4 and "  4 faults, 0 problems" in done.stdout
    few = check(root, "--only", "train", "--show", 1).stdout
    assert few.count("  fault: ") == 1 and "and 3 more faults; --show 4 prints all" in few


def no_boxes(content):
    content["annotations"] = []


def all_crowd(content):
    for entry in content["annotations"]:
        entry["iscrowd"] = 1


def below_a_pixel(content):
    for entry in content["annotations"]:
        entry["bbox"][2:] = [0.6, 0.4]


HOPELESS = [
    (no_boxes, "not one box to learn from"),
    (all_crowd, "boxes are crowd or difficult"),
    (below_a_pixel, "less than a pixel wide or high"),
]


@pytest.mark.parametrize("change, problem", HOPELESS)
def test_a_set_from_which_nothing_can_be_learned(edited, change, problem):
    done = check(edited(change))
    assert done.returncode == 1 and done.stdout.count("  problem: ") == 2
    assert problem in done.stdout


@pytest.mark.parametrize("change, problem", HOPELESS)
def test_training_refuses_it_before_it_begins(edited, tmp_path, change, problem):
    flags = (*SMALL_NETWORK, "--epochs", 1, "--batch-size", 1, "--save-prefix", tmp_path / "run")
    done = run_script("train_faster_rcnn.py", *SPLITS, "--data-root", edited(change), *flags)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    *notes, error = done.stderr.splitlines()
    assert error.startswith("error: ") and problem in error
    assert all(note.startswith("note: ") for note in notes)
    assert not list(tmp_path.glob("run-*"))


def test_a_class_without_boxes_is_a_warning(edited):
    def change(content):
        content["categories"].append({"id": 77, "name": "unicorn"})

    done = check(edited(change))
    assert done.returncode == 0
    assert "  warning: no box to learn from for the classes unicorn" in done.stdout


@pytest.fixture
def cells(tmp_path):
    """A VOC folder of two photos; each is a split."""
    for split, names in (("train", ("WBC", "Platelets")), ("val", ("WBC",))):
        folder = tmp_path / "cells" / split
        folder.mkdir(parents=True)
        Image.new("RGB", (96, 64)).save(folder / f"{split}.jpg")
        objects = ""
        for name in names:
            objects += (
                f"<object><name>{name}</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>49</xmax>"
                "<ymax>49</ymax></bndbox></object>"
            )
        (folder / f"{split}.xml").write_text(f"<annotation>{objects}</annotation>")
    return tmp_path / "cells"


VOC_SPLITS = ("--dataset", "voc", "--train-split", "train", "--val-split", "val")


def test_a_class_whose_name_is_probably_wrong(cells, tmp_path):
    flags = (*VOC_SPLITS, "--data-root", cells, "--classes", "WBC", "Platelet")
    done = run_script("check_dataset.py", *flags)
    assert done.returncode == 1 and done.stdout.count("  problem: ") == 1
    assert "no object is of the class 'Platelet'" in done.stdout
    run = (*SMALL_NETWORK, "--epochs", 1, "--batch-size", 1, "--save-prefix", tmp_path / "run")
    done = run_script("train_faster_rcnn.py", *flags, *run)
    assert done.returncode == 2 and not list(tmp_path.glob("run-*"))
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ") and error.endswith("did you mean Platelets?")


def test_classes_that_are_probably_one(cells, tmp_path):
    xml = cells / "train" / "train.xml"
    xml.write_text(xml.read_text().replace("Platelets", "WBc"))
    flags = (*VOC_SPLITS, "--data-root", cells)
    warning = "the classes 'WBC' (boxes: 1) and 'WBc' (boxes: 1) differ only in case or spaces"
    done = run_script("check_dataset.py", *flags, "--only", "train")
    assert done.returncode == 0 and f"  warning: {warning}" in done.stdout
    run = (*SMALL_NETWORK, "--print-recipe", "--save-prefix", tmp_path / "run")
    done = run_script("train_faster_rcnn.py", *flags, *run)
    assert done.returncode == 0 and f"note: {warning}" in done.stderr


def test_training_images_in_the_validation_set_are_a_warning(cells):
    flags = (*VOC_SPLITS[:-1], "train", "--data-root", cells)
    done = run_script("check_dataset.py", *flags)
    assert done.returncode == 0 and done.stdout.count("  warning: ") == 1
    words = "1 of 1 validation images are training images too (the same name, size and boxes): "
    assert f"  warning: {words}" in done.stdout.partition("val: ")[2]
    done = run_script("check_dataset.py", *VOC_SPLITS, "--data-root", cells)
    assert done.returncode == 0 and "training images too" not in done.stdout


def test_without_a_validation_split(cells, tmp_path):
    flags = (*VOC_SPLITS[:4], "--data-root", cells)
    words = "error: --val-split is test by default; give the name of a split of the files, or "
    done = run_script("check_dataset.py", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{words}--only train to check the training set alone: ")
    assert done.stdout == ""  # not after the training split was read and judged
    run = (*SMALL_NETWORK, "--save-prefix", tmp_path / "run")
    done = run_script("train_faster_rcnn.py", *flags, *run)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{words}--val-interval 0 to train without validation: ")
    assert run_script("check_dataset.py", *flags, "--only", "train").returncode == 0


def test_a_validation_set_may_lack_a_class(cells):
    flags = (*VOC_SPLITS, "--data-root", cells, "--classes", "WBC", "Platelets")
    done = run_script("check_dataset.py", *flags)
    assert done.returncode == 0 and done.stdout.count("  warning: no box to learn from") == 1


def test_boxes_are_judged_in_the_input_of_a_network(edited):
    def change(content):
        for entry in content["annotations"]:
            entry["bbox"] = [10, 10, 3, 3]

    root = edited(change)
    assert check(root).returncode == 0
    done = check(root, *SMALL_NETWORK[:2], "--set", "short=16", "max_size=24")
    assert done.returncode == 1 and "after resizing to the network's input" in done.stdout
    done = check(root, *SMALL_NETWORK)
    assert done.returncode == 0 and "have no anchor with an IoU of 0.5" in done.stdout


def test_numbers_pictures_and_proposals(shapes, tmp_path):
    """A network without training proposes its anchors, so that the numbers are known."""
    settings = {"anchor_sizes": ((16,), (32,), (64,), (128,), (256,)), "short": 64, "max_size": 96}
    net = model_zoo.get_model(
        "faster_rcnn_fpn_resnet18_v1b_custom",
        norm="gn",
        classes=("circle", "square", "triangle"),
        fpn_channels=32,
        rpn_channels=32,
        **settings,
    )
    net.rpn.loc.weight.set_data(mx.nd.zeros_like(net.rpn.loc.weight.data()))
    trainer = mx.gluon.Trainer(net.collect_train_params(), "sgd")
    prefix = str(tmp_path / "net")
    checkpoint = training.save(prefix, net, trainer, {"step": 1}, spec=asdict(net.spec))
    numbers = tmp_path / "numbers.json"
    picture = tmp_path / "pictures" / "shapes"
    options = ("--only", "train", "--num-judged", 4)
    files = ("--json", numbers, "--plot", picture)
    done = check(shapes, "--params", checkpoint, *options, *files)
    assert done.returncode == 0, done.stderr
    with Image.open(f"{picture}-train.png") as image:
        assert image.size[0] > 1000
    content = json.loads(numbers.read_text())["train"]
    rows = content["objects"]
    dataset = COCODataset(shapes / "annotations" / "instances_train.json", shapes / "train")
    boxes = np.concatenate([dataset[index].boxes for index in range(6)])
    assert sorted(rows["width"]) == pytest.approx(sorted(boxes[:, 2] - boxes[:, 0]), abs=1e-3)
    counts = [len(dataset[index].boxes) for index in range(6)]
    assert content["boxes_of_image"] == counts
    judged = [number for number, iou in enumerate(rows["proposal_iou"]) if iou is not None]
    assert len({rows["image"][number] for number in judged}) == min(4, np.count_nonzero(counts))
    for number in judged:
        # Clipping an anchor to the image can only bring it closer to an object in the image.
        assert rows["candidate_iou"][number] >= rows["anchor_iou"][number] - 1e-3
        assert rows["candidate_iou"][number] >= rows["proposal_iou"][number]
    for name, entry in content["classes"].items():
        own = [number for number in judged if dataset.classes[rows["label"][number]] == name]
        if own:
            share = np.mean([rows["proposal_iou"][number] >= 0.5 for number in own])
            assert entry["reach"]["proposals"] == pytest.approx(share)
            cells = [line.split() for line in done.stdout.splitlines() if name in line.split()[:1]]
            assert cells[1][-2] == f"{100 * share:.1f}"


def test_a_split_without_objects_has_numbers_and_no_picture(edited, tmp_path):
    def change(content):
        content["annotations"] = []
        content["categories"][0]["name"] = "\u732b"

    numbers = tmp_path / "numbers.json"
    files = ("--json", numbers, "--plot", tmp_path / "plot")
    done = check(edited(change), *SMALL_NETWORK, *files)
    assert done.returncode == 1 and done.stderr == ""
    content = json.loads(numbers.read_text())["val"]
    assert content["objects"]["width"] == [] and content["boxes_of_image"] == [0] * 4
    assert not list(tmp_path.glob("plot*"))


def test_class_names_in_pictures_draw_without_a_warning(edited, tmp_path):
    def change(content):
        content["categories"][0]["name"] = "\u732b"
        content["categories"][1]["name"] = "$x$"

    done = check(edited(change), "--plot", tmp_path / "plot")
    assert done.returncode == 0 and done.stderr == ""
    assert sorted(path.name for path in tmp_path.glob("plot*")) == [
        "plot-train.png",
        "plot-val.png",
    ]


def test_masks_are_checked_on_request(edited):
    def change(content):
        content["annotations"][0]["segmentation"] = [[1, 1, 5, 5]]

    root = edited(change)
    assert check(root).returncode == 0
    done = check(root, "--masks")
    assert done.returncode == 1 and done.stdout.count("faulty polygon") == 2


def test_pictures_of_images_chosen_by_the_seed(shapes, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        flags = ("--draw", tmp_path / name, "--num-drawn", 2, "--seed", seed)
        assert check(shapes, *flags).returncode == 0
    names = {
        folder: sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in "abc"
    }
    assert names["a"] == names["b"] != names["c"] and len(names["a"]) == 4
    assert sum(name.startswith("val-") for name in names["a"]) == 2
    picture = Image.open(tmp_path / "a" / names["a"][0])
    assert picture.size == (96, 64)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--num-drawn", 0), "--num-drawn is 0; want at least 1"),
        (("--num-judged", -2), "--num-judged is -2; want at least 1"),
        (("--show", -1), "--show is -1; want at least 0"),
        (("--annotations", "absent.json"), "absent.json: cannot be read"),
        (("--network", "no_such_network"), "no_such_network"),
    ],
)
def test_what_cannot_be_opened_is_one_line(shapes, flags, message):
    done = check(shapes, *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr


@pytest.mark.parametrize(
    "flags", [("--set", "short=300"), ("--norm", "gn"), ("--base-network", "resnet18_v1b")]
)
def test_settings_without_their_network_are_refused(shapes, flags):
    done = check(shapes, *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {flags[0]} is about a network, and none is named; add")
