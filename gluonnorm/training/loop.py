"""The training loop: steps, seeds, the check for non-finite losses, and orderly stops."""

import math
import random
import time
from collections import deque
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from gluonnorm.errors import GluonnormError, InputError, Interrupted
from gluonnorm.training.callback import Callback, StepRecord
from gluonnorm.training.interrupt import SignalGuard, StopRequest
from gluonnorm.training.log import RunningMeans
from gluonnorm.training.step import TrainStep
from gluonnorm.training.workers import Workers

import mxnet as mx
import numpy as np
from tqdm import tqdm

SHORTEST_TIME = 1e-9  # seconds; a clock may show the same time twice


class NonFiniteLoss(GluonnormError, RuntimeError):
    """A loss became NaN or infinite. The weights cannot be used; earlier checkpoints can.

    Parameters
    ----------
    step : int
        The step; the first is 1.
    names : sequence of str
        The images of the batch.
    losses : dict of str to float
        The mean over the batch of each named loss.
    culprits : sequence of str
        The images whose own losses are not finite.

    Attributes
    ----------
    step : int
        The step; the first is 1.
    names : tuple of str
        The images of the batch.
    losses : dict of str to float
        The mean over the batch of each named loss.
    """

    def __init__(
        self,
        step: int,
        names: Sequence[str],
        losses: Dict[str, float],
        culprits: Sequence[str],
    ) -> None:
        self.step = step
        self.names = tuple(names)
        self.losses = losses
        values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        super().__init__(
            f"step {step}: the loss is not finite ({values}) on {', '.join(culprits)} "
            f"(batch: {', '.join(names)}). Checkpoints saved before it are finite; resume from the "
            "last one with a lower learning rate or a longer warm-up, or look at these images and "
            "their boxes"
        )


class _LaunchedStep(NamedTuple):
    """A step whose losses have not been read; its fields mean the same as in ``StepRecord``."""

    step: int
    epoch: int
    rate: float
    names: Tuple[str, ...]
    losses: Dict[str, mx.nd.NDArray]


