"""train_faster_rcnn.py as its user meets it: its files, how it resumes, and how it ends."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import model_zoo
from gluonnorm import training
from gluonnorm.data import COCODataset, draw_shapes
from gluonnorm.nn import recalibrate

import mxnet as mx
import numpy as np
import pytest
from full_disk import no_file_beyond
from in_process import SCRIPTS, run_script
from PIL import Image

SETTINGS = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=8 "
    "anchor_sizes=((24,),(32,),(40,),(64,),(128,)) "
    "num_sample=8 rpn_num_sample=16 rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 "
    "rpn_test_post_nms=10 max_detections=5"
).split()
MODEL = [
    "--network",
    "faster_rcnn_fpn_resnet18_v1b_custom",
    "--norm",
    "gn",
    "--batch-size",
    "2",
    "--lr",
    "0.01",
    "--log-interval",
    "2",
    *SETTINGS,
]
STEPS = 3  # of an epoch: six images, two at a time


def train(*args):
    return run_script("train_faster_rcnn.py", *MODEL, *args)


def assert_one_line(done, *messages):
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert all(message in done.stderr for message in messages), done.stderr


def coco_flags(root):
    return [
        "--dataset",
        "coco",
        "--data-root",
        root,
        "--train-split",
        "train",
        "--val-split",
        "val",
    ]


def arrays(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def assert_same_arrays(found, wanted):
    found, wanted = arrays(found), arrays(wanted)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def files(prefix):
    """Content of every file of the run under ``prefix``."""
    return {path.name: path.read_bytes() for path in prefix.parent.glob(f"{prefix.name}-0*")}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=2 * STEPS, val=2, size=(64, 96))
    return folder


@pytest.fixture(scope="module")
def straight(shapes, tmp_path_factory):
    """A run of two epochs: its prefix and how it ended."""
    prefix = tmp_path_factory.mktemp("straight") / "run"
    done = train(*coco_flags(shapes), "--epochs", 2, "--save-prefix", prefix)
    assert done.returncode == 0, done.stderr
    return prefix, done


@pytest.fixture
def earlier(straight, tmp_path):
    """A copy of the straight run, to be harmed: its prefix."""
    shutil.copytree(straight[0].parent, tmp_path / "earlier")
    return tmp_path / "earlier" / "run"


def test_a_run_writes_its_files(straight):
    prefix, done = straight
    names = {
        f"run-000000{step}.{kind}"
        for step in (STEPS, 2 * STEPS)
        for kind in ("json", "params", "states")
    }
    names |= {
        "run-best.params",
        "run-best.json",
        "run.log",
        "run-metrics.jsonl",
        "run-curve.png",
        "run-arguments.json",
    }
    assert {path.name for path in prefix.parent.iterdir()} == names
    assert f"checkpoint {prefix}-0000006.json" in done.stdout and done.stderr == ""
    rows = training.read_metrics(f"{prefix}-metrics.jsonl")
    assert [row["step"] for row in rows if "losses" in row] == list(range(1, 2 * STEPS + 1))
    assert [row["step"] for row in rows if "eval" in row] == [STEPS, 2 * STEPS]
    assert {"AP", "AP50", "mAP07"} <= set(rows[-1]["eval"])
    text = Path(f"{prefix}.log").read_text()
    assert "epoch 1  step 2  lr" in text and "epoch 2  AP" in text and "circle" in text
    arguments = json.loads(Path(f"{prefix}-arguments.json").read_text())
    assert arguments["arguments"]["epochs"] == 2 and arguments["spec"]["classes"] == [
        "circle",
        "square",
        "triangle",
    ]
    assert Image.open(f"{prefix}-curve.png").width > 100


def test_resume_repeats_the_straight_run_bit_for_bit(shapes, straight, tmp_path):
    prefix = tmp_path / "run"
    flags = [*coco_flags(shapes), "--save-prefix", prefix]
    assert train(*flags, "--epochs", 1).returncode == 0
    done = train(*flags, "--epochs", 2, "--resume")
    assert done.returncode == 0 and f"checkpoint {prefix}-0000006.json" in done.stdout, done.stderr
    assert_same_arrays(f"{prefix}-0000006.params", f"{straight[0]}-0000006.params")
    assert_same_arrays(f"{prefix}-best.params", f"{straight[0]}-best.params")
    rows, wanted = (training.read_metrics(f"{run}-metrics.jsonl") for run in (prefix, straight[0]))
    assert [row.get("losses") for row in rows] == [row.get("losses") for row in wanted]
    assert [row.get("eval") for row in rows] == [row.get("eval") for row in wanted]


@pytest.mark.slow
def test_bfloat16_resumes_bit_for_bit_and_leaves_float32_files(shapes, straight, tmp_path):
    flags = [*coco_flags(shapes), "--dtype", "bfloat16", "--val-interval", 0]
    whole, stopped = (tmp_path / name for name in ("whole", "stopped"))
    assert train(*flags, "--epochs", 2, "--save-prefix", whole).returncode == 0
    assert train(*flags, "--epochs", 1, "--save-prefix", stopped).returncode == 0
    done = train(*flags, "--epochs", 2, "--resume", "--save-prefix", stopped)
    assert done.returncode == 0, done.stderr
    assert_same_arrays(f"{stopped}-0000006.params", f"{whole}-0000006.params")
    in_float32 = arrays(f"{straight[0]}-0000006.params")
    for name, array in arrays(f"{whole}-0000006.params").items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, in_float32[name], atol=0.05, err_msg=name)


def test_resume_keeps_the_best_of_before(shapes, earlier):
    metrics = Path(f"{earlier}-metrics.jsonl")
    rows = training.read_metrics(str(metrics))
    for row in rows:
        if "eval" in row:
            row["eval"]["AP50"] = 1.0
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = Path(f"{earlier}-best.params").read_bytes()
    assert (
        train(*coco_flags(shapes), "--epochs", 3, "--resume", "--save-prefix", earlier).returncode
        == 0
    )
    assert (
        Path(f"{earlier}-0000009.json").exists()
        and Path(f"{earlier}-best.params").read_bytes() == best
    )


def steps_saved(prefix):
    """The steps of a run's checkpoints, in ascending order."""
    return sorted(int(path.stem[-7:]) for path in prefix.parent.glob(f"{prefix.name}-0*.json"))


