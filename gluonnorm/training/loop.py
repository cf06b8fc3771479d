"""The loop: steps, seeds, the check for non-finite losses, and orderly stops."""
import math
import random
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.errors import GluonnormError
from gluonnorm.training.callback import Callback, StepRecord
from gluonnorm.training.interrupt import SignalGuard, StopRequest
from gluonnorm.training.log import RunningMeans

import mxnet as mx
import numpy as np
from tqdm import tqdm


class NonFiniteLoss(GluonnormError, RuntimeError):
    """A loss became NaN or infinite. The weights are spoilt; the last checkpoint is not.

    Attributes: ``step`` (1-based), ``names`` of the images of the batch, ``losses`` {name: mean over the batch}.
    """

    def __init__(self, step: int, names: Sequence[str], losses: Dict[str, float], culprits: Sequence[str]) -> None:
        self.step, self.names, self.losses = step, tuple(names), losses
        values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        super().__init__(
            f"step {step}: the loss is not finite ({values}) on {', '.join(culprits)} (batch: {', '.join(names)}). "
            "Checkpoints saved before it are sound; resume from the last with a lower learning rate or a longer "
            "warm-up, or look at these images and their boxes")


class Interrupted(GluonnormError, RuntimeError):
    """SIGINT or SIGTERM stopped the loop between two steps, after ``on_interrupt``. ``step`` updates were made."""
    exit_code = 130  # what a shell expects of a program stopped by Ctrl-C

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"interrupted after step {step}")


class _Launched(NamedTuple):
    """A step whose losses have not been read."""
    step: int
    epoch: int
    rate: float
    names: Tuple[str, ...]
    losses: Dict[str, mx.nd.NDArray]


