"""Callbacks that score the network, keep its best weights, and end a run that stopped improving."""

import os
from typing import Any, Dict, List

from gluonnorm import training
from gluonnorm.data import Dataset
from gluonnorm.rcnn import FasterRCNN

import mxnet as mx
from _arguments_file import write_last_epoch
from _metrics_file import read_rows
from _scores import class_score_prefix, decisive_name, evaluate, headlines
from _terminal import write_line


class Evaluator(training.Callback):
    """Score the network on the validation set, and keep the weights with the best score.

    It runs every ``interval`` epochs and after the last one. The best score so far saves a
    checkpoint, unless the saver has just done it. The decisive score is the AP50 of boxes, or the
    AP of masks for a network with masks.

    Parameters
    ----------
    net : FasterRCNN
        The network that is being trained.
    ctx : list of mx.Context
        The devices that hold its weights.
    dataset : Dataset
        The validation set.
    saver : CheckpointSaver
        It must come earlier among the callbacks. It saves the weights of the best score.
    text, metrics : TextLog, MetricsLog
        Where the scores are written.
    interval : int
        Epochs from one evaluation to the next.
    threads : int
        Threads that read and resize images.

    Attributes
    ----------
    decisive : str
        The name of the decisive score; empty before the first evaluation.
    best : float
        The best score so far; -1 before the first evaluation.
    best_epoch : int
        The number of complete epochs at the best score.
    without_gain : int
        Evaluations since the best one.
    """

    def __init__(
        self,
        net: FasterRCNN,
        ctx: List[mx.Context],
        dataset: Dataset,
        saver: training.CheckpointSaver,
        text: training.TextLog,
        metrics: training.MetricsLog,
        interval: int,
        threads: int,
    ) -> None:
        self.net = net
        self.ctx = ctx
        self.dataset = dataset
        self.saver = saver
        self.text = text
        self.metrics = metrics
        self.interval = interval
        self.threads = threads
        self.decisive = ""
        self.best = -1.0
        self.best_epoch = 0
        self.without_gain = 0

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Take over the best score, and make up an evaluation during which the run was killed."""
        evaluations = earlier_evaluations(self.metrics.path, loop.step)
        is_scored = bool(evaluations) and evaluations[-1]["step"] == loop.step
        has_best = has_best_weights(self.saver.prefix)
        if not has_best:
            # The weights of these scores are gone, except for those of this checkpoint.
            evaluations = evaluations[-1:] if is_scored else []
        for row in evaluations:
            is_best = self._is_best(row["eval"], row["epoch"])
            if is_best and not has_best:
                training.mark_best(self.saver.checkpoint(loop))
        if loop.step % loop.steps_per_epoch == 0 and not is_scored:
            self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Evaluate if an evaluation is due."""
        if loop.epoch % self.interval and loop.epoch != loop.epochs:
            return
        scores = evaluate(self.net, self.ctx, self.dataset, self.threads)
        # The row comes last: without it the evaluation is made up, and the best weights with it.
        if self._is_best(scores, loop.epoch):
            training.mark_best(self.saver.checkpoint(loop))
        self._report(loop.epoch, scores)
        self.metrics.write({"step": loop.step, "epoch": loop.epoch, "eval": scores})

    def _is_best(self, scores: Dict[str, float], epoch: int) -> bool:
        """Take note of the decisive score, and tell whether it is the best so far."""
        self.decisive = decisive_name(scores)
        score = scores.get(self.decisive, -1.0)
        if score <= self.best:
            self.without_gain += 1
            return False
        self.best = score
        self.best_epoch = epoch
        self.without_gain = 0
        return True

    def _report(self, epoch: int, scores: Dict[str, float]) -> None:
        """Write the scores to the log, and those over all classes to the terminal."""
        overall = "  ".join(f"{name} {scores[name]:.3f}" for name in headlines(scores))
        prefix = class_score_prefix(scores)
        classes = []
        for name, value in scores.items():
            if name.startswith(prefix):
                classes.append(f"{name[len(prefix) :]} {value:.3f}")
        metric = prefix.rstrip("/")
        self.text.write(f"epoch {epoch}  {overall}  ({metric}: {'  '.join(classes)})")
        write_line(f"epoch {epoch}: {overall}")


class EarlyStop(training.Callback):
    """End the run when the score on the validation set has not risen for some evaluations.

    Parameters
    ----------
    evaluator : Evaluator
        It must come earlier among the callbacks.
    saver : CheckpointSaver
        It saves a checkpoint of the last epoch.
    text : TextLog
        Where the end is written.
    patience : int
        Evaluations without a better score after which the run ends.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        saver: training.CheckpointSaver,
        text: training.TextLog,
        patience: int,
    ) -> None:
        self.evaluator = evaluator
        self.saver = saver
        self.text = text
        self.patience = patience

    def on_resume(self, loop: training.RunningLoop) -> None:
        """End a run at once that has ended already."""
        self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """End the run if the evaluator has waited long enough."""
        evaluator = self.evaluator
        if evaluator.without_gain < self.patience or loop.epoch >= loop.epochs:
            return
        message = (
            f"{evaluator.decisive} has not risen above {evaluator.best:.3f} (epoch "
            f"{evaluator.best_epoch}) in {evaluator.without_gain} evaluations; the run ends after "
            f"epoch {loop.epoch} (--patience {self.patience})"
        )
        self.text.write(message)
        write_line(message)
        # The saver came before this callback, and did not know that this epoch is the last.
        self.saver.checkpoint(loop)
        # After the checkpoint: a watcher that reads this expects no other one.
        write_last_epoch(self.saver.prefix, loop.epoch)
        loop.end()


class KeepLast(training.Callback):
    """Keep the last weights of a run that evaluates nothing under the name of the best ones.

    So the same file can be exported after every run. Weights that an evaluation chose before the
    run was resumed stay.

    Parameters
    ----------
    saver : CheckpointSaver
        It must come earlier among the callbacks.
    metrics : MetricsLog
        Where earlier evaluations are written.
    """

    def __init__(self, saver: training.CheckpointSaver, metrics: training.MetricsLog) -> None:
        self.saver = saver
        self.metrics = metrics

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Make up for a run that was killed, or taken back, behind its last checkpoint."""
        self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Keep the weights if this epoch is the last one."""
        if loop.epoch < loop.epochs:
            return
        is_scored = bool(earlier_evaluations(self.metrics.path, loop.step))
        if not is_scored or not has_best_weights(self.saver.prefix):
            training.mark_best(self.saver.checkpoint(loop))


def has_best_weights(prefix: str) -> bool:
    """Tell whether a run has best weights, with or without their header.

    Parameters
    ----------
    prefix : str
        The prefix of its checkpoints.

    Returns
    -------
    bool
        False if they were set aside, because the run has gone back behind them.
    """
    stem = os.path.splitext(training.best_path(prefix))[0]
    return os.path.exists(f"{stem}.params")


def earlier_evaluations(metrics_path: str, step: int) -> List[Dict[str, Any]]:
    """Read the evaluations of the run that is continued.

    Parameters
    ----------
    metrics_path : str
        The JSON lines of ``training.MetricsLog``; the file may be missing.
    step : int
        Updates made by the run. Later evaluations belong to steps that are repeated.

    Returns
    -------
    list of dict
        Rows with ``step``, ``epoch`` and ``eval``, steps ascending.

    Raises
    ------
    InputError
        A row is damaged.
    """
    if not os.path.exists(metrics_path):
        return []
    rows = read_rows(metrics_path)
    return [row for row in rows if "eval" in row and row["step"] <= step]
