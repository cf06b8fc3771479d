"""Two workers on loopback, each with two devices, train as one process does."""

import signal
import time
from pathlib import Path

from gluonnorm import training

import mxnet as mx
import numpy as np
import pytest
from cluster import Cluster
from training import distributed_program

PROGRAM = Path(distributed_program.__file__)


@pytest.mark.slow
def test_two_workers_train_as_one_process(tmp_path) -> None:
    # The weight of the convolution has 2304 numbers, so it is split over both servers.
    several = {"servers": 2, "MXNET_KVSTORE_BIGARRAY_BOUND": 1000}
    with Cluster(tmp_path, [[PROGRAM, tmp_path]] * 2, **several) as cluster:
        statuses = cluster.wait()
        assert set(statuses.values()) == {0}, cluster.outputs()
    first, second = (np.load(tmp_path / f"worker{rank}.npz") for rank in range(2))
    weights, losses = distributed_program.train(
        training.Workers("device"), (mx.cpu(0),), max_norm=0.5, epochs=distributed_program.EPOCHS
    )
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(first["losses"], losses, rtol=1e-5)
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    for name, value in weights.items():
        np.testing.assert_allclose(first[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_killed_worker_ends_the_run(tmp_path) -> None:
    with Cluster(tmp_path, [[PROGRAM, tmp_path, distributed_program.ENDLESS]] * 2) as cluster:
        victim = cluster.processes["worker 1"].pid
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(f"rank * is process {victim}")):
            assert time.monotonic() < deadline, cluster.outputs()
            time.sleep(0.1)
        time.sleep(0.5)  # into the training
        cluster.signal("worker 1", signal.SIGKILL)
        statuses = cluster.wait(60)
        assert statuses == {"scheduler": 2, "server": 2, "worker 0": 2, "worker 1": -9}
        for name in ("scheduler", "server", "worker 0"):
            assert f"(process {victim} on host" in cluster.output(name), cluster.outputs()
            assert "is gone; this process ends too" in cluster.output(name)
