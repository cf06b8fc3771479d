"""Train with several processes: how a worker starts and ends, and what all workers must share."""

import argparse
import hashlib
import os
import sys
import tempfile
import traceback
from typing import Any, Callable, Dict, List, Optional

import gluonnorm
from gluonnorm import training
from gluonnorm.data import Dataset
from gluonnorm.data.listing import listing_of
from gluonnorm.errors import InputError, first_few
from gluonnorm.job_watch import HELP_FLAGS, ROLE, Job, Member
from gluonnorm.nn.replace_norms import RUNNING_STATISTICS

import mxnet as mx
import numpy as np
from _cli import FAILED, flag_of, run

CRASHED = 1
GUIDE = "docs/distributed.md has the commands"
# Flags that may differ from machine to machine: paths, devices, and what only worker 0 looks at.
LOCAL_FLAGS = ("data_root", "font", "gpus", "num_workers", "resume", "save_prefix")

# This process in the watch over the run; None in a run of one process.
_member: Optional[Member] = None
# The store lives as long as the process: on its way out it waits for all workers, also when one of
# them ends because of an error, and the watch would not hear of it.
_workers: Optional[training.Workers] = None


def run_worker(
    main: Callable[[Any], Optional[int]], parse_args: Callable[[], argparse.Namespace]
) -> None:
    """Run a training script alone, or as a worker of a distributed run, and end the process.

    A worker ends without MXNet's own way out, which waits for other processes and for operations
    that may never end.

    Parameters
    ----------
    main : callable
        The script's work. It takes what ``parse_args`` returns.
    parse_args : callable
        Reads the command line.
    """
    global _member
    if ROLE not in os.environ or HELP_FLAGS & set(sys.argv[1:]):
        run(main, parse_args())
        return
    status: Any = CRASHED
    try:
        # Before the flags are read: a worker that ends because of them is missed.
        _member = _join()
        run(main, parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = FAILED
    except SystemExit as stop:
        status = stop.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    if _member is not None:
        _member.leave(status)
    os._exit(status)


def _join() -> Member:
    """Join the watch over the run that the environment names."""
    job = Job.from_environment()
    assert job is not None, "the caller has seen the role"
    return Member(job)


def connect(kv_store: str) -> training.Workers:
    """Connect to the other workers, as far as there are any.

    Parameters
    ----------
    kv_store : str
        The value of ``--kv-store``.

    Returns
    -------
    training.Workers
        The workers of the run. It returns when all of them, the servers and the scheduler have
        started.

    Raises
    ------
    InputError
        The flag does not fit the environment, or this MXNet does not have the store.
    """
    global _workers
    role = os.environ.get(ROLE)
    is_distributed = "dist" in kv_store
    if is_distributed and role is None:
        raise InputError(
            f"--kv-store {kv_store} needs a launcher, which sets {ROLE} and the addresses of the "
            f"run; {GUIDE}"
        )
    if role is not None and not is_distributed:
        raise InputError(
            f"{ROLE} is {role}, so this is a worker of a distributed run, but --kv-store is "
            f"{kv_store}; give --kv-store dist_sync, or unset {ROLE}"
        )
    if kv_store == "nccl" and not mx.runtime.Features().is_enabled("NCCL"):
        raise InputError(
            "--kv-store nccl needs an MXNet that was built with NCCL, and this one was not; leave "
            "it out, because device adds up the gradients of several GPUs as well"
        )
    _workers = training.Workers(kv_store)
    if _member is not None:
        _member.name(f"worker {_workers.rank}")
    return _workers


def require_same_flags(workers: training.Workers, args: argparse.Namespace) -> None:
    """Check that all workers have the same program and the same flags.

    Paths, devices and the number of threads may differ.

    Parameters
    ----------
    workers : training.Workers
        The workers of the run.
    args : argparse.Namespace
        What ``parse_args`` returns.

    Raises
    ------
    InputError
        A worker differs from worker 0.
    """
    facts: Dict[str, Any] = {"gluonnorm": gluonnorm.__version__, "mxnet": mx.__version__}
    for name, value in vars(args).items():
        if name not in LOCAL_FLAGS:
            facts[flag_of(name)] = repr(value)
    _require_same(workers, facts, "start all workers with the same command")


def require_same_data(workers: training.Workers, dataset: Dataset) -> None:
    """Check that all workers have the same images and annotations.

    The pixels of the images are not compared.

    Parameters
    ----------
    workers : training.Workers
        The workers of the run.
    dataset : Dataset
        The training set.

    Raises
    ------
    InputError
        A worker differs from worker 0.
    """
    if workers.count == 1:
        return
    listing = listing_of(dataset)
    annotations = (listing.images, listing.labels, listing.crowd, listing.file_boxes)
    facts = {
        "classes": list(dataset.classes),
        "number of images": len(dataset),
        "checksum of the images' sizes": _digest(listing.image_sizes),
        "checksum of the annotations": _digest(np.column_stack(annotations)),
    }
    _require_same(workers, facts, "give all workers the same training set")


def _digest(array: np.ndarray) -> str:
    """Checksum of an array."""
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def _require_same(workers: training.Workers, facts: Dict[str, Any], way_out: str) -> None:
    """Raise InputError, on all workers, if a fact is not the same everywhere."""
    first, *others = workers.gather_objects(facts)
    differences: List[str] = []
    for rank, other in enumerate(others, 1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                differences.append(
                    f"{name} is {first.get(name)} on worker 0 and {other.get(name)} on worker "
                    f"{rank}"
                )
    if differences:
        raise InputError(f"{first_few(differences)}; {way_out}")


def share_start(
    workers: training.Workers,
    net: mx.gluon.Block,
    trainer: mx.gluon.Trainer,
    state: Dict[str, Any],
) -> Dict[str, Any]:
    """Give every worker the weights, the optimizer and the step that worker 0 starts from.

    Only worker 0 reads checkpoints, so the other machines need none.

    Parameters
    ----------
    workers : training.Workers
        The workers of the run.
    net : mx.gluon.Block
        The network.
    trainer : mx.gluon.Trainer
        The trainer of the network.
    state : dict
        The state of the loop; that of worker 0 counts.

    Returns
    -------
    dict
        The state of worker 0.
    """
    if workers.count == 1:
        return state
    for parameter in net._collect_params_with_prefix().values():
        values = parameter.data(parameter.list_ctx()[0]).asnumpy()
        parameter.set_data(workers.share(mx.nd.array(values, dtype=values.dtype)))
    state = workers.gather_objects(state)[0]
    if state["step"]:
        _share_optimizer(workers, trainer)
    return state


def _share_optimizer(workers: training.Workers, trainer: mx.gluon.Trainer) -> None:
    """Give every worker the optimizer of worker 0, bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "optimizer.states")
        content = b""
        if workers.rank == 0:
            trainer.save_states(path)
            with open(path, "rb") as file:
                content = file.read()
        content = workers.share_bytes(content)
        if workers.rank:
            with open(path, "wb") as file:
                file.write(content)
            trainer.load_states(path)


class StatisticsAverage(training.Callback):
    """Average the running statistics of all workers before each checkpoint.

    Every worker's norms see its own images only. Put it before the ``CheckpointSaver`` of worker 0.

    Parameters
    ----------
    net : mx.gluon.Block
        The network.
    workers : training.Workers
        The workers of the run.
    every_steps : int
        Updates from one checkpoint within an epoch to the next; 0 for none.
    """

    def __init__(self, net: mx.gluon.Block, workers: training.Workers, every_steps: int) -> None:
        self.workers = workers
        self.every_steps = every_steps
        self.parameters: List[mx.gluon.Parameter] = []
        for name, parameter in net._collect_params_with_prefix().items():
            if name.endswith(RUNNING_STATISTICS):
                self.parameters.append(parameter)

    def on_step_end(self, loop: training.RunningLoop) -> None:
        """Average if a checkpoint is due at this step."""
        if self.every_steps and loop.step % self.every_steps == 0:
            # The losses of all workers are read together. Worker 0 reads them before it saves, so
            # the others must do so too.
            loop.settle()
            self._average()

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Average after each epoch."""
        self._average()

    def on_interrupt(self, loop: training.RunningLoop) -> None:
        """Average before the run stops."""
        self._average()

    def _average(self) -> None:
        """Give all workers the means of their statistics."""
        if not self.parameters:
            return
        own = [parameter.data(parameter.list_ctx()[0]).asnumpy() for parameter in self.parameters]
        table = self.workers.gather(np.concatenate(own))
        # Statistics that are frozen, and so the same everywhere, stay the same bit for bit.
        means = table[0] + (table - table[0]).mean(axis=0)
        start = 0
        for parameter, array in zip(self.parameters, own):
            parameter.set_data(mx.nd.array(means[start : start + len(array)]))
            start += len(array)
