"""What happens between the steps of a training run: logs, checkpoints, evaluations, pictures.

``make_callbacks`` lists all callbacks of a run in their order. The classes below it are those that
know detectors.
"""

import argparse
import os
import warnings
from dataclasses import asdict
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence

from gluonnorm import training
from gluonnorm.data import Batch, Dataset, MatchedClasses
from gluonnorm.errors import InputError, first_line, one_line
from gluonnorm.graph.recalibrate import has_live_norms, recalibrate
from gluonnorm.nn import mixing_weights
from gluonnorm.rcnn import FasterRCNN
from gluonnorm.training.mixing_plot import plot_mixing_weights
from gluonnorm.training.plot import plot_curves

import mxnet as mx
from _distributed import StatisticsAverage
from _schedule import update_size
from _scores import class_score_prefix, drawn_scores, evaluate, headlines
from end_report.measures import FinishedRun, measure_run, run_flags
from end_report.report import end_report
from tqdm import tqdm


def make_callbacks(
    args: argparse.Namespace,
    net: FasterRCNN,
    step: training.TrainStep,
    ctx: List[mx.Context],
    batches: Callable[[int, int], Iterable[Batch]],
    train_set: Dataset,
    val_set: Optional[Dataset],
    workers: training.Workers,
) -> List[training.Callback]:
    """Make the callbacks that log, save, evaluate and draw.

    In a distributed run, worker 0 alone does this. The others only take part in what all must do.

    It takes the parsed command line, because it is the border between flags and objects.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    net : FasterRCNN
        The network that is being trained.
    step : training.TrainStep
        Trains it. The state of its optimizer is saved.
    ctx : list of mx.Context
        The devices that hold the weights.
    batches : callable
        What ``epoch_batches`` returns.
    train_set : Dataset
        The images of these batches.
    val_set : Dataset or None
        What is evaluated; None never evaluates.
    workers : training.Workers
        The workers of a distributed run, or this process alone.

    Returns
    -------
    list of Callback
        In the order in which they must run.

    Raises
    ------
    InputError
        ``--recalibrate`` for a network without running statistics.
    """
    prefix = args.save_prefix
    statistics: List[training.Callback] = []
    if args.recalibrate:
        statistics.append(Recalibration(net, batches, ctx, num_batches=args.recalibrate))
    if workers.count > 1:
        statistics.append(StatisticsAverage(net, workers, args.save_steps))
    if workers.rank > 0:
        return statistics
    text = training.TextLog(f"{prefix}.log", args.log_interval)
    metrics = training.MetricsLog(f"{prefix}-metrics.jsonl")
    # Before the saver, so that each checkpoint and each evaluation has the new statistics.
    callbacks: List[training.Callback] = [text, metrics, *statistics]
    if step.loss_scale is not None:
        callbacks.append(training.OverflowLog(text, step.loss_scale))
    saver = training.CheckpointSaver(
        prefix,
        net,
        step.trainer,
        asdict(net.spec),
        every_steps=args.save_steps,
        every_epochs=args.save_interval,
    )
    callbacks.append(saver)
    # After the saver, so that an evaluation that fails costs no weights.
    if val_set is not None:
        evaluator = Evaluator(
            net,
            ctx,
            val_set,
            saver,
            text,
            metrics,
            interval=args.val_interval,
            workers=args.num_workers,
        )
        callbacks.append(evaluator)
        if args.patience:
            callbacks.append(EarlyStop(evaluator, saver, text, args.patience))
    callbacks.append(CurvePicture(metrics, f"{prefix}-curve.png", args.network, args.font))
    callbacks.append(MixingPicture(net, f"{prefix}-mixing.png", args.network))
    finished = _finished_run(args, net, ctx[0], train_set, val_set, workers.count)
    callbacks.append(EndReport(finished, text, metrics))
    return callbacks


