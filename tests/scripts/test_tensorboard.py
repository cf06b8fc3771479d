"""``--tensorboard``: what is written is what the metrics hold, and the run does not need it."""

import importlib
import io
import json
import struct
import sys
from collections import defaultdict
from types import SimpleNamespace

from gluonnorm import training
from gluonnorm.data import draw_shapes

import numpy as np
import pytest
from in_process import SCRIPTS, run_script
from optional_packages import require
from PIL import Image

SETTINGS = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=16 roi_size=3 num_sample=8 "
    "rpn_train_pre_nms=50 rpn_train_post_nms=20 rpn_test_pre_nms=50 rpn_test_post_nms=10"
).split()


@pytest.fixture(scope="module", autouse=True)
def tensorboard():
    require("tensorboardX")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=2, val=2, size=(64, 96))
    return folder


def train(shapes, prefix, *flags):
    return run_script(
        *("train_faster_rcnn.py", "--network", "faster_rcnn_fpn_resnet18_v1b_custom"),
        *("--dataset", "coco", "--data-root", shapes, "--train-split", "train"),
        *("--val-split", "val", "--save-prefix", prefix, *flags, *SETTINGS),
    )


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """A run of two epochs of two updates: its prefix."""
    prefix = tmp_path_factory.mktemp("run") / "shapes"
    done = train(shapes, prefix, "--norm", "sn", "--epochs", 2, "--batch-size", 1, "--tensorboard")
    assert done.returncode == 0, done.stderr
    return prefix


def read_events(folder):
    """The events of a folder, files in the order of their names; a record is a length, its
    checksum, the event and its checksum."""
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415

    events = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def values_of(events):
    """{tag: {step: number or picture}}"""
    values = defaultdict(dict)
    for event in events:
        for value in event.summary.value:
            if value.HasField("image"):
                picture = Image.open(io.BytesIO(value.image.encoded_image_string))
                values[value.tag][event.step] = np.array(picture)
            else:
                values[value.tag][event.step] = value.simple_value
    return values


def test_the_numbers_are_those_of_the_metrics(run):
    values = values_of(read_events(run.with_name("shapes-tensorboard")))
    for row in training.read_metrics(f"{run}-metrics.jsonl"):
        if "losses" in row:
            expected = {f"losses/{name}": loss for name, loss in row["losses"].items()}
            expected["run/learning_rate"] = row["lr"]
            expected["run/images_per_second"] = row["images_per_second"]
            assert values["run/gradient_norm"][row["step"]] > 0
        else:
            # No object of these photos is large, so -1 stands for no score.
            assert row["eval"]["APl"] == -1 and "scores/APl" not in values
            expected = {
                f"scores/{name}": score for name, score in row["eval"].items() if score != -1
            }
            assert "scores/AP50" in expected
        for tag, value in expected.items():
            assert values[tag][row["step"]] == pytest.approx(value, rel=1e-6)
    assert set(values["losses/rcnn_box"]) == {1, 2, 3, 4}
    assert set(values["scores/AP"]) == {2, 4}


def test_mixing_weights_are_shares(run):
    values = values_of(read_events(run.with_name("shapes-tensorboard")))
    layers = {tag.split("/")[1] for tag in values if tag.startswith("mixing_mean/")}
    assert len(layers) > 20  # ResNet-18 has 20, and the neck some more
    layer = min(layers)
    for kind in ("mixing_mean", "mixing_variance"):
        for step in (2, 4):
            shares = [
                values[f"{kind}/{layer}/{statistic}"][step] for statistic in ("in", "ln", "bn")
            ]
            assert sum(shares) == pytest.approx(1, abs=1e-6)


