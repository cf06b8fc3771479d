"""``--minutes``: measure a few steps, and fit the length of the run into the time."""

import argparse
import math
import os
import tempfile
import time
from itertools import count, islice
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm import training
from gluonnorm.data import Batch, Dataset, Loader
from gluonnorm.errors import InputError
from gluonnorm.evaluation import predict
from gluonnorm.rcnn import FasterRCNN
from model_zoo.recipes import Choice
from model_zoo.recipes.choice import RECIPE, Choices

import mxnet as mx
import numpy as np
from _callbacks import Recalibration
from _data import evaluation_loader
from _proposals import MOST_PROPOSED_IMAGES
from _training_parts import epoch_batches, make_step, make_trainer, step_inputs
from tqdm import tqdm

# The first steps compile the graph; the next ones tell the time of a step.
UNTIMED_STEPS = 4
TIMED_STEPS = 8
# A network that has learned finds more objects than a fresh one, and they take time.
EVALUATION_FACTOR = 1.2
# The part of the time that is left for a machine that becomes slower.
RESERVE = 0.06
# The pictures of an epoch and the checkpoint of a small network, in seconds.
SAVE_SECONDS = 1.0
EVALUATION_PART = 0.08  # of the time, at most, for all evaluations but the last
MOST_EARLIER = 9  # evaluations before the last
LARGEST_EVALUATION_PART = 0.3  # of the time, for one evaluation
FEWEST_UPDATES = 20
# With fewer epochs than this an epoch that does not fit would waste too much of the time.
FEW_EPOCHS = 12
# The final report runs backbone and RPN alone. It takes half the time of an evaluation with the
# cheap heads of a pyramid, and a fifth with those of a single map.
REPORT_PART = 0.5


STARTED = time.perf_counter()  # --minutes counts from here, when the script has just begun


class Times(NamedTuple):
    """What a run spends its time on, in seconds.

    Attributes
    ----------
    update : float
        An update.
    evaluation : float
        An evaluation on all photos of the validation set; 0 without one.
    report : float
        What the run says at its end; 0 without an evaluation.
    epoch : float
        What follows each epoch beside an evaluation: checkpoint, pictures and recalibration.
    """

    update: float
    evaluation: float
    report: float = 0.0
    epoch: float = SAVE_SECONDS


class Share(NamedTuple):
    """How a time is shared between updates and evaluations; times are in seconds.

    Attributes
    ----------
    training : float
        The part for updates, and for what follows each epoch.
    after_epoch : float
        What follows each epoch, with its part of the evaluations whose interval is given.
    evaluations : int
        Evaluations that take their time off the complete run, and not off each epoch.
    is_scored : bool
        Whether there is an evaluation.
    """

    training: float
    after_epoch: float
    evaluations: int
    is_scored: bool

    def updates(self, update: float) -> int:
        """Count the updates that fit into a single epoch; each takes ``update`` seconds."""
        return max(int((self.training - self.after_epoch) / update), 0)


class Length(NamedTuple):
    """A length of training that fits into a time.

    Attributes
    ----------
    epochs : int
        Epochs.
    epoch_steps : int
        Updates of each.
    val_interval : int
        Epochs from one evaluation to the next; 0 for none.
    seconds : float
        How long it will take.
    """

    epochs: int
    epoch_steps: int
    val_interval: int
    seconds: float


def fit_to_minutes(
    args: argparse.Namespace,
    net: FasterRCNN,
    loader: Loader,
    val_set: Optional[Dataset],
    ctx: List[mx.Context],
    machines: int,
    val_interval: Optional[int],
) -> Choices:
    """Find the length of a run that ends ``--minutes`` after the start of the script.

    Parameters
    ----------
    args : argparse.Namespace
        The command line; every flag of the schedule has a value.
    net : FasterRCNN
        The network that will be trained; it is afterwards as before.
    loader : Loader
        The training batches.
    val_set : Dataset or None
        What will be evaluated.
    ctx : list of mx.Context
        The devices of the training.
    machines : int
        Machines that share an update.
    val_interval : int or None
        The value of ``--val-interval``; None if it is not given.

    Returns
    -------
    dict of str to Choice
        "epochs", "val_interval" unless it is given, and "epoch_steps" if an epoch is not the
        complete data set.

    Raises
    ------
    InputError
        The time is too short, or there are several machines, whose common updates are not measured.
    """
    if machines > 1:
        raise InputError(
            f"--minutes measures one machine, and {machines} share an update here; give --epochs"
        )
    times = _measure(args, net, loader, val_set, ctx)
    left = 60 * args.minutes - (time.perf_counter() - STARTED)
    length = fit_length(left, len(loader), times, val_interval)
    choices = _fitted_choices(length, len(loader), times, args.minutes)
    if val_interval is not None:
        del choices["val_interval"]
    return choices