@pytest.mark.parametrize(
    "flags, steps",
    [
        (["--save-interval", 2], [6, 9]),  # epochs 2 and 3, the last one
        (["--save-interval", 0], [9]),
        (["--save-interval", 2, "--save-steps", 4], [6, 8, 9]),  # 4 was deleted, the fourth
    ],
)
def test_intervals_count_epochs_and_save_steps_counts_updates(shapes, tmp_path, flags, steps):
    prefix = tmp_path / "run"
    never = ["--val-interval", 0, "--epochs", 3, "--save-prefix", prefix]
    done = train(*coco_flags(shapes), *never, *flags)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert steps_saved(prefix) == steps


def test_the_best_weights_are_saved_whatever_the_interval(shapes, straight, tmp_path):
    prefix = tmp_path / "run"
    flags = ["--save-interval", 50, "--epochs", 2, "--save-prefix", prefix]
    done = train(*coco_flags(shapes), *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "note: --save-interval counts epochs, and 50 is more than --epochs 2; "
        "--save-steps counts updates\n"
    )
    assert_same_arrays(f"{prefix}-best.params", f"{straight[0]}-best.params")
    assert steps_saved(prefix) == [3, 6]


@pytest.mark.parametrize("ending", [".json", ".params", ".states", ""])
def test_a_checkpoint_is_resumed_by_name(shapes, straight, tmp_path, ending):
    prefix = tmp_path / "run"
    named = tmp_path / "named"
    flags = [*coco_flags(shapes), "--val-interval", 0]
    assert train(*flags, "--epochs", 1, "--save-prefix", named).returncode == 0
    resume = ["--resume", f"{named}-0000003{ending}"]
    done = train(*flags, "--epochs", 2, "--save-prefix", prefix, *resume)
    assert done.returncode == 0, done.stderr
    assert steps_saved(prefix) == [6] and steps_saved(named) == [3]
    assert_same_arrays(f"{prefix}-0000006.params", f"{straight[0]}-0000006.params")


