"""What the training loop tells the rest of a program, and when."""
from typing import TYPE_CHECKING, Dict, NamedTuple, Tuple

if TYPE_CHECKING:  # the loop calls callbacks; only the annotation looks back
    from gluonnorm.training.loop import Loop


class StepRecord(NamedTuple):
    """One finished training step."""
    step: int  # 1-based: the number of updates made, this one included
    epoch: int  # 0-based
    rate: float  # learning rate of the update
    losses: Dict[str, float]  # mean over the batch of each named loss; all finite
    names: Tuple[str, ...]  # the images of the batch
    images_per_second: float


class Callback:
    """Base of everything that listens to a ``Loop``. Override the moments you need; the others do nothing."""

    def on_step_end(self, loop: "Loop") -> None:
        """Step ``loop.step`` has been launched. Call ``loop.settle()`` before looking at or saving the weights."""

    def on_losses(self, loop: "Loop", record: StepRecord) -> None:
        """The losses of a step have arrived, as a rule one launch later, and are finite."""

    def on_epoch_end(self, loop: "Loop") -> None:
        """``loop.epoch`` epochs are complete and all their losses are known to be finite."""

    def on_interrupt(self, loop: "Loop") -> None:
        """SIGINT or SIGTERM came. All launched steps are complete and finite; the loop stops after this."""