def _measure(
    args: argparse.Namespace,
    net: FasterRCNN,
    loader: Loader,
    val_set: Optional[Dataset],
    ctx: List[mx.Context],
) -> Times:
    """Measure an update and an evaluation; the network is afterwards as before."""
    parameters = net.collect_params().values()
    weights = [parameter.list_data()[0].copy() for parameter in parameters]
    evaluation, report = 0.0, 0.0
    trainer = make_trainer(args, net, mx.kv.create("local"))
    try:
        update = _time_update(make_step(args, net, trainer, ctx), loader)
        epoch = SAVE_SECONDS + _time_recalibration(args, net, loader, ctx)
        if args.save_interval:
            epoch += _time_checkpoint(args.save_prefix, net, trainer) / args.save_interval
        if val_set is not None:
            evaluation = _time_evaluation(args, net, val_set, ctx)
            share = min(1.0, MOST_PROPOSED_IMAGES / len(val_set))
            report = REPORT_PART * share * evaluation
    finally:
        for parameter, weight in zip(parameters, weights):
            parameter.set_data(weight)
    return Times(update, evaluation, report, epoch)


def _time_update(step: training.TrainStep, loader: Loader) -> float:
    """Train for some steps at a rate of almost 0, and return the usual time of the last ones."""
    launched: List[mx.nd.NDArray] = []
    moments = []
    batches = islice(_endless_batches(loader), UNTIMED_STEPS + TIMED_STEPS)
    for batch in _with_progress(batches, "measure updates"):
        *inputs, names = step_inputs(batch)
        losses = step(*inputs, batch_size=len(names), rate=1e-9)
        # As in the loop of the training, the losses of a step are read after the next is launched.
        for loss in launched:
            loss.wait_to_read()
        moments.append(time.perf_counter())
        launched = list(losses.values())
    mx.nd.waitall()
    return _usual_time(np.diff(moments)[UNTIMED_STEPS - 1 :].tolist())


def _time_recalibration(
    args: argparse.Namespace, net: FasterRCNN, loader: Loader, ctx: List[mx.Context]
) -> float:
    """Average the statistics over some batches, and project to those of ``--recalibrate``."""
    if not args.recalibrate:
        return 0.0
    wanted = min(args.recalibrate, len(loader) * args.accumulate)
    timed = min(wanted, TIMED_STEPS)
    start = time.perf_counter()
    Recalibration(net, epoch_batches(loader), ctx, timed, args.accumulate).average(epoch=0)
    return (time.perf_counter() - start) * wanted / timed


def _time_checkpoint(prefix: str, net: FasterRCNN, trainer: mx.gluon.Trainer) -> float:
    """Save a checkpoint on the disk of the run, and remove it."""
    folder = Path(prefix).absolute().parent
    while not folder.is_dir():
        folder = folder.parent
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        start = time.perf_counter()
        training.save(os.path.join(temporary, "measured"), net, trainer, {"step": 0}, {})
        return time.perf_counter() - start


def _with_progress(batches: Iterable[Batch], title: str) -> Iterable[Batch]:
    """Show on a terminal that something is measured, until it is."""
    total = UNTIMED_STEPS + TIMED_STEPS
    return tqdm(batches, desc=title, total=total, unit="batch", disable=None, leave=False)


def _usual_time(times: Sequence[float]) -> float:
    """Return the mean of the middle half: a pause of the machine shall not count."""
    quarter = len(times) // 4
    middle = sorted(times)[quarter : len(times) - quarter]
    return sum(middle) / len(middle)


def _endless_batches(loader: Loader) -> Iterator[Batch]:
    """Go through one epoch after the other."""
    for epoch in count():
        loader.set_epoch(epoch)
        yield from loader.iterate()


def _time_evaluation(
    args: argparse.Namespace, net: FasterRCNN, val_set: Dataset, ctx: List[mx.Context]
) -> float:
    """Run the network on some batches of the validation set, and project to all of them."""
    loader = evaluation_loader(val_set, net.preprocess, len(ctx), args.num_workers)
    net.hybridize()
    times = []
    start = time.perf_counter()
    for batch in _with_progress(islice(loader, UNTIMED_STEPS + TIMED_STEPS), "measure detection"):
        # Several devices give their photos at the same moment, so a batch is timed as a whole.
        for _ in predict(net, [batch], ctx, net.config.convention.mask_paste):
            pass
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    seconds = _usual_time(times[UNTIMED_STEPS:] or times)
    return EVALUATION_FACTOR * len(loader) * seconds