def _finished_run(
    args: argparse.Namespace,
    net: FasterRCNN,
    ctx: mx.Context,
    train_set: Dataset,
    val_set: Optional[Dataset],
    machines: int,
) -> FinishedRun:
    """Collect what the report at the end of a run looks at."""
    unknown: Sequence[str] = ()
    # Classes that --classes leaves out are missing on purpose.
    if isinstance(val_set, MatchedClasses) and not args.classes:
        unknown = val_set.left_out
    flags = run_flags(args, update_size(args) * machines)
    return FinishedRun(flags, net, ctx, train_set, val_set, unknown)


class Recalibration(training.Callback):
    """Replace running statistics by exact averages at the end of each epoch.

    Put it before the ``CheckpointSaver``, so that the checkpoint and the evaluation that follows
    both have the new statistics.

    Parameters
    ----------
    net : FasterRCNN
        A network with ``bn``, ``sync_bn`` or ``sn`` layers that are not frozen.
    batches : callable
        ``batches(epoch, skip)`` gives the training batches of an epoch, as for ``training.Loop``.
        Their order must follow from ``epoch`` alone. A resumed run then repeats a straight one.
    ctx : list of mx.Context
        The devices of the training. Each batch is split over them, because the layers of
        each device only see that device's images.
    num_batches : int
        Batches that are averaged. An epoch with fewer batches is used completely.

    Raises
    ------
    InputError
        The network has no running statistics that move.
    """

    def __init__(
        self,
        net: FasterRCNN,
        batches: Callable[[int, int], Iterable[Batch]],
        ctx: List[mx.Context],
        num_batches: int,
    ) -> None:
        if not has_live_norms(net):
            raise InputError(
                "--recalibrate: this network has no bn, sync_bn or sn layer with running "
                f"statistics that move (norm {net.spec.norm}); leave --recalibrate out"
            )
        self.net = net
        self.batches = batches
        self.ctx = ctx
        self.num_batches = num_batches

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Average over the first batches of the epoch that has just ended."""
        parts = self._device_parts(loop.epoch - 1)
        recalibrate(self.net, parts, self.num_batches * len(self.ctx))

    def _device_parts(self, epoch: int) -> Iterator[mx.nd.NDArray]:
        """Yield the images that each device saw of each batch, (N, 3, H, W)."""
        devices = len(self.ctx)
        for number, batch in enumerate(self.batches(epoch, 0)):
            if number == self.num_batches:
                return
            parts = min(devices, batch.images.shape[0])
            yield from mx.gluon.utils.split_data(batch.images, parts, even_split=False)


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
    workers : int
        Threads that read and resize images.

    Attributes
    ----------
    decisive : str
        The name of the decisive score.
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
        workers: int,
    ) -> None:
        self.net = net
        self.ctx = ctx
        self.dataset = dataset
        self.saver = saver
        self.text = text
        self.metrics = metrics
        self.interval = interval
        self.workers = workers
        self.decisive = "segm/AP" if net.has_masks else "AP50"
        self.best = -1.0
        self.best_epoch = 0
        self.without_gain = 0

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Take over the best score, and make up an evaluation during which the run was killed."""
        evaluations = earlier_evaluations(self.metrics.path, loop.step)
        for row in evaluations:
            self._is_best(row["eval"].get(self.decisive, -1.0), row["epoch"])
        is_scored = bool(evaluations) and evaluations[-1]["step"] == loop.step
        if loop.step % loop.steps_per_epoch == 0 and not is_scored:
            self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Evaluate if an evaluation is due."""
        if loop.epoch % self.interval and loop.epoch != loop.epochs:
            return
        scores = evaluate(self.net, self.ctx, self.dataset, self.workers)
        # The row comes last: without it the evaluation is made up, and the best weights with it.
        if self._is_best(scores[self.decisive], loop.epoch):
            training.mark_best(self.saver.checkpoint(loop))
        self._report(loop.epoch, scores)
        self.metrics.write({"step": loop.step, "epoch": loop.epoch, "eval": scores})

    def _is_best(self, score: float, epoch: int) -> bool:
        """Take note of a score, and tell whether it is the best so far."""
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
        _show(f"epoch {epoch}: {overall}")


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
        _show(message)
        # The saver came before this callback, and did not know that this epoch is the last.
        self.saver.checkpoint(loop)
        loop.end()


class CurvePicture(training.Callback):
    """Draw losses and scores against the step at the end of each epoch.

    Parameters
    ----------
    metrics : MetricsLog
        The rows to draw. It must come earlier among the callbacks.
    png_path : str
        The file to write.
    title : str
        The headline of the picture.
    font : str or None
        A font file for the names of classes.
    """

    def __init__(
        self,
        metrics: training.MetricsLog,
        png_path: str,
        title: str,
        font: Optional[str] = None,
    ) -> None:
        self.metrics = metrics
        self.png_path = png_path
        self.title = title
        self.font = font

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Draw the rows of the earlier run, if there are any."""
        if os.path.exists(self.metrics.path):
            self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Draw all rows that have been written so far."""
        try:
            rows = training.read_metrics(self.metrics.path)
            for row in rows:
                if "eval" in row:
                    row["eval"] = drawn_scores(row["eval"])
            plot_curves(rows, self.png_path, self.title, self.font)
        except (OSError, InputError) as error:
            _warn_of_picture(self.png_path, error)


class MixingPicture(training.Callback):
    """Draw the mixing weights of switchable norms at the end of each epoch.

    A network without switchable norms gets no picture.

    Parameters
    ----------
    net : FasterRCNN
        The network that is being trained.
    png_path : str
        The file to write.
    title : str
        The headline of the picture.
    """

    def __init__(self, net: FasterRCNN, png_path: str, title: str) -> None:
        self.net = net
        self.png_path = png_path
        self.title = title

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Draw the weights of the checkpoint, as the earlier run may have been killed before."""
        self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Draw the weights as they are now."""
        rows = mixing_weights(self.net)
        if not rows:
            return
        try:
            plot_mixing_weights(rows, self.png_path, self.title)
        except OSError as error:
            _warn_of_picture(self.png_path, error)


class EndReport(training.Callback):
    """Say at the end of the run what keeps its score below what its data allow.

    It is the last callback, so that all files of the run are complete. An error in it costs the
    report, not the run.

    Parameters
    ----------
    finished : FinishedRun
        The network, the data sets and the flags of the run.
    text : TextLog
        Where the report is written, beside the terminal.
    metrics : MetricsLog
        The losses and scores of the run.
    """

    def __init__(
        self, finished: FinishedRun, text: training.TextLog, metrics: training.MetricsLog
    ) -> None:
        self.finished = finished
        self.text = text
        self.metrics = metrics

    def on_resume(self, loop: training.RunningLoop) -> None:
        """Report on a run that has ended already."""
        self.on_epoch_end(loop)

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Report if this was the last epoch."""
        if loop.epoch < loop.epochs:
            return
        try:
            # Rows of later steps are those of a run that was taken back behind them.
            rows = [
                row for row in training.read_metrics(self.metrics.path) if row["step"] <= loop.step
            ]
            result = measure_run(self.finished, rows, loop.steps_per_epoch, loop.epoch)
            lines = end_report(result)
        # Whatever is wrong here, the weights are trained, scored and saved.
        except Exception as error:
            warnings.warn(
                "there is no report on what keeps the score down "
                f"({type(error).__name__}: {first_line(error)})",
                stacklevel=2,
            )
            return
        for line in lines:
            self.text.write(line)
            _show(line)


def _show(line: str) -> None:
    """Print a line; a terminal that is gone ends no run."""
    try:
        # A plain print would tear the progress bar apart.
        tqdm.write(line)
    except OSError as error:
        warnings.warn(f"standard output: {error}; the run goes on", stacklevel=3)


def _warn_of_picture(png_path: str, error: Exception) -> None:
    """Say that a picture of the run could not be drawn; no run ends for that."""
    warnings.warn(f"{png_path} is not drawn ({one_line(error)}); the run goes on", stacklevel=3)


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
        Rows with ``step`` and ``eval``, steps ascending.
    """
    if not os.path.exists(metrics_path):
        return []
    rows = training.read_metrics(metrics_path)
    return [row for row in rows if "eval" in row and row["step"] <= step]
