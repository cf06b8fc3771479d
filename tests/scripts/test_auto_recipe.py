"""--recipe auto and --minutes of the training script."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

from gluonnorm.data import GluonCVDataset, draw_shapes
from gluonnorm.training import read_metrics
from gluonnorm.types import Preprocess
from gluonnorm.weight_files import read_arrays

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script

FLAGS = (
    "--network faster_rcnn_fpn_resnet18_v1b_custom --dataset coco --train-split train "
    "--val-split val --dtype float32"
).split()
# A network that is trained in a second.
SMALL = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=8 num_sample=8 rpn_num_sample=16 "
    "rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 rpn_test_post_nms=20"
).split()
IMAGES = 6


@pytest.fixture(scope="module")
def budget():
    """The module of --minutes, as the script itself imports it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("_time_budget")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=IMAGES, val=1, size=(64, 96))
    return folder


def train(root, prefix, *flags):
    return run_script(
        "train_faster_rcnn.py", *FLAGS, "--data-root", root, "--save-prefix", prefix, *flags
    )


def written_choices(prefix):
    return json.loads(Path(f"{prefix}-arguments.json").read_text())["choices"]


@pytest.mark.parametrize("update", [0.05, 1.5, 20.0])
@pytest.mark.parametrize("evaluation", [0.0, 3.0, 60.0, 5000.0])
@pytest.mark.parametrize("steps", [3, 205, 100000])
def test_what_is_laid_fits_into_the_time_and_fills_it(budget, update, evaluation, steps):
    seconds = 2400.0
    report = evaluation / 2
    length = budget.fit_length(seconds, steps, budget.Times(update, evaluation, report))
    assert length.seconds <= seconds * 0.94 + 1e-6
    assert length.epochs >= 1 and 1 <= length.epoch_steps <= steps
    training = length.epochs * (length.epoch_steps * update + budget.SAVE_SECONDS)
    scored = 0
    if length.val_interval:
        scored = -(-length.epochs // length.val_interval)
    ending = report if length.val_interval else 0
    assert length.seconds == pytest.approx(training + scored * evaluation + ending)
    # One evaluation is allowed a third of the time, the earlier ones a twelfth.
    assert (length.val_interval > 0) == (evaluation in (3.0, 60.0))
    assert (scored - 1) * evaluation <= 0.08 * seconds
    # Twelve epochs and more may leave a rest of less than one.
    assert length.seconds >= 0.94 * seconds * 11 / 12 - 60


@pytest.mark.parametrize("interval", [0, 1, 3, 40])
@pytest.mark.parametrize("steps", [3, 205, 100000])
def test_a_given_interval_of_evaluations_is_kept(budget, interval, steps):
    times = budget.Times(update=1.5, evaluation=60.0, report=30.0)
    length = budget.fit_length(2400.0, steps, times, interval)
    assert length.val_interval == interval
    scored = -(-length.epochs // interval) if interval else 0
    training = length.epochs * (length.epoch_steps * 1.5 + budget.SAVE_SECONDS)
    assert length.seconds == pytest.approx(training + 60 * scored + (30 if interval else 0))
    assert length.seconds <= 2400 * 0.94
    if interval:
        # Another epoch with its evaluations would take too long.
        assert length.epoch_steps == steps or length.epochs == 1
        another = steps * 1.5 + budget.SAVE_SECONDS + 60 / interval
        assert length.seconds + another + 60 > 2400 * 0.94 - 2 * 60


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("epoch", [4.0, 30.0])
@pytest.mark.parametrize("seconds", [100.0, 233.0, 600.0])
def test_checkpoints_and_recalibrations_get_their_time(budget, steps, epoch, seconds):
    """A checkpoint of a ResNet-50 with a pyramid has 350 megabytes, as much as 20 small updates."""
    times = budget.Times(update=0.5, evaluation=0.0, report=0.0, epoch=epoch)
    length = budget.fit_length(seconds, steps, times)
    taken = length.epochs * (length.epoch_steps * 0.5 + epoch)
    assert length.seconds == pytest.approx(taken) and taken <= 0.94 * seconds
    assert length.epochs >= 1 and 1 <= length.epoch_steps <= steps
    # As many updates at least as complete epochs would make.
    complete = int(0.94 * seconds / (steps * 0.5 + epoch))
    assert length.epochs * length.epoch_steps >= complete * steps


def test_what_follows_an_epoch_is_measured(budget, shapes, tmp_path, monkeypatch):
    measured = []

    def fit_length(seconds, steps, times, interval):
        measured.append(times)
        return budget.Length(epochs=1, epoch_steps=steps, val_interval=0, seconds=60.0)

    monkeypatch.setattr(budget, "fit_length", fit_length)
    flags = [*SMALL, "--norm", "bn", "--recipe", "auto", "--minutes", 2, "--print-recipe"]
    saved = train(shapes, tmp_path / "runs" / "run", *flags)
    assert saved.returncode == 0 and not list(tmp_path.iterdir()), saved.stderr
    assert measured[0].epoch > budget.SAVE_SECONDS
    # By the clock of this test, 2 of 6 batches are averaged in 0.2 seconds. A checkpoint comes
    # every second epoch.
    clock = [0.0]

    def average_in_a_fifth_of_a_second(recalibration, epoch):
        clock[0] += 0.2

    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(budget, "_time_checkpoint", lambda *_: 3.0)
    monkeypatch.setattr(budget.Recalibration, "average", average_in_a_fifth_of_a_second)
    monkeypatch.setattr(budget, "TIMED_STEPS", 2)
    flags += ["--recalibrate", 6, "--batch-size", 1, "--save-interval", 2]
    assert train(shapes, tmp_path / "run", *flags).returncode == 0
    assert measured[1].epoch == pytest.approx(budget.SAVE_SECONDS + 3 / 2 + 0.2 * 6 / 2)


def test_a_time_too_short_for_anything_is_refused(budget):
    with pytest.raises(ValueError, match="10 updates fit, want at least 20; give 0.2 minutes more"):
        budget.fit_length(12.0, 100, budget.Times(update=1.0, evaluation=0.0))


@pytest.mark.parametrize("seconds", [-172.0, 0.0, 5.0, 12.0])
@pytest.mark.parametrize("update, evaluation", [(0.9, 0.0), (1.0, 20.0), (9.0, 60.0)])
@pytest.mark.parametrize("interval", [None, 0, 1, 3])
def test_the_minutes_that_are_asked_for_are_enough(budget, seconds, update, evaluation, interval):
    """Also where opening the data and measuring have taken more than all of the minutes."""
    times = budget.Times(update, evaluation, report=evaluation / 2, epoch=3.0)
    with pytest.raises(ValueError, match="updates fit, want at least 20") as error:
        budget.fit_length(seconds, 100, times, interval)
    assert f"leaves {seconds:.0f} seconds" in str(error.value) or seconds <= 0
    more = float(re.search(r"give (\S+) minutes more", str(error.value)).group(1))
    enough = budget.fit_length(seconds + 60 * more, 100, times, interval)
    assert enough.epochs * enough.epoch_steps >= 20
    with pytest.raises(ValueError, match="want at least 20"):
        budget.fit_length(seconds + 60 * more - 6.1, 100, times, interval)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_an_evaluation_takes_as_long_as_its_batches(budget, monkeypatch, devices):
    """A batch takes 3 seconds by the clock of this test, however many devices share it."""
    clock = [0.0]

    def predict_in_three_seconds(net, batches, ctx, mask_paste):
        for batch in batches:
            clock[0] += 3.0
            yield from ((sample.image_id, None) for sample in batch.samples)

    monkeypatch.setattr(budget, "predict", predict_in_three_seconds)
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    photos = 24
    dataset = GluonCVDataset(
        [(np.zeros((8, 8, 3), np.uint8), np.array([[1, 1, 5, 5, 0]]))] * photos, ["cell"]
    )
    net = SimpleNamespace(
        preprocess=Preprocess(short=(8,), max_size=8),
        hybridize=lambda: None,
        config=SimpleNamespace(convention=SimpleNamespace(mask_paste="sample")),
    )
    ctx = [mx.cpu(number) for number in range(devices)]
    seconds = budget._time_evaluation(SimpleNamespace(num_workers=1), net, dataset, ctx)
    assert seconds == pytest.approx(1.2 * 3.0 * photos / devices)


@pytest.fixture(scope="module")
def automatic(budget, shapes, tmp_path_factory):
    """A run with the automatic recipe, of two epochs of two updates: its prefix."""
    prefix = tmp_path_factory.mktemp("automatic") / "run"
    length = budget.Length(epochs=2, epoch_steps=2, val_interval=2, seconds=60.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "fit_length", lambda *_: length)
        done = train(shapes, prefix, *SMALL, "--recipe", "auto", "--minutes", 2)
    assert done.returncode == 0, done.stderr
    assert "recipe: nine tenths of the objects have" in done.stdout
    return prefix


def test_rules_and_flags_reach_the_network_and_the_arguments(automatic):
    choices = written_choices(automatic)
    assert choices["norm"]["value"] == "gn" and "frozen_bn needs" in choices["norm"]["reason"]
    assert choices["short"] == {"value": 64, "origin": "flag", "reason": ""}
    assert choices["anchor_ratios"]["origin"] == "recipe"
    assert "1.0 of 2 minutes; an update takes" in choices["epochs"]["reason"]
    assert (choices["epochs"]["value"], choices["epoch_steps"]["value"]) == (2, 2)
    assert len(read_metrics(f"{automatic}-metrics.jsonl")) == 2 * 2 + 1
    written = json.loads(Path(f"{automatic}-arguments.json").read_text())
    assert written["spec"]["norm"] == "gn" and written["arguments"]["minutes"] == 2
    assert written["spec"]["config"]["anchor_sizes"] == choices["anchor_sizes"]["value"]
    assert written["arguments"]["dtype"] == "float32" and "short=64" in written["arguments"]["set"]


def test_a_run_without_time_for_evaluations_keeps_its_last_weights(
    shapes, budget, tmp_path, monkeypatch
):
    length = budget.Length(epochs=1, epoch_steps=2, val_interval=0, seconds=60.0)
    monkeypatch.setattr(budget, "fit_length", lambda *_: length)
    prefix = tmp_path / "run"
    flags = [*SMALL, "--recipe", "auto", "--minutes", 2]
    refused = train(shapes, prefix, *flags, "--patience", 2)
    assert refused.returncode == 2
    assert "error: --patience 2 counts evaluations, and one of them takes too m" in refused.stderr
    done = train(shapes, prefix, *flags)
    assert done.returncode == 0, done.stderr
    assert written_choices(prefix)["val_interval"]["value"] == 0
    assert not any("eval" in row for row in read_metrics(f"{prefix}-metrics.jsonl"))
    last = tmp_path / "run-0000002.params"
    best = read_arrays(f"{prefix}-best.params")
    for name, values in read_arrays(str(last)).items():
        np.testing.assert_array_equal(best[name], values, err_msg=name)
    assert Path(f"{prefix}-best.json").exists()
    resumed = train(shapes, prefix, *SMALL, "--resume", "--patience", 2)
    assert resumed.returncode == 2
    assert "the run that --resume continues makes none; leave --patience" in resumed.stderr


def test_measuring_leaves_no_trace(shapes, automatic, tmp_path):
    flags = ["--epochs", 2, "--epoch-steps", 2, "--val-interval", 2]
    again = train(shapes, tmp_path / "again", *SMALL, "--recipe", "auto", *flags)
    assert again.returncode == 0, again.stderr
    (weights,) = sorted(automatic.parent.glob("run-0*.params"))[-1:]
    expected = read_arrays(str(weights))
    found = read_arrays(str(tmp_path / weights.name.replace("run", "again")))
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_resumed_run_keeps_the_first_decision(shapes, automatic):
    first = written_choices(automatic)
    rows = len(read_metrics(f"{automatic}-metrics.jsonl"))
    done = train(shapes, automatic, *SMALL, "--resume", "--recipe", "auto", "--minutes", 9)
    assert "--minutes was" not in done.stderr
    assert done.returncode == 0, done.stderr
    second = written_choices(automatic)
    assert {name: each["value"] for name, each in second.items()} == {
        name: each["value"] for name, each in first.items()
    }
    assert second["epochs"]["origin"] == "earlier run"
    assert len(read_metrics(f"{automatic}-metrics.jsonl")) == rows
    # The anchors of a pyramid, which JSON has as lists of lists, are no other ones than before.
    assert done.stderr.splitlines() == [
        "note: --minutes has no effect; the run keeps its 2 epochs, and --epochs changes them"
    ]


def test_a_resumed_run_keeps_the_settings_that_were_given_with_the_recipe(shapes, automatic):
    first = written_choices(automatic)
    done = train(shapes, automatic, "--resume")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    second = written_choices(automatic)
    assert {name: second[name]["value"] for name in ("short", "fpn_channels", "num_sample")} == {
        "short": 64,
        "fpn_channels": 32,
        "num_sample": 8,
    }
    assert second.keys() == first.keys()
    other = train(shapes, automatic, "--resume", "--set", "num_sample=16", "short=64")
    assert other.returncode == 2 and "num_sample is 8 in the checkpoint, 16 here" in other.stderr


def test_minutes_do_not_lay_the_rest_of_a_run(shapes, automatic):
    """They would hold the epochs that are made already, too, and the run might end at once."""
    flags = ["--resume", "--recipe", "auto", "--minutes", 9, "--batch-size", 3]
    done = train(shapes, automatic, *SMALL, *flags)
    assert done.returncode == 2
    assert "--minutes 9 sets the length of a run that begins" in done.stderr


def test_print_recipe_gives_the_reason_of_each_rule_and_writes_nothing(shapes, tmp_path):
    done = train(shapes, tmp_path / "run", "--recipe", "auto", "--print-recipe")
    assert done.returncode == 0 and not list(tmp_path.iterdir()), done.stderr
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "recipe: nine tenths of the objects have" in rows["--set anchor_sizes"]
    assert "recipe: two small photos a device" in rows["--batch-size"]
    assert "recipe: nothing is pretrained" in rows["--set freeze_at"]
    assert rows["--dtype"].split()[1:] == ["float32", "flag"]


def test_the_rules_follow_the_lengths_of_multi_scale(shapes, tmp_path):
    """Photos of 64 pixels would get 64; lengths of 96 did not fit into the longer side of that."""
    flags = ["--recipe", "auto", "--print-recipe", "--multi-scale", 128, 192]
    done = train(shapes, tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert rows["--set short"].split()[2:4] == ["192", "recipe:"]
    assert rows["--set max_size"].split()[2] == "320"  # 5/3
    given = train(shapes, tmp_path / "run", *flags, "--set", "short=160")
    assert "--set short               160 " in given.stdout


def test_the_rules_follow_a_longer_side_below_the_shorter_one_of_the_network(shapes, tmp_path):
    """The network's own `short` is 800, so it could not be built with a `max_size` of 100."""
    flags = ["--recipe", "auto", "--print-recipe", "--set", "max_size=100"]
    done = train(shapes, tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert rows["--set max_size"].split()[2:] == ["100", "flag"]
    assert int(rows["--set short"].split()[2]) <= 100
    wrong = train(shapes, tmp_path / "run", *flags[:-1], "max_size='x'")
    assert wrong.returncode == 2 and "max_size is 'x'; want whole pixels" in wrong.stderr


def test_a_published_recipe_fits_into_minutes_as_well(budget, shapes, tmp_path, monkeypatch):
    length = budget.Length(epochs=3, epoch_steps=6, val_interval=1, seconds=60.0)
    monkeypatch.setattr(budget, "fit_length", lambda *_: length)
    flags = [*SMALL, "--norm", "gn", "--recipe", "detectron_1x"]
    done = train(shapes, tmp_path / "run", *flags, "--minutes", 2, "--print-recipe")
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "1.0 of 2 minutes" in rows["--epochs"] and rows["updates"].split()[1] == "18"
    assert rows["--lr-decay-epoch"].split()[1] == "2,2.67"
    assert "after 66.7 %, 88.9 % of the run" in rows["--lr-decay-epoch"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--minutes", "5"], "--minutes fits the schedule of a recipe; add --recipe auto"),
        (["--recipe", "auto", "--minutes", "0"], "--minutes is 0; want a number above 0"),
        (["--recipe", "auto", "--minutes", "5", "--epochs", "2"], "--epochs 2 both set the length"),
        # Each of these would make the run shorter or longer than the minutes.
        (["--recipe", "auto", "--minutes", "5", "--epoch-steps", "1"], "--epoch-steps 1 both set"),
        (["--recipe", "auto", "--minutes", "0.0001"], "--minutes is over after measuring"),
        (["--epoch-steps", "0"], "--epoch-steps is 0; want at least 1"),
    ],
)
def test_what_makes_no_schedule_is_refused_before_training(shapes, tmp_path, flags, message):
    done = train(shapes, tmp_path / "run", *SMALL, *flags)
    assert done.returncode == 2 and not list(tmp_path.glob("run-*"))
    assert message in done.stderr.splitlines()[-1]


def test_an_epoch_may_have_fewer_updates_than_the_data_set(shapes, tmp_path):
    flags = [*SMALL, "--norm", "gn", "--epochs", 3, "--epoch-steps", 2, "--val-interval", 0]
    done = train(shapes, tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    rows = read_metrics(str(tmp_path / "run-metrics.jsonl"))
    assert [row["epoch"] for row in rows] == [0, 0, 1, 1, 2, 2]
    more = train(shapes, tmp_path / "more", *SMALL, "--norm", "gn", "--epoch-steps", IMAGES + 1)
    assert more.returncode == 2 and "--epoch-steps is 7" in more.stderr