class Loop:
    """Training loop: runs a training step over epochs of batches, and tells callbacks about it.

    The losses of a step are read after the next step was launched, so the device never waits for
    Python, and a non-finite loss is noticed one step late. ``settle`` reads the losses that are
    still unread. The loop calls it before every ``on_epoch_end`` and ``on_interrupt``, so weights
    that are saved there come from finite losses only.

    Before each step, and so before its batch is loaded, the random states of Python, NumPy and
    MXNet are set from the seed and the step. A resumed run therefore repeats an uninterrupted one,
    as long as ``batches`` shuffles by the number of the epoch alone.

    In a distributed run every worker has a loop. The loops make the same steps, report the losses
    of all workers' images, and stop after the same step, wherever the signal or the error came. If
    a callback calls ``settle`` after a step, one must do so on all workers: they wait there for
    each other.

    Parameters
    ----------
    train_step : callable
        ``train_step(*inputs, batch_size=..., rate=...)`` makes one update and returns a dictionary
        of loss vectors, NDArrays of shape (B,), by name. A ``TrainStep`` is one. A batch without
        names comes with ``counts=False``.
    batches : callable
        ``batches(epoch, skip)`` gives an iterable of the batches of an epoch, the first of which
        is 0, without its first ``skip`` batches. Their order must depend on ``epoch`` alone.
    adapt : callable
        ``adapt(batch)`` returns ``(*inputs, names)``: what ``train_step`` takes, and the names of
        the images for messages. A worker without an image of its own gives no names.
    rate : callable
        ``rate(step)`` returns the learning rate of a step, the first of which is 0 (``schedule``).
    steps_per_epoch : int
        Batches in an epoch, at least 1; ``batches`` must give as many.
    batch_size : int
        Images in a full batch, over all processes. The gradient is divided by it.
    seed : int
        Any integer of at least 0.
    callbacks : sequence of Callback
        Called in this order at each moment.
    workers : Workers, optional
        The workers of a distributed run; None for one process.

    Attributes
    ----------
    step : int
        Updates launched so far.
    epochs : int
        Epochs that are complete at the end of the run; 0 before ``fit``, and fewer after ``end``.

    Raises
    ------
    InputError
        ``steps_per_epoch`` or ``batch_size`` is less than 1, or ``seed`` is negative.

    Examples
    --------
    >>> loop = Loop(train_step, batches, adapt, rate, steps_per_epoch=100, batch_size=2,
    ...             callbacks=[saver])                                     # doctest: +SKIP
    >>> loop.fit(epochs=10)                                                # doctest: +SKIP
    """

    def __init__(
        self,
        train_step: Callable[..., Dict[str, mx.nd.NDArray]],
        batches: Callable[[int, int], Iterable[Any]],
        adapt: Callable[[Any], Sequence[Any]],
        rate: Callable[[int], float],
        steps_per_epoch: int,
        batch_size: int,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        workers: Optional[Workers] = None,
    ) -> None:
        if steps_per_epoch < 1:
            raise InputError(
                f"steps_per_epoch is {steps_per_epoch}; an epoch needs at least one batch"
            )
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; a batch holds at least one image")
        if seed < 0:
            raise InputError(f"seed is {seed}; NumPy takes seeds of at least 0")
        self.train_step = train_step
        self.batches = batches
        self.adapt = adapt
        self.rate = rate
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.seed = seed
        self.callbacks = list(callbacks)
        self.workers = workers or Workers()
        self.step = 0
        self.epochs = 0
        self._first_step = 0
        self._unread_steps: Deque[_LaunchedStep] = deque()
        self._means = RunningMeans()
        self._progress_bar: Optional[tqdm] = None
        self._last_time = 0.0

    @property
    def epoch(self) -> int:
        """Complete epochs so far."""
        return self.step // self.steps_per_epoch

    def state(self) -> Dict[str, Any]:
        """Return what a checkpoint must hold to resume.

        Returns
        -------
        dict of str to any
            ``step``, ``epoch`` and ``seed``, with what a ``TrainStep`` adds. Give ``step`` to
            ``fit`` as ``start``, and all of it to ``TrainStep.restore``.
        """
        state: Dict[str, Any] = dict(self.state_at(self.step))
        if isinstance(self.train_step, TrainStep):
            state.update(self.train_step.state())
        return state

    def state_at(self, step: int) -> Dict[str, int]:
        """Return the position of the run after a number of updates.

        Parameters
        ----------
        step : int
            The number of updates made.

        Returns
        -------
        dict of str to int
            ``step``, ``epoch`` and ``seed``.
        """
        return {"step": step, "epoch": step // self.steps_per_epoch, "seed": self.seed}

    def fit(self, epochs: int, start: int = 0) -> None:
        """Train to the end of an epoch.

        Parameters
        ----------
        epochs : int
            Epochs to be complete at the end, those before ``start`` included.
        start : int
            Updates already made; 0 for a fresh run.

        Raises
        ------
        NonFiniteLoss
            A loss became NaN or infinite.
        Interrupted
            SIGINT, SIGTERM or SIGHUP came. A second signal raises ``KeyboardInterrupt`` at once.
        InputError
            ``start`` is negative, or an epoch has fewer batches than ``steps_per_epoch``.
        WorkerFailed
            Another worker could not load a batch.
        Exception
            Whatever ``batches`` or ``adapt`` raises, after all ``on_interrupt`` callbacks.
        """
        if start < 0:
            raise InputError(
                f"start is {start}; give the number of updates already made, 0 for a fresh run"
            )
        self.step = start
        self.epochs = epochs
        self._unread_steps.clear()
        self._first_step = start
        with SignalGuard() as guard:
            if start > 0:
                for callback in self.callbacks:
                    callback.on_resume(self)
                self._agree_on_end()
            while self.epoch < self.epochs:
                self._run_epoch(guard)
        # The callbacks of worker 0 may take longest, and no worker ends before the others.
        self.workers.wait()

    def end(self) -> None:
        """End the run after the current epoch, as if it had been asked for no more epochs.

        Callbacks call it in ``on_epoch_end`` or ``on_resume``. All workers of a distributed run end
        with the one that calls it.
        """
        self.epochs = self.epoch

    def settle(self) -> None:
        """Wait for the losses of all launched steps, check and report them.

        After this the weights may be saved.

        Raises
        ------
        NonFiniteLoss
            A loss is NaN or infinite.
        """
        self._read_losses(leave=0)

    def _run_epoch(self, guard: SignalGuard) -> None:
        """Run the steps that are left of the current epoch."""
        epoch, skip = divmod(self.step, self.steps_per_epoch)
        self._last_time = time.perf_counter()
        with tqdm(
            desc=f"epoch {epoch + 1}/{self.epochs}",
            total=self.steps_per_epoch,
            initial=skip,
            unit="step",
            disable=None if self.workers.rank == 0 else True,
        ) as self._progress_bar:
            try:
                batches = iter(self._get(guard, self.batches, epoch, skip))
                for index in range(skip, self.steps_per_epoch):
                    _seed_everything(self.seed, self.step, self.workers.rank)
                    prepared = self._get(guard, self._prepare, batches, epoch, index)
                    self._launch(prepared, epoch)
            except StopRequest:
                self._stop()
                raise Interrupted(self.step) from None
            self.settle()
        for callback in self.callbacks:
            callback.on_epoch_end(self)
        self._agree_on_end()

    def _agree_on_end(self) -> None:
        """Take over the end that another worker has chosen."""
        self.epochs = int(self.workers.gather([self.epochs]).min())

    def _get(self, guard: SignalGuard, produce: Callable[..., Any], *arguments: Any) -> Any:
        """Get something from the data side; if a worker fails, no finished step is lost."""
        failure: Optional[BaseException] = None
        try:
            produced = guard.wait(produce, *arguments)
        except (StopRequest, Exception) as error:
            failure = error
        failure = self.workers.agree(failure)
        if failure is None:
            return produced
        # Without a step of its own the run has nothing to save.
        if isinstance(failure, Exception) and self.step > self._first_step:
            self._stop()
        raise failure

    def _prepare(self, batches: Iterator[Any], epoch: int, index: int) -> Sequence[Any]:
        """Take the next batch, and turn it into the inputs of the step and the images' names."""
        return self.adapt(_next_batch(batches, epoch, index, self.steps_per_epoch))

    def _stop(self) -> None:
        """Settle, and tell the callbacks that the loop stops here."""
        self.settle()
        for callback in self.callbacks:
            callback.on_interrupt(self)
        self.workers.wait()

    def _launch(self, prepared: Sequence[Any], epoch: int) -> None:
        """Launch a step, then read the losses of the step before."""
        *inputs, names = prepared
        rate = self.rate(self.step)
        options = {} if names else {"counts": False}
        losses = self.train_step(*inputs, batch_size=self.batch_size, rate=rate, **options)
        self.step += 1
        self._unread_steps.append(_LaunchedStep(self.step, epoch, rate, tuple(names), losses))
        self._read_losses(leave=1)
        for callback in self.callbacks:
            callback.on_step_end(self)

    def _read_losses(self, leave: int) -> None:
        """Read the losses of launched steps, oldest first, until ``leave`` steps are unread."""
        while len(self._unread_steps) > leave:
            launched = self._unread_steps.popleft()
            losses, image_count = _checked_means(launched, self.workers)
            now = time.perf_counter()
            elapsed = max(now - self._last_time, SHORTEST_TIME)
            speed = image_count / elapsed
            self._last_time = now
            self._show_progress(losses, speed)
            record = StepRecord(
                step=launched.step,
                epoch=launched.epoch,
                rate=launched.rate,
                losses=losses,
                names=launched.names,
                images_per_second=speed,
            )
            for callback in self.callbacks:
                callback.on_losses(self, record)

    def _show_progress(self, losses: Dict[str, float], speed: float) -> None:
        """Move the progress bar by one step, with smoothed losses beside it."""
        self._means.update({**losses, "images/s": speed})
        if self._progress_bar is not None:
            self._progress_bar.set_postfix(self._means.values(), refresh=False)
            self._progress_bar.update()


def _checked_means(launched: _LaunchedStep, workers: Workers) -> Tuple[Dict[str, float], int]:
    """Wait for the losses of a step; return their means over all workers' images, and their count.

    NonFiniteLoss is raised on all workers if a mean is not finite.
    """
    # A worker without an image of its own has computed losses that do not count.
    own_count = len(launched.names)
    per_image = {name: vector.asnumpy()[:own_count] for name, vector in launched.losses.items()}
    own_means = [float(vector.mean()) if own_count else 0.0 for vector in per_image.values()]
    table = workers.gather([own_count, *own_means]).astype(np.float64)
    counts = table[:, 0]
    means = own_means
    if workers.count > 1:
        means = (counts @ table[:, 1:] / counts.sum()).tolist()
    losses = dict(zip(per_image, means))
    if all(math.isfinite(value) for value in means):
        return losses, int(counts.sum())
    is_finite = np.logical_and.reduce([np.isfinite(vector) for vector in per_image.values()])
    culprits = [name for name, finite in zip(launched.names, is_finite) if not finite]
    if not culprits and workers.count > 1:
        bad_rows = ~np.isfinite(table).all(axis=1)
        culprits = [f"images of worker {rank}" for rank in np.flatnonzero(bad_rows)]
    raise NonFiniteLoss(launched.step, launched.names, losses, culprits or launched.names)


def _next_batch(batches: Iterator[Any], epoch: int, index: int, steps_per_epoch: int) -> Any:
    """Take the next batch; raise InputError if the epoch has too few."""
    try:
        return next(batches)
    except StopIteration:
        raise InputError(
            f"epoch {epoch + 1} ended after {index} batches, but steps_per_epoch is "
            f"{steps_per_epoch}; make the two agree"
        ) from None


def _seed_everything(seed: int, step: int, rank: int) -> None:
    """Set the random states of Python, NumPy and MXNet; each worker gets others at each step."""
    sequence = np.random.SeedSequence((seed, step, rank) if rank else (seed, step))
    # mx.random.seed takes a C int, so the highest bit is cut off.
    value = int(sequence.generate_state(1)[0]) & 0x7FFFFFFF
    random.seed(value)
    np.random.seed(value)
    mx.random.seed(value)