def test_what_cannot_be_resumed_by_name_is_one_line(shapes, earlier, tmp_path):
    flags = [*coco_flags(shapes), "--save-prefix", tmp_path / "run", "--resume"]
    best = f"{earlier}-best.params"
    assert_one_line(
        train(*flags, best), "run-best.states is missing", f"--pretrained {best} starts a new run"
    )
    assert_one_line(train(*flags, earlier), f"--save-prefix {earlier} --resume continues")
    assert_one_line(train(*flags, tmp_path / "none.json"), "none.json: no such checkpoint")
    assert not list(tmp_path.glob("run*"))


def test_a_cosine_falls_over_all_steps(shapes, tmp_path):
    flags = ["--lr-mode", "cosine", "--lr-warmup", 2, "--val-interval", 0, "--epochs", 2]
    done = train(*coco_flags(shapes), *flags, "--save-prefix", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rates = [row["lr"] for row in training.read_metrics(f"{tmp_path / 'run'}-metrics.jsonl")]
    steps = np.arange(2 * STEPS)
    warmup = np.array([1 / 3, 2 / 3, 1, 1, 1, 1])
    np.testing.assert_allclose(rates, 0.005 * (1 + np.cos(np.pi * steps / len(steps))) * warmup)


SWITCHABLE = ["--norm", "sn", "--recalibrate", 2]


@pytest.fixture(scope="module")
def switchable(shapes, tmp_path_factory):
    """A run of two epochs with switchable norms that are recalibrated: its prefix."""
    prefix = tmp_path_factory.mktemp("switchable") / "run"
    done = train(*coco_flags(shapes), *SWITCHABLE, "--epochs", 2, "--save-prefix", prefix)
    assert done.returncode == 0, done.stderr
    return prefix


def test_switchable_norms_get_a_picture_of_their_mixing_weights(switchable):
    assert Image.open(f"{switchable}-mixing.png").width > 100


def running_statistics(net):
    return {
        name: parameter.data().asnumpy()
        for name, parameter in net._collect_params_with_prefix().items()
        if "running" in name
    }


def test_checkpoints_hold_exact_averages_over_training_batches(shapes, switchable, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    parts = importlib.import_module("_training_parts")
    script = importlib.import_module("train_faster_rcnn")
    args = script.parse_args([*MODEL, "--accumulate", "1", *map(str, coco_flags(shapes))])
    for epoch in (0, 1):
        checkpoint = f"{switchable}-{(epoch + 1) * STEPS:07d}.json"
        net = model_zoo.from_spec(training.read(checkpoint)["spec"])
        training.load(checkpoint, net)
        saved = running_statistics(net)
        for name, parameter in net._collect_params_with_prefix().items():
            if name in saved:
                parameter.set_data(mx.nd.ones(parameter.shape))
        dataset = COCODataset(shapes / "annotations" / "instances_train.json", shapes / "train")
        loader = parts.make_loader(args, dataset, net.preprocess, part=0, num_parts=1)
        names = recalibrate(net, parts.epoch_batches(loader)(epoch, 0), num_batches=2)
        assert len(names) * 2 == len(saved) > 40
        for name, values in running_statistics(net).items():
            np.testing.assert_allclose(values, saved[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("devices", [1, 2])
def test_recalibration_averages_over_what_is_computed_together(monkeypatch, devices):
    """With --accumulate a batch of the loader is an update, and the layers see parts of it."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    callbacks = importlib.import_module("_callbacks")
    net = mx.gluon.nn.BatchNorm(in_channels=3)
    ctx = [mx.cpu(number) for number in range(devices)]
    net.initialize(ctx=ctx)
    rng = np.random.default_rng(0)
    updates = [rng.normal(number, 1 + number, (8, 3, 5, 5)) for number in range(3)]
    loaded = [SimpleNamespace(images=mx.nd.array(images)) for images in updates]
    # Two parts of four images for each update; three of these parts are averaged.
    recalibration = callbacks.Recalibration(net, lambda epoch, skip: loaded, ctx, 3, parts=2)
    recalibration.on_epoch_end(SimpleNamespace(epoch=1))
    seen = np.concatenate(updates)[:12].reshape(3 * devices, 4 // devices, 3, 5, 5)
    means, variances = seen.mean(axis=(1, 3, 4)), seen.var(axis=(1, 3, 4))
    expected = (variances + means**2).mean(axis=0) - means.mean(axis=0) ** 2
    for device in ctx:
        found = net.running_mean.data(device).asnumpy(), net.running_var.data(device).asnumpy()
        np.testing.assert_allclose(found[0], means.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(found[1], expected, rtol=1e-4)


def test_a_resumed_run_that_recalibrates_repeats_the_straight_one(shapes, switchable, tmp_path):
    flags = [*coco_flags(shapes), *SWITCHABLE, "--save-prefix", tmp_path / "run"]
    assert train(*flags, "--epochs", 1).returncode == 0
    assert train(*flags, "--epochs", 2, "--resume").returncode == 0
    assert_same_arrays(tmp_path / "run-0000006.params", f"{switchable}-0000006.params")
    rows, wanted = (
        training.read_metrics(f"{run}-metrics.jsonl") for run in (tmp_path / "run", switchable)
    )
    assert [row.get("eval") for row in rows] == [row.get("eval") for row in wanted]


@pytest.mark.parametrize("norm", ["gn", "sn_nobn", "frozen_bn"])
def test_recalibration_needs_running_statistics(shapes, tmp_path, norm):
    done = train(
        *coco_flags(shapes), "--norm", norm, "--recalibrate", 2, "--save-prefix", tmp_path / "run"
    )
    assert done.returncode == 2 and "leave --recalibrate out" in done.stderr.splitlines()[-1]
    assert f"norm {norm}" in done.stderr and not list(tmp_path.iterdir())


def test_help_tells_the_flags_of_schedule_and_recalibration():
    text = " ".join(train("--help").stdout.split())
    assert (
        "--lr-mode {step,cosine}" in text
        and "--recalibrate N" in text
        and "PREFIX-mixing.png" in text
    )


def test_ctrl_c_saves_ends_with_130_and_resumes_as_if_nothing_had_been(shapes, tmp_path):
    prefix = tmp_path / "run"
    flags = [*coco_flags(shapes), "--val-interval", 0]
    command = [
        sys.executable,
        SCRIPTS / "train_faster_rcnn.py",
        *MODEL,
        *flags,
        "--epochs",
        1000,
        "--save-prefix",
        prefix,
    ]
    with subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            metrics = Path(f"{prefix}-metrics.jsonl")
            deadline = time.monotonic() + 60
            while not metrics.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr and "interrupted after step" in stderr
    state = training.read(training.latest(str(prefix)))["state"]
    assert state["step"] >= 1
    epochs = state["step"] // STEPS + 1
    assert train(*flags, "--epochs", epochs, "--save-prefix", prefix, "--resume").returncode == 0
    assert train(*flags, "--epochs", epochs, "--save-prefix", tmp_path / "straight").returncode == 0
    last = f"{epochs * STEPS:07d}.params"
    assert_same_arrays(f"{prefix}-{last}", tmp_path / f"straight-{last}")


def test_a_diverging_loss_stops_the_run_and_leaves_the_checkpoints(shapes, earlier):
    before = files(earlier)
    done = train(
        *coco_flags(shapes), "--epochs", 4, "--lr", 1e30, "--save-prefix", earlier, "--resume"
    )
    note, error = done.stderr.splitlines()
    assert note.startswith("note: --resume: --lr was 0.01 and is 1e+30")
    assert done.returncode == 2 and error.startswith("error: step 8: the loss is not finite")
    assert "(batch: 00000" in error and ".jpg" in error and "lower learning rate" in error
    assert files(earlier) == before


def test_a_full_disk_leaves_the_checkpoints_and_no_rubbish(shapes, earlier):
    before = files(earlier)
    with no_file_beyond(10 << 20):
        done = train(*coco_flags(shapes), "--epochs", 3, "--save-prefix", earlier, "--resume")
    assert_one_line(done, "cannot write", "run-0000009.params", "Older checkpoints are untouched")
    assert files(earlier) == before


@pytest.mark.parametrize(
    "flags, messages",
    [
        (["--classes", "circle", "square"], ["checkpoint of another network", "spec.classes"]),
        (
            ["--norm", "bn"],
            ["checkpoint of another network", "spec.norm is 'gn' in the checkpoint, 'bn' here"],
        ),
    ],
)
def test_a_checkpoint_of_another_network_is_not_resumed(shapes, earlier, flags, messages):
    before = files(earlier)
    done = train(*coco_flags(shapes), *flags, "--epochs", 3, "--save-prefix", earlier, "--resume")
    assert_one_line(done, *messages)
    assert files(earlier) == before


def test_a_fresh_run_does_not_mix_with_an_earlier_one(shapes, earlier, tmp_path):
    before = files(earlier)
    done = train(*coco_flags(shapes), "--save-prefix", earlier)
    assert_one_line(done, "run-0000006.json is of an earlier run", "--resume")
    assert files(earlier) == before
    assert_one_line(
        train(*coco_flags(shapes), "--save-prefix", tmp_path / "none", "--resume"),
        "no checkpoint under",
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--network", "faster_rcnn_fpn_resnet18_custom"],
            "did you mean faster_rcnn_fpn_resnet18_v1b_custom",
        ),
        (["--network", "resnet18_v1b"], "is a bare backbone"),
        (["--norm", "groupnorm"], "no norm is called 'groupnorm'"),
        (["--set", "num_samples=8"], "no setting 'num_samples'; did you mean num_sample"),
        (["--set", "short"], "--set short: give NAME=VALUE"),
        (["--set", "norm='gn'"], "--set norm='gn': norm is no setting of a detector; give --norm"),
        (["--set", "ctx=0"], "ctx is no setting of a detector; give --gpus"),
        (["--set", "nms_thresh='high'"], "nms_thresh is 'high'; it must be a number in 0..1"),
        (["--pretrained-base", "absent.params"], "absent.params: no such file of weights"),
        (["--gpus", "99"], "--gpus asks for GPU 99"),
        (["--batch-size", "0"], "--batch-size is 0; want at least 1"),
        (["--recalibrate", "-1"], "--recalibrate is -1; want a number of 1 or more"),
        (["--save-interval", "-1"], "--save-interval is -1; want a number of 1 or more, 0 for"),
        (["--save-steps", "-5"], "--save-steps is -5; want a number of 1 or more, 0 for never"),
        (["--val-interval", "-1"], "--val-interval is -1; want a number of 1 or more, 0 for"),
        (["--lr-decay-epoch", "one"], "--lr-decay-epoch is 'one'; want numbers of epochs"),
        # Without the check these would end a run at its first decay, or raise the rate.
        (["--lr-decay-epoch", "1,inf"], "--lr-decay-epoch is '1,inf'; want numbers of epochs"),
        (["--lr-decay-epoch", "18,14"], "--lr-decay-epoch is '18,14'; want numbers of epochs in"),
        (["--lr-decay-epoch=-1,4"], "--lr-decay-epoch is '-1,4'; want numbers of epochs in asc"),
        (["--lr-decay", "nan"], "--lr-decay is nan; want a finite number, 0 or more"),
        (["--lr-decay", "-0.1"], "--lr-decay is -0.1; want a finite number, 0 or more"),
        (["--lr-decay", "10"], "--lr-decay is 10; want 0 to 1"),
        (["--momentum", "1"], "--momentum is 1; want less than 1, because the updates would grow"),
        (
            ["--lr-mode", "cosine", "--lr-decay-epoch", "2"],
            "--lr-decay-epoch 2 has no effect with --lr-mode cosine; give --lr-mode step as well",
        ),
        (
            ["--recipe", "auto", "--lr-decay", "0.5"],
            "--lr-decay 0.5 has no effect with --lr-mode cosine, which --recipe or the earlier run",
        ),
        (["--lr-warmup", "-5"], "--lr-warmup is -5; want a finite number, 0 or more"),
        (["--lr-warmup-factor", "3"], "--lr-warmup-factor is 3; want 0 to 1"),
        (["--print-recipe", "--lr-decay-epoch", "2;4"], "--lr-decay-epoch is '2;4'; want numbers"),
        (["--epochs", "0"], "--epochs is 0; want at least 1"),
        (["--lr", "nan"], "--lr is nan; want a finite number, 0 or more"),
        (["--wd", "-1"], "--wd is -1; want a finite number, 0 or more"),
        (["--annotations", "instances_test.json"], "instances_test.json"),
        (["--classes", "circle", "star"], "has no category 'star'"),
    ],
)
def test_a_wrong_flag_is_one_line(shapes, tmp_path, flags, message):
    assert_one_line(train(*coco_flags(shapes), *flags, "--save-prefix", tmp_path / "run"), message)
    assert not list(tmp_path.glob("run-0*"))


def test_a_folder_is_no_prefix(shapes, tmp_path):
    done = train(*coco_flags(shapes), "--save-prefix", f"{tmp_path}/runs/")
    assert_one_line(done, "--save-prefix is ", "runs/', a folder; add the first part of the file")
    assert not list(tmp_path.iterdir())


def edit_json(root, change):
    path = root / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize(
    "harm, messages",
    [
        (lambda root: (root / "train" / "000002.jpg").unlink(), ["000002.jpg: no such image file"]),
        (
            lambda root: cut(root / "train" / "000002.jpg", 900),
            ["000002.jpg: cannot be read as an image"],
        ),
        (
            lambda root: cut(root / "annotations" / "instances_train.json", 500),
            ["instances_train.json: is not valid JSON"],
        ),
        (lambda root: edit_json(root, lambda all: all.update(images=[])), ["is an empty data set"]),
        (
            lambda root: edit_json(
                root, lambda all: all["annotations"][0].update(bbox=[500, 10, 20, 20])
            ),
            ["annotation 1: box (500, 10, 520, 30) is outside the image of 96 x 64 pixels"],
        ),
        (
            lambda root: edit_json(root, lambda all: all["annotations"][0].update(category_id=9)),
            ["annotation 1 has category_id 9", "not among the file's categories 1, 2, 3"],
        ),
    ],
    ids=[
        "missing image",
        "truncated image",
        "broken JSON",
        "no images",
        "box outside",
        "unknown class",
    ],
)
def test_a_fault_in_a_coco_folder_is_one_line(shapes, tmp_path, harm, messages):
    root = shutil.copytree(shapes, tmp_path / "data")
    harm(root)
    done = train(*coco_flags(root), "--epochs", 1, "--save-prefix", tmp_path / "run")
    assert_one_line(done, *messages)
    # The steps before a bad image are kept, and no others.
    assert not list(tmp_path.glob("run-0000003*"))


def voc_object(name="red", corners=(10, 20, 50, 60)):
    inside = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners)
    )
    return f"<object><name>{name}</name><bndbox>{inside}</bndbox></object>"


@pytest.fixture
def voc(tmp_path):
    """Two images to train on and one held out, with classes red and white."""
    root = tmp_path / "voc"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for stem in ("a", "b", "c"):
        Image.fromarray(np.random.randint(0, 255, (64, 96, 3), np.uint8)).save(
            root / "JPEGImages" / f"{stem}.jpg"
        )
        (root / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><size><width>96</width><height>64</height></size>{voc_object()}"
            f"{voc_object('white', (40, 5, 90, 40))}</annotation>"
        )
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("c\n")
    return root


def voc_flags(root):
    return [
        "--dataset",
        "voc",
        "--data-root",
        root,
        "--train-split",
        "train",
        "--val-split",
        "val",
        "--epochs",
        1,
    ]


def test_a_voc_folder_with_classes_of_its_own(voc, tmp_path):
    done = train(*voc_flags(voc), "--save-prefix", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert training.read(tmp_path / "run-0000001.json")["spec"]["classes"] == ["red", "white"]


@pytest.mark.parametrize(
    "harm, messages",
    [
        (lambda root: cut(root / "Annotations" / "b.xml", 80), ["b.xml: is not valid XML"]),
        (
            lambda root: (root / "Annotations" / "b.xml").unlink(),
            ["train.txt: line 2: image b.jpg has no XML file"],
        ),
        (
            lambda root: (root / "JPEGImages" / "b.jpg").unlink(),
            ["train.txt: line 2: no such image file 'b'"],
        ),
        (
            lambda root: cut(root / "JPEGImages" / "b.jpg", 700),
            ["b.jpg: cannot be read as an image"],
        ),
        (
            lambda root: (root / "Annotations" / "b.xml").write_text(
                "<annotation><size><width>96</width><height>64</height></size>"
                f"{voc_object(corners=(96, 0, 99, 9))}"
                "</annotation>"
            ),
            ["b.xml: object 1: box (96, 0, 99, 9) is outside the image"],
        ),
        (
            lambda root: (root / "ImageSets" / "Main" / "train.txt").write_text("\n"),
            ["is an empty data set"],
        ),
        (lambda root: (root / "ImageSets" / "Main" / "train.txt").unlink(), ["lists there: val"]),
    ],
    ids=[
        "broken XML",
        "missing XML",
        "missing image",
        "truncated image",
        "box outside",
        "no images",
        "no split",
    ],
)
def test_a_fault_in_a_voc_folder_is_one_line(voc, tmp_path, harm, messages):
    harm(voc)
    assert_one_line(train(*voc_flags(voc), "--save-prefix", tmp_path / "run"), *messages)
    assert not list(tmp_path.glob("run-0*"))


def test_a_class_in_another_spelling_is_one_line(voc, tmp_path):
    flags = [*voc_flags(voc), "--save-prefix", tmp_path / "run"]
    done = train(*flags, "--classes", "red", "White")
    assert_one_line(done, "a.xml: object 2 is of class 'white', but the chosen class is 'White'")
    done = train(*flags, "--classes", "green")
    assert_one_line(done, "no object is of the classes green; all 4 are of red, white")


@pytest.fixture
def packed(tmp_path):
    """The same three images twice: train and val as .lst with .png files, and as .rec with .idx."""
    root = tmp_path / "packed"
    root.mkdir()
    for split, count in (("train", 2), ("val", 1)):
        lines = []
        writer = mx.recordio.MXIndexedRecordIO(
            str(root / f"{split}.idx"), str(root / f"{split}.rec"), "w"
        )
        for index in range(count):
            image = np.random.randint(0, 255, (64, 96, 3), np.uint8)
            label = [
                2,
                5,
                0,
                0.1,
                0.2,
                0.5,
                0.9,
                1,
                0.5,
                0.1,
                0.9,
                0.6,
            ]  # header, then class and corners of two boxes
            Image.fromarray(image).save(root / f"{split}{index}.png")
            lines.append("\t".join(map(str, [index, *label, f"{split}{index}.png"])) + "\n")
            header = mx.recordio.IRHeader(0, np.array(label, np.float32), index, 0)
            writer.write_idx(index, mx.recordio.pack_img(header, image, img_fmt=".png"))
        writer.close()
        (root / f"{split}.lst").write_text("".join(lines))
    return root


@pytest.mark.parametrize("kind", ["lst", "record"])
def test_lst_and_record_files(packed, tmp_path, kind):
    flags = [
        "--dataset",
        kind,
        "--data-root",
        packed,
        "--epochs",
        1,
        "--save-prefix",
        tmp_path / "run",
    ]
    done = train(*flags, "--classes", "red", "white")
    assert done.returncode == 0, done.stderr
    rows = training.read_metrics(str(tmp_path / "run-metrics.jsonl"))
    assert rows[0]["losses"]["rcnn_class"] > 0 and "AP50/white" in rows[-1]["eval"]

    done = train(*flags[:-1], tmp_path / "other")
    assert_one_line(done, f"--dataset {kind} holds no class names; give --classes")
    done = train(*flags[:-1], tmp_path / "other", "--classes", "red")
    assert_one_line(done, "label 1 is out of range; want 0..0")
    (packed / ("train.idx" if kind == "record" else "train.lst")).unlink()
    done = train(*flags[:-1], tmp_path / "other", "--classes", "red", "white")
    assert_one_line(done, "no such file" if kind == "record" else "No such file")


MASKS = [
    "--network",
    "mask_rcnn_fpn_resnet18_v1b_custom",
    "--head-norm",
    "gn",
    *SETTINGS,
    "mask_roi_size=4",
    "mask_channels=32",
]


@pytest.fixture(scope="module")
def masked(shapes, tmp_path_factory):
    """A run of an epoch with masks: its prefix and how it ended."""
    prefix = tmp_path_factory.mktemp("masked") / "run"
    done = train(*coco_flags(shapes), *MASKS, "--epochs", 1, "--save-prefix", prefix)
    assert done.returncode == 0, done.stderr
    return prefix, done


def test_a_network_with_masks(masked):
    prefix, done = masked
    rows = training.read_metrics(f"{prefix}-metrics.jsonl")
    assert rows[0]["losses"]["mask"] > 0
    scores = rows[-1]["eval"]
    assert {"AP", "AP50", "mAP07", "segm/AP", "segm/AP50", "segm/AP50/circle"} <= set(scores)
    text = Path(f"{prefix}.log").read_text()
    assert f"segm/AP {scores['segm/AP']:.3f}" in text and "(segm/AP50: circle" in text
    # Two images with a few objects say nothing about classes.
    assert f"segm/AP is {scores['segm/AP']:.3f}, and no single cause stands out" in done.stdout
    assert "segm/AP" in done.stdout and Image.open(f"{prefix}-curve.png").width > 100


def test_the_best_weights_of_a_network_with_masks_are_those_of_the_best_masks(
    shapes, masked, tmp_path
):
    shutil.copytree(masked[0].parent, tmp_path / "copy")
    prefix = tmp_path / "copy" / "run"
    metrics = Path(f"{prefix}-metrics.jsonl")
    rows = training.read_metrics(str(metrics))
    rows[-1]["eval"].update({"AP50": -1.0, "AP": -1.0, "segm/AP": 1.0})
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = Path(f"{prefix}-best.params").read_bytes()
    assert (
        train(
            *coco_flags(shapes), *MASKS, "--epochs", 2, "--resume", "--save-prefix", prefix
        ).returncode
        == 0
    )
    assert (
        Path(f"{prefix}-0000006.json").exists()
        and Path(f"{prefix}-best.params").read_bytes() == best
    )


def test_a_network_with_masks_wants_masks(shapes, voc, tmp_path):
    root = shutil.copytree(shapes, tmp_path / "data")
    edit_json(root, lambda all: all["annotations"][0].pop("segmentation"))
    for flags, message in (
        (coco_flags(root), "annotation 1 has no segmentation; correct or remove it, or open"),
        (voc_flags(voc), "holds no masks; use a network of boxes alone, or give a COCO"),
    ):
        assert_one_line(train(*flags, *MASKS, "--save-prefix", tmp_path / "run"), message)
    assert not list(tmp_path.glob("run-0*"))


def rename_categories(root, names):
    """Give the categories of the validation file other names."""
    path = root / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    for category in content["categories"]:
        category["name"] = names.get(category["name"], category["name"])
    path.write_text(json.dumps(content))


def test_a_validation_file_with_other_categories_is_scored_by_name(tmp_path):
    draw_shapes(tmp_path / "shapes", train=2, val=2, size=(64, 96))
    rename_categories(tmp_path / "shapes", {"square": "hexagon"})
    prefix = tmp_path / "run" / "net"
    flags = [*coco_flags(tmp_path / "shapes"), "--epochs", 1, "--save-prefix", prefix]
    done = train(*flags)
    assert done.returncode == 0, done.stderr
    assert (
        "scored by name: circle, triangle; not in the data set: square (no score); "
        "not in the network: hexagon (left out)" in done.stdout
    )
    rows = [json.loads(row) for row in open(f"{prefix}-metrics.jsonl", encoding="utf-8")]
    (scores,) = (row["eval"] for row in rows if "eval" in row)
    assert scores["AP50/square"] == -1
    assert min(scores["AP50/circle"], scores["AP50/triangle"]) >= 0

    rename_categories(tmp_path / "shapes", {"circle": "a", "triangle": "c"})
    flags[-1] = tmp_path / "other" / "net"
    assert_one_line(train(*flags), "so nothing can be scored")


@pytest.mark.parametrize(
    "crowd, message", [(True, "boxes, all crowd or difficult, so"), (False, "has no box of")]
)
def test_a_validation_set_in_which_nothing_can_be_right(tmp_path, crowd, message):
    """Every score would be -1, and the run would have no best weights."""
    draw_shapes(tmp_path / "shapes", train=2, val=1, size=(64, 96))
    path = tmp_path / "shapes" / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    if not crowd:
        content["annotations"] = []
    path.write_text(json.dumps(content))
    prefix = tmp_path / "run" / "net"
    flags = [*coco_flags(tmp_path / "shapes"), "--epochs", 1, "--save-prefix", prefix]
    refused = train(*flags)
    error = refused.stderr.splitlines()[-1]
    assert refused.returncode == 2 and error.startswith("error: the validation set"), refused.stderr
    assert message in error and "--val-interval 0" in error
    assert not list(prefix.parent.glob("net-*"))
    done = train(*flags, "--val-interval", 0)
    assert done.returncode == 0 and Path(f"{prefix}-best.json").exists(), done.stderr
