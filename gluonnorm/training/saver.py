"""The callback that saves checkpoints."""
from typing import TYPE_CHECKING, Any, Dict, Optional

from gluonnorm.training.callback import Callback
from gluonnorm.training.checkpoint import prune, save

from mxnet import gluon

if TYPE_CHECKING:  # only annotations look at the loop
    from gluonnorm.training.loop import Loop


class CheckpointSaver(Callback):
    """Saves at the end of each epoch, on an interrupt and, if asked, every ``every_steps`` steps.

    Put it before callbacks that may fail or take long, such as an evaluation. ``path`` is the newest ``.json``.
    """

    def __init__(self, prefix: str, net: gluon.Block, trainer: gluon.Trainer, spec: Dict[str, Any],
                 keep: int = 3, every_steps: Optional[int] = None) -> None:
        self.prefix = prefix
        self.net = net
        self.trainer = trainer
        self.spec = spec
        self.keep = keep
        self.every_steps = every_steps
        self.path: Optional[str] = None

    def on_step_end(self, loop: "Loop") -> None:
        if self.every_steps and loop.step % self.every_steps == 0:
            loop.settle()
            self._save(loop)

    def on_epoch_end(self, loop: "Loop") -> None:
        self._save(loop)

    def on_interrupt(self, loop: "Loop") -> None:
        self._save(loop)

    def _save(self, loop: "Loop") -> None:
        self.path = save(self.prefix, self.net, self.trainer, loop.state(), self.spec)
        prune(self.prefix, self.keep)
