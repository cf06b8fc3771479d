"""The callback that saves checkpoints."""

from typing import Any, Dict, Optional

from gluonnorm.training.callback import Callback, RunningLoop
from gluonnorm.training.checkpoint import save
from gluonnorm.training.checkpoint_folder import check_keep, prune

from mxnet import gluon


class CheckpointSaver(Callback):
    """Callback that saves a checkpoint after each epoch, on an interrupt, and every so many steps.

    Put it before callbacks that may fail or take long, such as an evaluation.

    Parameters
    ----------
    prefix : str
        Folder and beginning of the file names, as for ``checkpoint.save``.
    net : gluon.Block
        The network whose weights are saved.
    trainer : gluon.Trainer
        The trainer whose optimizer is saved.
    spec : dict
        The description of the network, as for ``checkpoint.save``.
    keep : int
        How many of the newest checkpoints stay, at least 1.
    every_steps : int, optional
        Updates from one checkpoint within an epoch to the next; None or 0 for no such checkpoints.

    Attributes
    ----------
    path : str or None
        The ``.json`` of the newest checkpoint of this run.
    """

    def __init__(
        self,
        prefix: str,
        net: gluon.Block,
        trainer: gluon.Trainer,
        spec: Dict[str, Any],
        keep: int = 3,
        every_steps: Optional[int] = None,
    ) -> None:
        check_keep(keep)
        self.prefix = prefix
        self.net = net
        self.trainer = trainer
        self.spec = spec
        self.keep = keep
        self.every_steps = every_steps
        self.path: Optional[str] = None

    def on_step_end(self, loop: RunningLoop) -> None:
        """Save a checkpoint if one is due at this step."""
        if self.every_steps and loop.step % self.every_steps == 0:
            # The losses of this step are not read yet, and may not be finite.
            loop.settle()
            self._save(loop)

    def on_epoch_end(self, loop: RunningLoop) -> None:
        """Save a checkpoint."""
        self._save(loop)

    def on_interrupt(self, loop: RunningLoop) -> None:
        """Save a checkpoint."""
        self._save(loop)

    def _save(self, loop: RunningLoop) -> None:
        """Save a checkpoint, then delete the oldest."""
        self.path = save(self.prefix, self.net, self.trainer, loop.state(), self.spec)
        prune(self.prefix, self.keep)
