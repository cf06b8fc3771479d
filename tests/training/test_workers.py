"""One process is a group of workers of its own; tests of several are in test_distributed.py."""

from gluonnorm.training import NonFiniteLoss, StepRecord, Workers
from gluonnorm.training.interrupt import StopRequest

import mxnet as mx
import numpy as np
import pytest
from training import tiny


@pytest.mark.parametrize("store", [None, "local", "device"])
def test_one_process_waits_for_nobody(store) -> None:
    workers = Workers(store)
    assert getattr(workers.kvstore, "type", None) == store
    assert (workers.rank, workers.count) == (0, 1)
    np.testing.assert_array_equal(workers.gather([1.5, 2]), [[1.5, 2]])
    assert workers.gather_objects({"lr": 0.1, "set": [1]}) == [{"lr": 0.1, "set": [1]}]
    array = mx.nd.arange(3)
    assert workers.share(array) is array
    assert workers.share_bytes(b"12345") == b"12345" and workers.share_bytes(b"") == b""
    workers.wait()


@pytest.mark.parametrize("failure", [None, StopRequest(), ValueError("bad image")])
def test_one_process_follows_its_own_failure(failure) -> None:
    assert Workers().agree(failure) is failure


class FirstOfTwo(Workers):
    """Stands in for worker 0 of two; worker 1 has three images with a loss of its own."""

    def __init__(self, other_loss) -> None:
        super().__init__()
        self.count = 2
        self.other_loss = other_loss

    def gather(self, values):
        return np.float32([values, [3, *[self.other_loss] * (len(values) - 1)]])


class Records(tiny.training.Callback):
    """Keeps what the loop reports."""

    def __init__(self) -> None:
        self.records = []

    def on_losses(self, loop, record: StepRecord) -> None:
        self.records.append(record)


def one_step(workers, names):
    records = Records()

    def train_step(*inputs, batch_size, rate, counts=True):
        assert counts == bool(names)
        return {"loss": mx.nd.array([1.0, 3.0])}

    loop = tiny.make_loop(
        train_step,
        [records],
        adapt=lambda batch: (batch["x"], names),
        steps_per_epoch=1,
        workers=workers,
    )
    loop.fit(epochs=1)
    return records.records[0].losses["loss"]


@pytest.mark.parametrize(
    "names, mean",
    [(["a", "b"], (1 + 3 + 3 * 7) / 5), (["a"], (1 + 3 * 7) / 4), ([], 7)],
)
def test_losses_are_means_over_the_images_of_all_workers(names, mean) -> None:
    assert one_step(FirstOfTwo(7), names) == pytest.approx(mean, rel=1e-6)


def test_a_loss_of_another_worker_that_is_not_finite_stops_all() -> None:
    with pytest.raises(NonFiniteLoss, match="on images of worker 1 "):
        one_step(FirstOfTwo(np.nan), ["a", "b"])