def test_detections_are_drawn_on_the_photos_of_the_validation_set(run, shapes):
    values = values_of(read_events(run.with_name("shapes-tensorboard")))
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    assert {tag for tag in values if tag.startswith("detections/")} == {
        "detections/0",
        "detections/1",
    }
    for number, image in enumerate(content["images"]):
        photo = np.array(Image.open(shapes / "val" / image["file_name"]))
        picture = values[f"detections/{number}"][4]
        assert picture.shape == photo.shape
        # Most of the photo is not covered by boxes, and the picture is not compressed with loss.
        assert (picture == photo).all(axis=2).mean() > 0.2


def test_a_run_without_it_has_the_same_losses(run, shapes, tmp_path):
    flags = ("--norm", "sn", "--epochs", 1, "--batch-size", 1, "--val-interval", 0)
    flags += ("--lr-decay-epoch", "14,18")
    done = train(shapes, tmp_path / "plain", *flags)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "plain-tensorboard").exists()
    plain = [row["losses"] for row in training.read_metrics(f"{tmp_path / 'plain'}-metrics.jsonl")]
    watched = [
        row["losses"] for row in training.read_metrics(f"{run}-metrics.jsonl") if "losses" in row
    ]
    assert plain == watched[:2]


def test_a_continued_run_hides_the_steps_that_come_again(run, shapes, tmp_path):
    folder = tmp_path / "board"
    flags = ("--norm", "gn", "--val-interval", 0, "--tensorboard", folder)
    assert train(shapes, tmp_path / "run", *flags, "--epochs", 1).returncode == 0
    done = train(shapes, tmp_path / "run", *flags, "--epochs", 2, "--resume")
    assert done.returncode == 0, done.stderr
    events = read_events(folder)
    starts = [event.step for event in events if event.HasField("session_log")]
    assert starts == [3]  # the two updates of the first epoch are kept
    assert set(values_of(events)["losses/rcnn_box"]) == {1, 2, 3, 4}


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("_tensorboard")


def test_each_class_has_a_curve_of_its_own(module, tmp_path):
    written = {"scores/AP50/C#": 0.25, "scores/AP50/C+": 0.5, "scores/AP50/red cell": 0.75}
    module.EventFile(str(tmp_path)).write_scalars(3, written)
    values = values_of(read_events(tmp_path))
    assert values == {tag: {3: value} for tag, value in written.items()}


def test_a_new_run_in_the_folder_of_another_one_hides_it(module, tmp_path, capsys):
    args = SimpleNamespace(tensorboard=True, save_prefix=str(tmp_path / "a"), resume=False)
    folder = tmp_path / "a-tensorboard"
    for count, resume in ((0, False), (1, True), (1, False)):
        args.resume = resume
        log = module.make_tensorboard_log(args, None, None, None, None)
        log.file.write_scalars(1, {"losses/box": 1.0})
        assert capsys.readouterr().err.count(f"note: {folder} has files of an earlier run") == (
            count and not resume
        )
    # TensorBoard forgets what it has read of the steps from that of a start on.
    starts = [event for event in read_events(folder) if event.HasField("session_log")]
    assert [(event.step, event.session_log.status) for event in starts] == [(0, 1)]


def test_a_full_disk_ends_tensorboard_and_not_the_run(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import _tensorboard as module  # noqa: PLC0415

    class FullDisk:
        """A file that cannot be written."""

        calls = 0

        def write_scalars(self, step, values):
            self.calls += 1
            raise OSError(28, "No space left on device")

    file = FullDisk()
    log = module.TensorBoardLog(file, net=None, step=None, metrics=None, dataset=[])
    record = training.StepRecord(1, 0, 0.1, {"loss": 1.0}, ("a.png",), 2.0)
    with pytest.warns(UserWarning, match="No space left on device.*; the run goes on"):
        log.on_losses(None, record)
    log.on_losses(None, record)
    assert file.calls == 1


def test_without_the_package_the_run_does_not_begin(monkeypatch, shapes, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    done = train(shapes, tmp_path / "run", "--norm", "gn", "--tensorboard")
    assert done.returncode == 2
    assert "--tensorboard needs tensorboardX" in done.stderr
    assert "pip install 'gluonnorm[tensorboard]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
