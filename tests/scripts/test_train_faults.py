"""What a training run survives: kills, damaged checkpoints, bad images, a second run."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from gluonnorm import training
from gluonnorm.data import COCODataset, draw_shapes

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script

STEPS = 3  # of an epoch: six images, two at a time
FLAGS = (
    "--network faster_rcnn_fpn_resnet18_v1b_custom --norm gn --batch-size 2 --lr 0.01 "
    "--dataset coco --train-split train --val-split val --set short=64 max_size=96 "
    "fpn_channels=32 rpn_channels=8 anchor_sizes=((24,),(32,),(40,),(64,),(128,)) num_sample=8 "
    "rpn_num_sample=16 rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 "
    "rpn_test_post_nms=10 max_detections=5"
).split()
# A plugin that waits for ever at the beginning of the second evaluation.
STALL = """
import time
import _evaluator

evaluate = _evaluator.evaluate
calls = []


def stall(*arguments):
    calls.append(arguments)
    if len(calls) == 2:
        print("evaluating", flush=True)
        time.sleep(600)
    return evaluate(*arguments)


_evaluator.evaluate = stall
"""


def train(root, prefix, *flags):
    return run_script(
        "train_faster_rcnn.py", *FLAGS, "--data-root", root, "--save-prefix", prefix, *flags
    )


def assert_one_line(done, *messages):
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert all(message in done.stderr for message in messages), done.stderr


def assert_same_run(prefix, straight):
    """Compare the weights of the last step, the best weights and the metrics of two runs."""
    for ending in ("0000006", "best"):
        found, wanted = (mx.nd.load(f"{run}-{ending}.params") for run in (prefix, straight))
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name].asnumpy(), array.asnumpy(), err_msg=name)
    found, wanted = (training.read_metrics(f"{run}-metrics.jsonl") for run in (prefix, straight))
    for key in ("step", "losses", "eval"):
        assert [row.get(key) for row in found] == [row.get(key) for row in wanted]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=2 * STEPS, val=2, size=(64, 96))
    return folder


@pytest.fixture(scope="module")
def straight(shapes, tmp_path_factory):
    """The prefix of a run of two epochs that nothing disturbed."""
    prefix = tmp_path_factory.mktemp("straight") / "run"
    done = train(shapes, prefix, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    return prefix


@pytest.fixture
def earlier(straight, tmp_path):
    """The prefix of a copy of that run, to be harmed."""
    shutil.copytree(straight.parent, tmp_path / "earlier")
    return tmp_path / "earlier" / "run"


@pytest.mark.slow
def test_a_run_killed_during_its_evaluation_makes_it_up(shapes, straight, tmp_path):
    prefix = tmp_path / "run"
    (tmp_path / "stall.py").write_text(STALL)
    command = [sys.executable, SCRIPTS / "train_faster_rcnn.py", *FLAGS, "--plugin", "stall"]
    command += ["--data-root", shapes, "--save-prefix", prefix, "--epochs", "2"]
    with subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while "evaluating" not in process.stdout.readline():
                assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
    rows = training.read_metrics(f"{prefix}-metrics.jsonl")
    assert [row["step"] for row in rows if "eval" in row] == [STEPS]
    assert Path(f"{prefix}.lock").exists() and Path(f"{prefix}-0000006.json").exists()
    # All steps are made, so the resumed run has nothing to do but the evaluation.
    done = train(shapes, prefix, "--epochs", 2, "--resume")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "epoch 2: AP" in done.stdout
    assert_same_run(prefix, straight)
    assert not Path(f"{prefix}.lock").exists()
    # A further resume does not evaluate again.
    assert "epoch 2: AP" not in train(shapes, prefix, "--epochs", 2, "--resume").stdout


def test_a_damaged_newest_checkpoint_costs_its_steps_alone(shapes, straight, earlier):
    newest = Path(f"{earlier}-0000006.params")
    content = newest.read_bytes()
    newest.unlink()  # the best weights may be another name of the same file
    newest.write_bytes(content[:1000])
    done = train(shapes, earlier, "--epochs", 2, "--resume")
    assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"note: {newest} is damaged: 1000 bytes, {len(content)} were")
    assert f"continuing from {earlier}-0000003.json" in done.stderr
    assert Path(f"{newest}.aside").read_bytes() == content[:1000]
    for ending in ("params", "json"):  # of the step that was made once more
        assert Path(f"{earlier}-0000006.{ending}").exists()
    assert_same_run(earlier, straight)


def test_a_run_goes_back_to_a_checkpoint_by_name(shapes, straight, earlier):
    done = train(shapes, earlier, "--epochs", 2, "--resume", f"{earlier}-0000003.json")
    assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"note: going back to {earlier}-0000003.json; the newer ")
    assert Path(f"{earlier}-0000006.json.aside").exists()
    assert_same_run(earlier, straight)


def give_scores(prefix, *scores):
    """Change the scores of a run, epoch by epoch, and keep the best weights that follow."""
    metrics = Path(f"{prefix}-metrics.jsonl")
    rows = training.read_metrics(str(metrics))
    evaluations = [row for row in rows if "eval" in row]
    for row, score in zip(evaluations, scores):
        row["eval"]["AP50"] = score
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    best_epoch = int(np.argmax(scores)) + 1
    training.mark_best(f"{prefix}-{STEPS * best_epoch:07d}.json")


@pytest.mark.parametrize("val_interval, best_step", [(1, STEPS), (0, 2 * STEPS)])
def test_going_back_behind_the_best_weights_leaves_them(shapes, earlier, val_interval, best_step):
    """The discarded second epoch was the best one, and its repetition is worse than the first."""
    give_scores(earlier, 0.99, 1.0)
    discarded = Path(f"{earlier}-best.params").read_bytes()
    flags = ["--resume", f"{earlier}-0000003.json", "--lr", 1e-6, "--val-interval", val_interval]
    done = train(shapes, earlier, "--epochs", 2, *flags)
    assert done.returncode == 0, done.stderr
    assert f"{earlier}-best.json now end in .aside" in done.stderr
    assert Path(f"{earlier}-best.params.aside").read_bytes() == discarded
    assert training.read(f"{earlier}-best.json")["state"]["step"] == best_step
    best = Path(f"{earlier}-best.params").read_bytes()
    assert best == Path(f"{earlier}-{best_step:07d}.params").read_bytes() != discarded


def test_a_run_without_evaluations_that_is_over_gets_its_best_weights(shapes, earlier):
    """As after kill -9 between the last checkpoint and the best weights."""
    for ending in ("json", "params"):
        Path(f"{earlier}-best.{ending}").unlink()
    done = train(shapes, earlier, "--epochs", 2, "--resume", "--val-interval", 0)
    assert done.returncode == 0, done.stderr
    assert training.read(f"{earlier}-best.json")["state"]["step"] == 2 * STEPS


def test_going_back_to_the_best_weights_keeps_them(shapes, earlier):
    give_scores(earlier, 1.0, 0.99)
    best = Path(f"{earlier}-best.params").read_bytes()
    flags = ["--resume", f"{earlier}-0000003.json", "--lr", 1e-6]
    done = train(shapes, earlier, "--epochs", 2, *flags)
    assert done.returncode == 0 and "-best" not in done.stderr, done.stderr
    assert Path(f"{earlier}-best.params").read_bytes() == best


def test_a_damaged_row_of_scores_is_one_line(shapes, earlier):
    with open(f"{earlier}-metrics.jsonl", "a") as file:
        file.write('{"step": 99, "eval": {"AP50": 1}}\n')
    done = train(shapes, earlier, "--resume")
    assert done.returncode == 2
    assert "the row of step 99 has None as epoch, which is no number of epochs" in done.stderr


def test_a_damaged_checkpoint_by_name_is_refused(shapes, earlier):
    states = Path(f"{earlier}-0000006.states")
    states.unlink()
    files = sorted(path.name for path in earlier.parent.iterdir())
    done = train(shapes, earlier, "--epochs", 3, "--resume", f"{earlier}-0000006.json")
    assert_one_line(done, f"{states} is missing", "use an earlier checkpoint")
    assert sorted(path.name for path in earlier.parent.iterdir()) == files


def test_another_seed_or_batch_size_is_noted(shapes, earlier):
    flags = ["--epochs", 2, "--resume", "--seed", 5, "--batch-size", 3, "--val-interval", 0]
    flags += ["--momentum", 0.5]
    done = train(shapes, earlier, *flags)
    assert done.returncode == 0, done.stderr
    assert "note: --momentum 0.5 has no effect; the checkpoint's optimizer keeps 0.9" in done.stderr
    assert "note: --resume: epoch was 2 and is 3, seed was 233 and is 5" in done.stderr


def test_flags_that_change_what_is_learned_are_noted(shapes, earlier):
    flags = ["--epochs", 2, "--resume", "--val-interval", 0]
    assert train(shapes, earlier, *flags).stderr == ""
    done = train(shapes, earlier, *flags, "--clip-gradient", 5, "--norm", "gn", "--lr", 0.02)
    assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(
        "note: --resume: --lr was 0.01 and is 0.02, --clip-gradient was None and is 5.0; the run "
    )
    # The run has taken the new values over.
    assert "--lr was 0.02 and is 0.01" in train(shapes, earlier, *flags).stderr
    # Without the file there is nothing to compare with.
    Path(f"{earlier}-arguments.json").unlink()
    assert train(shapes, earlier, *flags).stderr == ""


def test_a_run_that_is_over_says_so(shapes, earlier):
    flags = ["--resume", "--val-interval", 0]
    words = "nothing is left to train: the run has made 6 updates, and --epochs "
    done = train(shapes, earlier, *flags, "--epochs", 2)
    assert done.returncode == 0 and f"{words}2 are 6; more --epochs continue it" in done.stdout
    # Larger batches make shorter epochs, so these three are over as well.
    done = train(shapes, earlier, *flags, "--epochs", 3, "--batch-size", 3)
    assert done.returncode == 0 and f"{words}3 are 6; " in done.stdout
    assert words not in train(shapes, earlier, *flags, "--epochs", 3).stdout


def test_another_validation_set_of_a_resumed_run_is_noted(shapes, earlier):
    flags = ["--epochs", 2, "--resume"]
    position = FLAGS.index("--val-split") + 1
    given = [*FLAGS[:position], "train", *FLAGS[position + 1 :], "--data-root", shapes]
    done = run_script("train_faster_rcnn.py", *given, "--save-prefix", earlier, *flags)
    assert done.returncode == 0, done.stderr
    shared, split = done.stderr.splitlines()
    assert " validation images are training images too (the same name, size and boxes)" in shared
    assert split == (
        "note: --resume: --val-split was ['val'] and is ['train']; the scores before and after are "
        "of other images, and the best weights are chosen among both"
    )
    # It has taken the new one over, and a run that scores nothing compares nothing.
    done = train(shapes, earlier, *flags, "--val-interval", 0)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_a_picture_that_cannot_be_drawn_does_not_end_a_run(shapes, earlier):
    picture = Path(f"{earlier}-curve.png")
    picture.unlink()
    picture.mkdir()
    with pytest.warns(UserWarning, match="curve.png is not drawn .*; the run goes on"):
        done = train(shapes, earlier, "--epochs", 3, "--resume")
    assert done.returncode == 0, done.stderr
    assert Path(f"{earlier}-0000009.json").exists()
    assert {path.name for path in earlier.parent.glob("*.tmp")} == set()


def test_two_runs_do_not_share_a_prefix(shapes, earlier):
    files = {path: path.read_bytes() for path in earlier.parent.iterdir()}
    with training.PrefixLock(str(earlier)):
        lock = earlier.parent / "run.lock"
        files[lock] = lock.read_bytes()
        for flags in ([], ["--resume"]):
            done = train(shapes, earlier, "--epochs", 3, *flags)
            assert_one_line(done, f"{earlier} is in use by process {os.getpid()} on host")
        assert {path: path.read_bytes() for path in earlier.parent.iterdir()} == files


def image_of_batch(root, number, monkeypatch):
    """The path of an image of a batch of the first epoch."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = importlib.import_module("train_faster_rcnn")
    args = script.parse_args([*FLAGS, "--accumulate", "1", "--data-root", str(root)])
    dataset = COCODataset(root / "annotations" / "instances_train.json", root / "train")
    parts = importlib.import_module("_training_parts")
    net = parts.build_network(args, dataset.classes, [mx.cpu()])
    loader = parts.make_loader(args, dataset, net.preprocess, part=0, num_parts=1)
    batch = list(parts.epoch_batches(loader)(0, 0))[number]
    return root / "train" / batch.samples[0].name


