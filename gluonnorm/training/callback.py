"""The interface between the training loop and its callbacks."""

from typing import Any, Dict, NamedTuple, Protocol, Tuple


class RunningLoop(Protocol):
    """The part of a training loop that callbacks use.

    Attributes
    ----------
    step : int
        Updates that have been launched.
    epochs : int
        Epochs that are complete at the end of the run.
    steps_per_epoch : int
        Updates in an epoch.
    """

    step: int
    epochs: int
    steps_per_epoch: int

    @property
    def epoch(self) -> int:
        """Complete epochs so far."""

    def end(self) -> None:
        """End the run after the current epoch, as if it had been asked for no more epochs."""

    def settle(self) -> None:
        """Wait for the losses of all launched steps; raise NonFiniteLoss if one is not finite."""

    def state(self) -> Dict[str, Any]:
        """Return what a checkpoint must hold to resume."""


class StepRecord(NamedTuple):
    """One finished training step.

    Attributes
    ----------
    step : int
        The number of updates made, this one included; the first step is 1.
    epoch : int
        The epoch of the step; the first epoch is 0.
    rate : float
        The learning rate of the update.
    losses : dict of str to float
        The mean over the batch of each named loss; all are finite.
    names : tuple of str
        The images of the batch.
    images_per_second : float
        The speed of the step.
    """

    step: int
    epoch: int
    rate: float
    losses: Dict[str, float]
    names: Tuple[str, ...]
    images_per_second: float


class Callback:
    """Base class of callbacks, which a training loop calls at certain moments.

    Override the methods you need; the others do nothing.
    """

    def on_resume(self, loop: RunningLoop) -> None:
        """Act before the first step of a run that continues an earlier one.

        Parameters
        ----------
        loop : RunningLoop
            ``loop.step`` updates were made by the earlier run, which may have been killed before
            its callbacks had answered the last of them.
        """

    def on_step_end(self, loop: RunningLoop) -> None:
        """Act after a step was launched.

        Parameters
        ----------
        loop : RunningLoop
            ``loop.step`` is the launched step. Its losses have not been read: call
            ``loop.settle()`` before you look at the weights or save them.
        """

    def on_losses(self, loop: RunningLoop, record: StepRecord) -> None:
        """Act after the losses of a step were read, usually after the next step was launched.

        Parameters
        ----------
        loop : RunningLoop
            The loop; ``loop.step`` may be one more than ``record.step``.
        record : StepRecord
            The step and its losses, which are finite.
        """

    def on_epoch_end(self, loop: RunningLoop) -> None:
        """Act after an epoch.

        Parameters
        ----------
        loop : RunningLoop
            ``loop.epoch`` epochs are complete, and all their losses are finite.
        """

    def on_interrupt(self, loop: RunningLoop) -> None:
        """Act before the loop stops early: after SIGINT or SIGTERM, or if a batch cannot be loaded.

        Parameters
        ----------
        loop : RunningLoop
            All launched steps are complete, and their losses are finite.
        """