def fit_length(
    seconds: float, steps_of_data: int, times: Times, val_interval: Optional[int] = None
) -> Length:
    """Fit epochs and evaluations into a time.

    One evaluation comes at the end. Earlier ones may take ``EVALUATION_PART`` of the time, unless
    their interval is given. A run that would have less than ``FEW_EPOCHS`` epochs gets shorter
    ones, so that the time is used up, if that makes more updates; with a given interval it keeps
    complete ones, if one fits.

    Parameters
    ----------
    seconds : float
        The time that is left for the run.
    steps_of_data : int
        Updates in which each photo is seen once.
    times : Times
        What the steps of a run take.
    val_interval : int or None
        Epochs from one evaluation to the next, 0 for none; None chooses it.

    Returns
    -------
    Length
        What fits.

    Raises
    ------
    InputError
        The time is too short for anything.

    Examples
    --------
    >>> times = Times(update=1.0, evaluation=20.0)
    >>> fit_length(1000, steps_of_data=100, times=times)
    Length(epochs=9, epoch_steps=94, val_interval=3, seconds=915.0)
    >>> fit_length(1000, steps_of_data=100, times=times, val_interval=1)
    Length(epochs=7, epoch_steps=100, val_interval=1, seconds=847.0)
    """
    share = _share_time(seconds, times, val_interval)
    if share.updates(times.update) < FEWEST_UPDATES:
        raise _too_short(seconds, times, val_interval)
    fewest = 1 if val_interval else FEW_EPOCHS
    epochs, epoch_steps = _fit_epochs(
        share.training, steps_of_data, times.update, share.after_epoch, fewest
    )
    if val_interval is None:
        val_interval = math.ceil(epochs / share.evaluations) if share.is_scored else 0
    scored_epochs = math.ceil(epochs / val_interval) if share.is_scored else 0
    return Length(
        epochs=epochs,
        epoch_steps=epoch_steps,
        val_interval=val_interval,
        seconds=epochs * (epoch_steps * times.update + times.epoch)
        + scored_epochs * times.evaluation
        + (times.report if share.is_scored else 0.0),
    )


def _share_time(seconds: float, times: Times, val_interval: Optional[int]) -> Share:
    """Share a time between updates and evaluations; None chooses the interval of the latter."""
    usable = seconds * (1 - RESERVE)
    is_scored = times.evaluation > 0 and val_interval != 0
    if val_interval is None:
        is_scored = is_scored and times.evaluation <= LARGEST_EVALUATION_PART * usable
    if is_scored:
        usable -= times.report
    after_epoch = times.epoch
    evaluations = 0
    if is_scored and val_interval:
        # Each epoch has its part of an evaluation. The last evaluation comes after the last epoch,
        # also where no interval ends.
        after_epoch += times.evaluation / val_interval
        evaluations = 1 if val_interval > 1 else 0
    elif is_scored:
        evaluations = 1 + min(int(EVALUATION_PART * usable / times.evaluation), MOST_EARLIER)
    training = usable - evaluations * times.evaluation
    return Share(training, after_epoch, evaluations, is_scored)


def _fit_epochs(
    training: float, steps_of_data: int, update: float, after_epoch: float, fewest_epochs: int
) -> Tuple[int, int]:
    """Choose the number of epochs and their updates; times are in seconds.

    If less than ``fewest_epochs`` complete ones fit, there is one more of all of them, shorter.
    """
    epoch_seconds = steps_of_data * update + after_epoch
    epochs = int(training / epoch_seconds)
    if epochs < fewest_epochs:
        more = math.ceil(training / epoch_seconds)
        fewer_steps = int((training / more - after_epoch) / update)
        # Another epoch costs another checkpoint, which may take longer than its updates.
        if more * fewer_steps > epochs * steps_of_data:
            return more, fewer_steps
    return epochs, steps_of_data


def _fitted_choices(length: Length, steps_of_data: int, times: Times, minutes: float) -> Choices:
    """State a length as values of flags, with their reasons."""
    reason = (
        f"{length.seconds / 60:.1f} of {minutes:g} minutes; an update takes {times.update:.2f} s"
    )
    if times.evaluation:
        reason += f", an evaluation {times.evaluation:.0f} s"
    scored = f"evaluations take a twelfth of the time, and {times.evaluation:.0f} s each"
    if not length.val_interval:
        scored = f"an evaluation takes {times.evaluation:.0f} s, too much of the time"
    choices = {
        "epochs": Choice(length.epochs, RECIPE, reason),
        "val_interval": Choice(length.val_interval, RECIPE, scored),
    }
    if length.epoch_steps < steps_of_data:
        part = f"of the {steps_of_data} of the data set; each epoch draws its photos anew"
        choices["epoch_steps"] = Choice(length.epoch_steps, RECIPE, part)
    return choices


def _too_short(seconds: float, times: Times, val_interval: Optional[int]) -> InputError:
    """Make the error for a time in which nothing can be learned, which may be over already."""
    updates = _share_time(seconds, times, val_interval).updates(times.update)
    more_tenths = 1  # of a minute
    while True:
        longer = _share_time(seconds + 6 * more_tenths, times, val_interval)
        if longer.updates(times.update) >= FEWEST_UPDATES:
            break
        more_tenths += 1
    left = f"leaves {seconds:.0f} seconds" if seconds > 0 else "is over after measuring"
    return InputError(
        f"--minutes {left}, and an update takes {times.update:.1f}: {updates} updates fit, want at "
        f"least {FEWEST_UPDATES}; give {more_tenths / 10:.1f} minutes more, or smaller photos "
        "(--set short=...)"
    )
