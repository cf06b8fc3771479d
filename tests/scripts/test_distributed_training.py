"""train_faster_rcnn.py with two workers and one server on loopback."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

from gluonnorm import training
from gluonnorm.data import draw_shapes
from gluonnorm.errors import InputError

import mxnet as mx
import numpy as np
import pytest
from cluster import Cluster
from in_process import SCRIPTS, run_script

SCRIPT = SCRIPTS / "train_faster_rcnn.py"
IMAGES = 9  # two full batches of four, and one image, of which the second worker has nothing
STEPS = 3
# More samples than candidates, so that nothing is sampled at random.
SETTINGS = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=8 "
    "anchor_sizes=((8,),(16,),(32,),(64,),(128,)) "
    "num_sample=256 rpn_num_sample=4096 rpn_train_pre_nms=50 rpn_train_post_nms=20 "
    "rpn_test_pre_nms=50 rpn_test_post_nms=10 max_detections=5"
).split()
MODEL = [
    *("--network", "faster_rcnn_fpn_resnet18_v1b_custom", "--norm", "gn", "--lr", 0.001),
    *("--lr-warmup", 0, "--clip-gradient", 1),
    *SETTINGS,
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=IMAGES, val=2, size=(64, 96))
    return folder


def flags(shapes, prefix, *more):
    data = ["--dataset", "coco", "--data-root", shapes, "--train-split", "train"]
    return [*MODEL, *data, "--val-split", "val", "--save-prefix", prefix, *more]


def two_workers(folder, shapes, prefix, *more, other=()):
    """A cluster; ``other`` are more flags of its second worker."""
    command = [
        SCRIPT,
        *flags(shapes, prefix, "--batch-size", 2, "--kv-store", "dist_sync", *more),
    ]
    return Cluster(folder, [command, [*command, *other]])


def losses(prefix):
    rows = training.read_metrics(f"{prefix}-metrics.jsonl")
    return [row["losses"] for row in rows if "losses" in row]


def arrays(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


@pytest.fixture(scope="module")
def straight(shapes, tmp_path_factory):
    """The prefix of a run of two workers over two epochs, and its cluster."""
    folder = tmp_path_factory.mktemp("straight")
    with two_workers(folder / "output", shapes, folder / "run", "--epochs", 2) as cluster:
        assert set(cluster.wait().values()) == {0}, cluster.outputs()
    return folder / "run", cluster


@pytest.mark.slow
def test_two_workers_train_as_one_process(straight, shapes, tmp_path):
    prefix = tmp_path / "alone"
    done = run_script(SCRIPT.name, *flags(shapes, prefix, "--batch-size", 4, "--epochs", 2))
    assert done.returncode == 0, done.stderr
    alone, together = losses(prefix), losses(straight[0])
    assert len(alone) == len(together) == 2 * STEPS
    for step, (one, other) in enumerate(zip(alone, together), 1):
        for name, value in one.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-5, err_msg=step)
    last = f"-{2 * STEPS:07d}.params"
    other_weights = arrays(f"{straight[0]}{last}")
    for name, value in arrays(f"{prefix}{last}").items():
        np.testing.assert_allclose(other_weights[name], value, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_worker_0_alone_writes_and_evaluates(straight):
    prefix, cluster = straight
    names = {path.name for path in prefix.parent.iterdir() if path.is_file()}
    kinds = ("json", "params", "states")
    checkpoints = {f"run-{step:07d}.{kind}" for step in (STEPS, 2 * STEPS) for kind in kinds}
    others = {"best.params", "best.json", "metrics.jsonl", "curve.png", "arguments.json"}
    assert names == {"run.log", *checkpoints, *(f"run-{other}" for other in others)}
    workers = [cluster.output(name) for name in ("worker 0", "worker 1")]
    assert sorted(text.count("  AP50 ") for text in workers) == [0, 2]
    assert cluster.output("server") == "" and "error" not in cluster.output("scheduler")


@pytest.mark.slow
def test_a_stopped_run_resumes_bit_for_bit(straight, shapes, tmp_path):
    prefix = tmp_path / "run"
    with two_workers(
        tmp_path / "output", shapes, prefix, "--epochs", 2, "--save-steps", 1
    ) as cluster:
        cluster.wait_for(tmp_path / "run-0000001.json")
        cluster.signal("worker 1", signal.SIGTERM)
        assert set(cluster.wait(60).values()) == {130}, cluster.outputs()
        assert "interrupted after step" in cluster.output("worker 0")
        assert "interrupted after step" in cluster.output("worker 1")
    stopped = training.read(training.latest(str(prefix)))["state"]["step"]
    assert stopped < 2 * STEPS
    again = two_workers(tmp_path / "again", shapes, prefix, "--epochs", 2, "--resume")
    with again as cluster:
        assert set(cluster.wait().values()) == {0}, cluster.outputs()
    last = f"-{2 * STEPS:07d}.params"
    resumed = arrays(f"{prefix}{last}")
    for name, value in arrays(f"{straight[0]}{last}").items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "other, difference, way_out",
    [
        (["--lr", 0.5], "--lr is ", "start all workers with the same command"),
        (
            ["--data-root", "OTHER"],
            "number of images is ",
            "give all workers the same training set",
        ),
    ],
)
def test_workers_that_differ_do_not_begin(shapes, tmp_path, other, difference, way_out):
    draw_shapes(tmp_path / "other", train=8, val=2, size=(64, 96))
    other = [str(tmp_path / "other") if flag == "OTHER" else flag for flag in other]
    cluster = two_workers(tmp_path / "output", shapes, tmp_path / "run", other=other)
    with cluster:
        assert set(cluster.wait(60).values()) == {2}, cluster.outputs()
    for name in ("worker 0", "worker 1"):
        text = cluster.output(name)
        assert text.count("error: ") == 1 and "Traceback" not in text
        assert difference in text and way_out in text
    assert not list(tmp_path.glob("run-0*"))


@pytest.mark.slow
def test_a_bad_image_on_one_worker_loses_no_step(shapes, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(shapes, other)
    # Each worker reads its own images: the file is damaged after the data sets were compared equal.
    for path in (other / "train").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    with two_workers(
        tmp_path / "output",
        shapes,
        tmp_path / "run",
        *("--epochs", 2),
        other=["--data-root", str(other)],
    ) as cluster:
        statuses = cluster.wait(60)
    assert set(statuses.values()) == {2}, cluster.outputs()
    assert "could not load the next batch" in cluster.outputs()


def test_a_store_that_this_mxnet_lacks_is_one_line(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    distributed = importlib.import_module("_distributed")
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    monkeypatch.setattr(
        mx.runtime, "Features", lambda: SimpleNamespace(is_enabled=lambda name: name != "NCCL")
    )
    with pytest.raises(InputError, match="--kv-store nccl needs an MXNet that was built with NCC"):
        distributed.connect("nccl")


@pytest.mark.parametrize(
    "role, kv_store, message",
    [
        (None, "dist_sync", "--kv-store dist_sync needs a launcher, which sets DMLC_ROLE"),
        ("worker", "device", "but --kv-store is device; give --kv-store dist_sync"),
    ],
)
def test_the_store_must_fit_the_environment(monkeypatch, role, kv_store, message):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    distributed = importlib.import_module("_distributed")
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    if role:
        monkeypatch.setenv("DMLC_ROLE", role)
    with pytest.raises(InputError, match=message):
        distributed.connect(kv_store)


class TwoWorkers:
    """Stands in for two workers; statistics of the other one that are not 0 are larger by 2."""

    count = 2
    rank = 0

    def gather(self, values):
        moving = np.asarray(values) != 0
        return np.stack([values, values + 2 * moving])


def test_running_statistics_are_averaged(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    distributed = importlib.import_module("_distributed")
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.BatchNorm(in_channels=2), mx.gluon.nn.BatchNorm(in_channels=3))
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    average = distributed.StatisticsAverage(net, TwoWorkers(), every_steps=0)
    average.on_step_end(None)
    np.testing.assert_array_equal(net[0].running_var.data(mx.cpu(0)).asnumpy(), [1, 1])
    average.on_epoch_end(None)
    for context in (mx.cpu(0), mx.cpu(1)):
        np.testing.assert_array_equal(net[0].running_var.data(context).asnumpy(), [2, 2])
        np.testing.assert_array_equal(net[1].running_var.data(context).asnumpy(), [2, 2, 2])
        np.testing.assert_array_equal(net[1].running_mean.data(context).asnumpy(), [0, 0, 0])
        np.testing.assert_array_equal(net[0].gamma.data(context).asnumpy(), [1, 1])


@pytest.mark.slow
@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_help_is_given_whatever_the_role(role):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"],
        env={**os.environ, "DMLC_ROLE": role},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0 and "--kv-store" in done.stdout
