"""What happens between the steps of a training run: logs, checkpoints, evaluations, pictures.

``make_callbacks`` lists all callbacks of a run in their order. Those that know detectors are the
classes below it, and those of ``_evaluator.py`` and ``_run_pictures.py``.
"""

import itertools
import warnings
from dataclasses import asdict
from typing import Callable, Iterable, Iterator, List, Sequence

from gluonnorm import training
from gluonnorm.data import Batch, MatchedClasses
from gluonnorm.errors import InputError, first_line
from gluonnorm.graph.recalibrate import has_live_norms, recalibrate
from gluonnorm.rcnn import FasterRCNN

import mxnet as mx
from _distributed import StatisticsAverage
from _evaluator import EarlyStop, Evaluator, KeepLast
from _prepared_run import PreparedRun
from _run_pictures import CurvePicture, MixingPicture
from _schedule import update_size
from _tensorboard import make_tensorboard_log
from _terminal import write_line
from end_report.measures import FinishedRun, measure_run, run_flags
from end_report.report import end_report

# Gives the batches of an epoch, behind the first ones: batches(epoch, skip).
EpochBatches = Callable[[int, int], Iterable[Batch]]


def make_callbacks(
    run: PreparedRun, step: training.TrainStep, batches: EpochBatches
) -> List[training.Callback]:
    """Make the callbacks that log, save, evaluate and draw.

    In a distributed run, worker 0 alone does this. The others only take part in what all must do.

    Parameters
    ----------
    run : PreparedRun
        The run, with its flags, network and data.
    step : training.TrainStep
        Trains the network. The state of its optimizer is saved.
    batches : callable
        What ``epoch_batches`` returns.

    Returns
    -------
    list of Callback
        In the order in which they must run.

    Raises
    ------
    InputError
        ``--recalibrate`` for a network without running statistics.
    """
    args, net, train_set = run.args, run.net, run.loader.dataset
    prefix = args.save_prefix
    statistics = _statistics_callbacks(run, batches)
    if run.workers.rank > 0:
        return statistics
    text = training.TextLog(f"{prefix}.log", args.log_interval)
    metrics = training.MetricsLog(f"{prefix}-metrics.jsonl")
    # Before the saver, so that each checkpoint and each evaluation has the new statistics.
    callbacks: List[training.Callback] = [text, metrics, *statistics]
    if run.ctx[0].device_type == "cpu":
        callbacks.append(training.SharedProcessorsLog(text))
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
    callbacks += _scoring_callbacks(run, saver, text, metrics)
    callbacks.append(CurvePicture(metrics, f"{prefix}-curve.png", args.network, args.font))
    callbacks.append(MixingPicture(net, f"{prefix}-mixing.png", args.network))
    if args.tensorboard:
        shown = train_set if run.val_set is None else run.val_set
        callbacks.append(make_tensorboard_log(args, net, step, metrics, shown))
    callbacks.append(EndReport(_finished_run(run), text, metrics))
    return callbacks


def _statistics_callbacks(run: PreparedRun, batches: EpochBatches) -> List[training.Callback]:
    """Make the callbacks that all workers need, for the running statistics of norms."""
    args = run.args
    callbacks: List[training.Callback] = []
    if args.recalibrate:
        callbacks.append(
            Recalibration(run.net, batches, run.ctx, args.recalibrate, args.accumulate)
        )
    if run.workers.count > 1:
        callbacks.append(StatisticsAverage(run.net, run.workers, args.save_steps))
    return callbacks


def _scoring_callbacks(
    run: PreparedRun,
    saver: training.CheckpointSaver,
    text: training.TextLog,
    metrics: training.MetricsLog,
) -> List[training.Callback]:
    """Make the callbacks that decide which weights are the best."""
    if run.val_set is None:
        return [KeepLast(saver, metrics)]
    evaluator = Evaluator(
        run.net,
        run.ctx,
        run.val_set,
        saver,
        text,
        metrics,
        interval=run.args.val_interval,
        threads=run.args.num_workers,
    )
    if not run.args.patience:
        return [evaluator]
    return [evaluator, EarlyStop(evaluator, saver, text, run.args.patience)]


def _finished_run(run: PreparedRun) -> FinishedRun:
    """Collect what the report at the end of a run looks at."""
    unknown: Sequence[str] = ()
    # Classes that --classes leaves out are missing on purpose.
    if isinstance(run.val_set, MatchedClasses) and not run.args.classes:
        unknown = run.val_set.left_out
    flags = run_flags(run.args, update_size(run.args) * run.workers.count)
    return FinishedRun(flags, run.net, run.ctx[0], run.loader.dataset, run.val_set, unknown)


def require_live_norms(net: FasterRCNN) -> None:
    """Refuse ``--recalibrate`` for a network that has nothing to be averaged.

    Parameters
    ----------
    net : FasterRCNN
        The network to train.

    Raises
    ------
    InputError
        It has no running statistics that move.
    """
    if not has_live_norms(net):
        raise InputError(
            "--recalibrate: this network has no bn, sync_bn or sn layer with running "
            f"statistics that move (norm {net.spec.norm}); leave --recalibrate out"
        )


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
    parts : int
        The value of ``--accumulate``: how many batches are one of the loader, which has all images
        of an update. The layers see them one after the other.

    Raises
    ------
    InputError
        The network has no running statistics that move.
    """

    def __init__(
        self,
        net: FasterRCNN,
        batches: EpochBatches,
        ctx: List[mx.Context],
        num_batches: int,
        parts: int = 1,
    ) -> None:
        require_live_norms(net)
        self.net = net
        self.batches = batches
        self.ctx = ctx
        self.num_batches = num_batches
        self.parts = parts

    def on_epoch_end(self, loop: training.RunningLoop) -> None:
        """Average over the first batches of the epoch that has just ended."""
        self.average(loop.epoch - 1)

    def average(self, epoch: int) -> None:
        """Average over the first batches of an epoch.

        Parameters
        ----------
        epoch : int
            Its number, from 0.
        """
        parts = self._device_parts(epoch)
        recalibrate(self.net, parts, self.num_batches * len(self.ctx))

    def _device_parts(self, epoch: int) -> Iterator[mx.nd.NDArray]:
        """Yield the images that each device saw of each batch, (N, 3, H, W)."""
        batches = itertools.islice(self._batches_of_training(epoch), self.num_batches)
        for images in batches:
            devices = min(len(self.ctx), images.shape[0])
            yield from mx.gluon.utils.split_data(images, devices, even_split=False)

    def _batches_of_training(self, epoch: int) -> Iterator[mx.nd.NDArray]:
        """Yield the images that are computed together, (N, 3, H, W)."""
        for batch in self.batches(epoch, 0):
            for part in training.part_slices(batch.images.shape[0], self.parts):
                yield batch.images[part]


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
            write_line(line)