@pytest.mark.slow
def test_a_bad_image_loses_no_finished_step(shapes, straight, tmp_path, monkeypatch):
    root = shutil.copytree(shapes, tmp_path / "data")
    prefix = tmp_path / "run"
    image = image_of_batch(root, 2, monkeypatch)
    content = image.read_bytes()
    image.write_bytes(content[:700])
    done = train(root, prefix, "--epochs", 2)
    assert_one_line(done, f"{image.name}: cannot be read as an image")
    assert training.read(training.latest(str(prefix)))["state"]["step"] == 2
    # As long as the image is bad, the run comes no further, and its checkpoint stays.
    assert_one_line(train(root, prefix, "--epochs", 2, "--resume"), image.name)
    assert training.latest(str(prefix)) == f"{prefix}-0000002.json"
    image.write_bytes(content)
    done = train(root, prefix, "--epochs", 2, "--resume")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert_same_run(prefix, straight)


@pytest.mark.slow
def test_after_a_loss_that_is_not_finite_the_run_continues_from_before(shapes, straight, tmp_path):
    prefix = tmp_path / "run"
    assert train(shapes, prefix, "--epochs", 1).returncode == 0
    wild = train(shapes, prefix, "--epochs", 2, "--resume", "--lr", 1e30)
    assert wild.returncode == 2
    assert wild.stderr.splitlines()[-1].startswith("error: step 5: the loss is not finite")
    assert training.latest(str(prefix)) == f"{prefix}-0000003.json"
    assert train(shapes, prefix, "--epochs", 2, "--resume").returncode == 0
    assert_same_run(prefix, straight)
