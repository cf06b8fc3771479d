"""Losses, accumulated gradients, early stops and empty images, by flags of the training script."""

import importlib
import json
import shutil
from pathlib import Path

from gluonnorm import training
from gluonnorm.data import draw_shapes

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script

# Everything is sampled, so that no draw remains.
SETTINGS = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=16 roi_size=3 num_sample=64 "
    "rpn_num_sample=4000 rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 "
    "rpn_test_post_nms=10 max_detections=5"
).split()
NETWORK = ["--network", "faster_rcnn_fpn_resnet18_v1b_custom", "--norm", "gn"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Four training images, of which two have no box, and two for validation."""
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=4, val=2, size=(64, 96))
    path = folder / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    first = content["images"][0]["id"]
    rows = content["annotations"]
    content["annotations"] = [row for row in rows if row["image_id"] != first]
    path.write_text(json.dumps(content))
    return folder


def train(shapes, prefix, *flags):
    data = ["--dataset", "coco", "--data-root", shapes, "--train-split", "train"]
    options = ["--val-split", "val", "--save-prefix", prefix, "--lr", 0.005, *flags, *SETTINGS]
    return run_script("train_faster_rcnn.py", *NETWORK, *data, *options)


def succeed(shapes, prefix, *flags):
    done = train(shapes, prefix, *flags)
    assert done.returncode == 0, done.stderr
    return done


def losses(prefix):
    rows = training.read_metrics(f"{prefix}-metrics.jsonl")
    return [row["losses"] for row in rows if "losses" in row]


@pytest.fixture(scope="module")
def plain(shapes, tmp_path_factory):
    """Two epochs of batches of two images: the prefix."""
    prefix = tmp_path_factory.mktemp("plain") / "run"
    succeed(shapes, prefix, "--batch-size", 2, "--epochs", 2)
    return prefix


def test_accumulated_gradients_are_those_of_the_large_batch(shapes, plain, tmp_path):
    prefix = tmp_path / "run"
    flags = ["--batch-size", 1, "--accumulate", 2, "--epochs", 2, "--val-interval", 0]
    succeed(shapes, prefix, *flags)
    assert len(losses(prefix)) == len(losses(plain)) == 4
    for row, wanted in zip(losses(prefix), losses(plain)):
        assert row == pytest.approx(wanted, abs=1e-5)
    # Rounding grows from update to update: after four it is 2e-5 in this network.
    found = mx.nd.load(f"{prefix}-0000002.params")
    for name, wanted in mx.nd.load(f"{plain}-0000002.params").items():
        np.testing.assert_allclose(found[name].asnumpy(), wanted.asnumpy(), rtol=0, atol=1e-5)


def test_the_rate_and_the_recipe_count_the_images_of_an_update(shapes, tmp_path):
    flags = ["--print-recipe", "--recipe", "detectron2_voc", "--batch-size", 2]
    for accumulate, words in ((1, "0.02 for 16 images, here 2"), (8, "here 16")):
        size = ["--accumulate", accumulate, "--data-root", shapes, "--dataset", "coco"]
        split = ["--train-split", "train", "--val-interval", 0]
        done = run_script("train_faster_rcnn.py", *NETWORK, *flags, *size, *split)
        assert done.returncode == 0 and words in done.stdout, done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--class-loss", "focal"],
        ["--class-weights", "circle=5", "background=0.1"],
        ["--class-loss", "my_loss:half"],
    ],
)
def test_another_class_loss_changes_the_first_class_loss_alone(
    shapes, plain, tmp_path, monkeypatch, flags
):
    monkeypatch.chdir(tmp_path)
    Path("my_loss.py").write_text(
        "from gluonnorm.rcnn import softmax_class_loss\n\n\n"
        "def half(F, logits, labels, setting):\n"
        "    return softmax_class_loss(F, logits, labels, setting) / 2\n"
    )
    prefix = tmp_path / "run"
    succeed(shapes, prefix, "--batch-size", 2, "--epochs", 1, "--val-interval", 0, *flags)
    first, wanted = losses(prefix)[0], losses(plain)[0]
    for name in wanted:
        if name == "rcnn_class":
            assert np.isfinite(first[name]) and abs(first[name] / wanted[name] - 1) > 0.1
        else:
            assert first[name] == pytest.approx(wanted[name], rel=1e-5)
    if flags[-1] == "my_loss:half":
        assert first["rcnn_class"] == pytest.approx(wanted["rcnn_class"] / 2, rel=1e-5)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--class-loss", "focl"], "--class-loss is 'focl'; did you mean focal? give one of"),
        (["--class-loss", "none:loss"], "--class-loss none: no such module"),
        (["--class-weights", "circl=2"], "no class 'circl' to be weighted; did you mean circle"),
        (["--class-weights", "circle"], "--class-weights circle: give CLASS=WEIGHT"),
        (["--class-weights", "circle=2", "circle=3"], "circle=3: give CLASS=WEIGHT, each class"),
        (["--class-weights", "circle=-1"], "the weight of class 'circle' is -1.0; want above 0"),
        (["--accumulate", "0"], "--accumulate is 0; want at least 1"),
        (["--patience", "-1"], "--patience is -1; want a number of 1 or more, 0 for never"),
        (["--patience", "2", "--val-interval", "0"], "--val-interval 0 makes none; leave one"),
    ],
)
def test_a_wrong_flag_is_one_line(shapes, tmp_path, flags, message):
    done = train(shapes, tmp_path / "run", *flags)
    *notes, error = done.stderr.splitlines()
    assert done.returncode == 2 and error.startswith("error: ") and message in error
    assert all(note.startswith("note: ") for note in notes)
    assert not list(tmp_path.glob("run-0*"))


def test_a_threshold_that_repeats_no_image_is_noted(shapes, tmp_path):
    plan = ["--print-recipe", "--val-interval", 0, "--repeat-threshold", 0.01]
    done = succeed(shapes, tmp_path / "run", *plan)
    assert "makes 4 images of the 4, so it repeats none; a larger threshold does" in done.stderr


def test_an_update_of_more_images_than_there_are_is_noted(shapes, tmp_path):
    """The gradient is divided by the images that were asked for: 4 of 16 learn at a quarter."""
    plan = ["--print-recipe", "--batch-size", 4, "--val-interval", 0]
    assert "note: an update" not in succeed(shapes, tmp_path / "run", *plan).stderr
    done = succeed(shapes, tmp_path / "run", *plan, "--accumulate", 4)
    assert done.stderr.endswith(
        "note: an update of 16 images (--batch-size 4, --accumulate 4) is more than an epoch has; "
        "each has 4, and learns as at 0.25 of --lr; lower the two\n"
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--class-loss", "focl"], "--class-loss is 'focl'; did you mean focal? give one of"),
        (["--class-weights", "circl=2"], "no class 'circl' to be weighted; did you mean circle"),
        (["--box-loss", "none:loss"], "--box-loss none: no such module"),
        (["--recalibrate", "2"], "--recalibrate: this network has no bn, sync_bn or sn layer"),
        (["--wd", "0", "--bias-wd", "0.1"], "--bias-wd is 0.1 and --wd is 0; give a --wd above 0"),
    ],
)
@pytest.mark.parametrize("before", [["--print-recipe"], ["--recipe", "auto", "--minutes", 9]])
def test_what_the_network_does_not_have_is_refused_before_a_step(
    shapes, tmp_path, monkeypatch, before, flags, message
):
    """--print-recipe makes no step, and --minutes measures some before the run begins."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    budget = importlib.import_module("_time_budget")
    monkeypatch.setattr(budget, "make_step", lambda *_: pytest.fail("a step is measured"))
    done = train(shapes, tmp_path / "run", *before, *flags)
    assert done.returncode == 2 and message in done.stderr.splitlines()[-1], done
    assert done.stdout == ""


@pytest.fixture()
def waiting(plain, tmp_path):
    """A copy of the run, whose first evaluation was the best: its prefix."""
    shutil.copytree(plain.parent, tmp_path / "waiting")
    prefix = tmp_path / "waiting" / "run"
    metrics = Path(f"{prefix}-metrics.jsonl")
    rows = training.read_metrics(str(metrics))
    best = 1.0
    for row in rows:
        if "eval" in row:
            row["eval"]["AP50"] = best
            best = 0.5
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return prefix


def test_a_run_without_gain_ends_with_a_checkpoint_and_stays_ended(shapes, waiting):
    flags = ["--batch-size", 2, "--epochs", 9, "--patience", 2, "--resume", "--save-interval", 5]
    done = succeed(shapes, waiting, *flags)
    words = "AP50 has not risen above 1.000 (epoch 1) in 2 evaluations; the run ends after epoch 3"
    assert words in done.stdout and words in Path(f"{waiting}.log").read_text()
    assert Path(f"{waiting}-0000006.json").exists() and len(losses(waiting)) == 6
    _, report = done.stdout.split(words)
    assert "what keeps AP50 at " in report
    assert "AP50 was best after epoch 1 (1.000) and has fallen to " in report
    again = succeed(shapes, waiting, *flags)
    assert words in again.stdout and len(losses(waiting)) == 6
    longer = succeed(shapes, waiting, *flags, "--patience", 3)
    assert "in 3 evaluations; the run ends after epoch 4" in longer.stdout


def test_empty_images_are_background_or_left_out(shapes, plain, tmp_path):
    names = set()
    for flags in ([], ["--skip-empty"]):
        prefix = tmp_path / f"run{len(flags)}"
        done = succeed(shapes, prefix, "--epochs", 1, "--val-interval", 0, *flags)
        names.add(len(losses(prefix)))
        assert ("--skip-empty left out 2 of 4 images" in done.stderr) == bool(flags)
    assert names == {4, 2}