class Loop:
    """Runs a training step over epochs of batches and tells callbacks about it.

    The losses of a step are read after the next one has been launched, so the device never waits for Python, and
    a non-finite one is found one step late. ``settle`` closes that gap and is called before every ``on_epoch_end``
    and ``on_interrupt``: what is saved there has only finite losses behind it.

    Before step s, and so before its batch is asked for, the random states of Python, NumPy and MXNet are set from
    ``(seed, s)``: a resumed run repeats a straight one, as long as ``batches`` shuffles by the epoch number alone.

    Parameters
    ----------
    train_step : callable
        ``train_step(*inputs, batch_size=..., rate=...)`` -> {name: NDArray (B,)}, such as a ``TrainStep``.
    batches : callable
        ``batches(epoch, skip)`` -> iterable of the batches of that epoch (0-based) without its first ``skip``. Their
        order must follow from ``epoch`` and nothing else.
    adapt : callable
        ``adapt(batch)`` -> ``(*inputs, names)``: what ``train_step`` takes, and the image names for messages.
    rate : callable
        ``rate(step)`` -> learning rate of the 0-based step (see ``schedule``).
    steps_per_epoch : int
        Batches in an epoch; ``batches`` must give as many.
    batch_size : int
        Images in a full batch, over all processes; divides the gradient.
    seed : int
        Any non-negative number.
    callbacks : sequence of Callback
        Called in this order at each moment.

    Attributes
    ----------
    step : int
        Updates launched so far.

    Example
    -------
    >>> loop = Loop(train_step, batches, adapt, rate, steps_per_epoch=100, batch_size=2, callbacks=[saver])
    >>> loop.fit(epochs=10)
    """

    def __init__(self, train_step: Callable[..., Dict[str, mx.nd.NDArray]],
                 batches: Callable[[int, int], Iterable[Any]], adapt: Callable[[Any], Sequence[Any]],
                 rate: Callable[[int], float], steps_per_epoch: int, batch_size: int, seed: int = 0,
                 callbacks: Sequence[Callback] = ()) -> None:
        if steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch is {steps_per_epoch}; an epoch needs at least one batch")
        self.train_step = train_step
        self.batches = batches
        self.adapt = adapt
        self.rate = rate
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.seed = seed
        self.callbacks = list(callbacks)
        self.step = 0
        self._pending: Deque[_Launched] = deque()
        self._means = RunningMeans()
        self._bar: Optional[tqdm] = None
        self._clock = 0.0

    @property
    def epoch(self) -> int:
        """Complete epochs so far."""
        return self.step // self.steps_per_epoch

    def state(self) -> Dict[str, int]:
        """What a checkpoint must hold to resume; JSON. Give its ``step`` to ``fit``."""
        return {"step": self.step, "epoch": self.epoch, "seed": self.seed}

    def fit(self, epochs: int, start: int = 0) -> None:
        """Train from update number ``start`` to the end of epoch ``epochs``.

        Raises ``NonFiniteLoss``, or ``Interrupted`` after SIGINT or SIGTERM; a second signal raises
        ``KeyboardInterrupt`` on the spot.
        """
        if start < 0:
            raise ValueError(f"start is {start}; give the number of updates already made, 0 for a fresh run")
        self.step = start
        self._pending.clear()
        with SignalGuard() as guard:
            while self.epoch < epochs:
                self._run_epoch(epochs, guard)

    def settle(self) -> None:
        """Wait for the losses of all launched steps, check and report them. After this the weights may be saved."""
        self._collect(leave=0)

    def _run_epoch(self, epochs: int, guard: SignalGuard) -> None:
        epoch, skip = divmod(self.step, self.steps_per_epoch)
        self._clock = time.perf_counter()
        with tqdm(desc=f"epoch {epoch + 1}/{epochs}", total=self.steps_per_epoch, initial=skip, unit="step",
                  disable=None) as self._bar:
            try:
                batches = iter(guard.wait(self.batches, epoch, skip))
                for index in range(skip, self.steps_per_epoch):
                    _reseed(self.seed, self.step)
                    batch = guard.wait(_next, batches, epoch, index, self.steps_per_epoch)
                    self._launch(batch, epoch)
            except StopRequest:
                self.settle()
                for callback in self.callbacks:
                    callback.on_interrupt(self)
                raise Interrupted(self.step) from None
            self.settle()
        for callback in self.callbacks:
            callback.on_epoch_end(self)

    def _launch(self, batch: Any, epoch: int) -> None:
        *inputs, names = self.adapt(batch)
        rate = self.rate(self.step)
        losses = self.train_step(*inputs, batch_size=self.batch_size, rate=rate)
        self.step += 1
        self._pending.append(_Launched(self.step, epoch, rate, tuple(names), losses))
        self._collect(leave=1)
        for callback in self.callbacks:
            callback.on_step_end(self)

    def _collect(self, leave: int) -> None:
        """Read losses, oldest first, until ``leave`` steps are still unread."""
        while len(self._pending) > leave:
            launched = self._pending.popleft()
            per_image = {name: vector.asnumpy() for name, vector in launched.losses.items()}  # waits here
            losses = {name: float(vector.mean()) for name, vector in per_image.items()}
            if not all(math.isfinite(value) for value in losses.values()):
                finite = np.logical_and.reduce([np.isfinite(vector) for vector in per_image.values()])
                culprits = [name for name, good in zip(launched.names, finite) if not good]
                raise NonFiniteLoss(launched.step, launched.names, losses, culprits or launched.names)
            now = time.perf_counter()
            speed = len(launched.names) / max(now - self._clock, 1e-9)
            self._clock = now
            self._means.update({**losses, "images/s": speed})
            if self._bar is not None:
                self._bar.set_postfix(self._means.values(), refresh=False)
                self._bar.update()
            record = StepRecord(launched.step, launched.epoch, launched.rate, losses, launched.names, speed)
            for callback in self.callbacks:
                callback.on_losses(self, record)


def _next(batches: Iterator[Any], epoch: int, index: int, wanted: int) -> Any:
    try:
        return next(batches)
    except StopIteration:
        raise RuntimeError(f"epoch {epoch + 1} ended after {index} batches, but steps_per_epoch is {wanted}; "
                           "make the two agree") from None


def _reseed(seed: int, step: int) -> None:
    value = int(np.random.SeedSequence((seed, step)).generate_state(1)[0]) & 0x7FFFFFFF  # MXNet takes a C int
    random.seed(value)
    np.random.seed(value)
    mx.random.seed(value)
