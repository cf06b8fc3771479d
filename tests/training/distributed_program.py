"""A small training program for one process or several: python distributed_program.py FOLDER."""

import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import gluonnorm  # noqa: F401
from gluonnorm import training
from gluonnorm.job_watch import Job, Member

import mxnet as mx
import numpy as np
from mxnet import gluon

IMAGES = 10
GLOBAL_BATCH = 3  # the last batch of an epoch has one image, so the second of two workers has none
STEPS_PER_EPOCH = 4
EPOCHS = 3
CHANNELS = 32  # enough for oneDNN to choose a layout of its own
ENDLESS = "endless"


class ConvLoss(gluon.HybridBlock):
    """A convolution and a dense layer with a squared error."""

    loss_names = ("square",)

    def __init__(self) -> None:
        super().__init__()
        with self.name_scope():
            self.conv = gluon.nn.Conv2D(8, 3, in_channels=CHANNELS)
            self.out = gluon.nn.Dense(1, in_units=8)

    def forward(self, images: mx.nd.NDArray, targets: mx.nd.NDArray) -> Tuple[mx.nd.NDArray]:
        """Return the loss (B,) of images (B, CHANNELS, 6, 6) with targets (B,)."""
        features = self.conv(images).tanh().mean(axis=(2, 3))
        return ((self.out(features).reshape(-1) - targets) ** 2,)


class LossList(training.Callback):
    """Keeps the losses of all steps."""

    def __init__(self) -> None:
        self.losses: List[float] = []

    def on_losses(self, loop: training.RunningLoop, record: training.StepRecord) -> None:
        """Keep the loss of a step."""
        self.losses.append(record.losses["square"])


def train(
    workers: training.Workers, contexts: Tuple[mx.Context, ...], max_norm: float, epochs: int
):
    """Train as one worker, and return the weights by name and the losses."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(IMAGES, CHANNELS, 6, 6)).astype(np.float32)
    targets = generator.normal(size=IMAGES).astype(np.float32)
    graph = ConvLoss()
    # The weights of worker 0 count.
    mx.random.seed(5 + workers.rank)
    graph.initialize(mx.init.Normal(0.1), ctx=list(contexts))
    # Outside of autograd oneDNN reorders the weight in place.
    for context in contexts:
        graph.conv(mx.nd.array(images[:1], ctx=context)).wait_to_read()
    trainer = gluon.Trainer(
        training.trainable_parameters(graph),
        "sgd",
        {"momentum": 0.9},
        kvstore=workers.kvstore,
        update_on_kvstore=False,
    )

    def batches(epoch: int, skip: int) -> Iterator[Dict[str, Any]]:
        """Yield this worker's shares of the batches of an epoch."""
        order = np.random.default_rng(epoch).permutation(IMAGES)
        for start in range(skip * GLOBAL_BATCH, IMAGES, GLOBAL_BATCH):
            own = order[start : start + GLOBAL_BATCH][workers.rank :: workers.count]
            chosen = own if len(own) else order[:1]
            yield {"x": images[chosen], "y": targets[chosen], "names": [str(n) for n in own]}

    def adapt(batch: Dict[str, Any]) -> Tuple[Any, ...]:
        """Turn a batch into the inputs of the step, and the names."""
        return mx.nd.array(batch["x"]), mx.nd.array(batch["y"]), batch["names"]

    loss_scale = training.LossScale(growth_steps=4)
    step = training.TrainStep(graph, trainer, contexts, max_norm, loss_scale=loss_scale)
    losses = LossList()
    loop = training.Loop(
        step,
        batches,
        adapt,
        rate=lambda step: 0.1,
        steps_per_epoch=STEPS_PER_EPOCH,
        batch_size=GLOBAL_BATCH,
        callbacks=[losses],
        workers=workers,
    )
    loop.fit(epochs)
    weights = {}
    for name, parameter in graph._collect_params_with_prefix().items():
        replicas = [array.asnumpy() for array in parameter.list_data()]
        assert all(np.array_equal(replicas[0], replica) for replica in replicas), name
        weights[name] = replicas[0]
    return weights, losses.losses


def check_messages(workers: training.Workers) -> None:
    """Try what workers say to each other, with values that differ from worker to worker."""
    rank, count = workers.rank, workers.count
    for _ in range(2):
        np.testing.assert_array_equal(
            workers.gather([rank, 0.1]), [[k, np.float32(0.1)] for k in range(count)]
        )
    assert workers.gather_objects("x" * 10 * rank) == ["x" * 10 * k for k in range(count)]
    content = np.random.default_rng(rank).integers(0, 256, 1001).astype(np.uint8).tobytes()
    first = np.random.default_rng(0).integers(0, 256, 1001).astype(np.uint8).tobytes()
    assert workers.share_bytes(content) == first
    array = workers.share(mx.nd.array([rank, np.nan, -0.0]))
    assert array.asnumpy().tobytes() == np.float32([0, np.nan, -0.0]).tobytes()
    stop = training.interrupt.StopRequest()
    assert workers.agree(None) is None
    assert isinstance(workers.agree(stop if rank == 1 else None), type(stop))
    error = ValueError("bad image")
    failure = workers.agree(error if rank == 1 else stop)
    if rank == 1:
        assert failure is error
    else:
        assert isinstance(failure, training.WorkerFailed) and "worker 1" in str(failure)


def main(folder: Path, *modes: str) -> None:
    """Train as a worker of a distributed run, and leave the weights in the folder."""
    job = Job.from_environment()
    assert job is not None
    member = Member(job)
    workers = training.Workers("dist_sync")
    member.name(f"worker {workers.rank}")
    check_messages(workers)
    if ENDLESS in modes:
        (folder / f"rank {workers.rank} is process {os.getpid()}").touch()
        train(workers, (mx.cpu(0),), max_norm=0.5, epochs=10**6)
    weights, losses = train(workers, (mx.cpu(0), mx.cpu(1)), max_norm=0.5, epochs=EPOCHS)
    np.savez(folder / f"worker{workers.rank}.npz", losses=losses, **weights)
    workers.wait()
    member.leave(0)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
