"""The callback that saves checkpoints."""

import os
from typing import Any, Dict, Optional

from gluonnorm.errors import InputError
from gluonnorm.training.callback import Callback, RunningLoop
from gluonnorm.training.checkpoint import save
from gluonnorm.training.checkpoint_folder import check_keep, checkpoint_path, prune

from mxnet import gluon


class CheckpointSaver(Callback):
    """Callback that saves checkpoints: after epochs, after steps, on an interrupt, at the end.

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
    every_steps : int
        Updates from one checkpoint within an epoch to the next; 0 for no such checkpoints.
    every_epochs : int
        Epochs from one checkpoint to the next; 0 for none of these but that of the last epoch.

    Attributes
    ----------
    path : str or None
        The ``.json`` of the newest checkpoint of this run.

    Raises
    ------
    InputError
        ``keep`` is less than 1, or one of the distances is negative.
    """

    def __init__(
        self,
        prefix: str,
        net: gluon.Block,
        trainer: gluon.Trainer,
        spec: Dict[str, Any],
        keep: int = 3,
        every_steps: int = 0,
        every_epochs: int = 1,
    ) -> None:
        check_keep(keep)
        for name, distance in (("every_steps", every_steps), ("every_epochs", every_epochs)):
            if distance < 0:
                raise InputError(f"{name} is {distance}; want a number of 1 or more, 0 for never")
        self.prefix = prefix
        self.net = net
        self.trainer = trainer
        self.spec = spec
        self.keep = keep
        self.every_steps = every_steps
        self.every_epochs = every_epochs
        self.path: Optional[str] = None
        self._saved_step: Optional[int] = None

    def on_resume(self, loop: RunningLoop) -> None:
        """Take the checkpoint that the run continues for the newest one, if it has this prefix."""
        path = checkpoint_path(self.prefix, loop.step)
        if os.path.exists(path):
            self.path = path
            self._saved_step = loop.step

    def on_step_end(self, loop: RunningLoop) -> None:
        """Save a checkpoint if one is due at this step."""
        if self.every_steps and loop.step % self.every_steps == 0:
            # The losses of this step are not read yet, and may not be finite.
            loop.settle()
            self._save(loop)

    def on_epoch_end(self, loop: RunningLoop) -> None:
        """Save a checkpoint if one is due after this epoch, or if it is the last one."""
        is_due = self.every_epochs > 0 and loop.epoch % self.every_epochs == 0
        if is_due or loop.epoch == loop.epochs:
            self._save(loop)

    def on_interrupt(self, loop: RunningLoop) -> None:
        """Save a checkpoint, unless there is one of this step."""
        self.checkpoint(loop)

    def checkpoint(self, loop: RunningLoop) -> str:
        """Return the checkpoint of the current step, which is saved if it is not there yet.

        Parameters
        ----------
        loop : RunningLoop
            The loop. All its losses have been read.

        Returns
        -------
        str
            The path of the header, a ``.json``.

        Raises
        ------
        CheckpointError
            The checkpoint cannot be written, or the weights are not finite.
        """
        if self.path is None or self._saved_step != loop.step:
            return self._save(loop)
        return self.path

    def _save(self, loop: RunningLoop) -> str:
        """Save a checkpoint, then delete the oldest."""
        self.path = save(self.prefix, self.net, self.trainer, loop.state(), self.spec)
        self._saved_step = loop.step
        prune(self.prefix, self.keep)
        return self.path
