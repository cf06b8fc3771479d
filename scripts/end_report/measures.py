"""Collect the numbers of a finished run: losses, scores, and the reach of anchors and proposals."""

import argparse
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from end_report.anchor_remedies import anchor_remedies
from end_report.run_result import GOOD_SCORE, ClassResult, Remedy, RunFlags, RunResult
from gluonnorm import training
from gluonnorm.data import Dataset, Inspection, inspect
from gluonnorm.data.reachable import MANY
from gluonnorm.rcnn import FasterRCNN

import mxnet as mx
import numpy as np
from _losses import parse_weights
from _proposals import judge_proposals, spaced_images
from _schedule import RATE_PER_IMAGE
from _scores import MASK_PREFIX, decisive_name, defined
from tqdm import tqdm


class FinishedRun(NamedTuple):
    """What a run leaves in memory.

    Attributes
    ----------
    flags : RunFlags
        How it was started.
    net : FasterRCNN
        The trained network.
    ctx : mxnet.Context
        A device that holds its weights.
    train_set : Dataset
        The training set.
    val_set : Dataset or None
        What was evaluated; None if nothing was.
    unknown_classes : sequence of str
        The classes of the validation files that the network does not have.
    """

    flags: RunFlags
    net: FasterRCNN
    ctx: mx.Context
    train_set: Dataset
    val_set: Optional[Dataset]
    unknown_classes: Sequence[str] = ()


def run_flags(args: argparse.Namespace, images: int) -> RunFlags:
    """Select the flags that the end of a run may speak of.

    Parameters
    ----------
    args : argparse.Namespace
        The command line; every flag of the schedule has a value.
    images : int
        Images of an update, on all machines together.

    Returns
    -------
    RunFlags
        Their values.
    """
    return RunFlags(
        lr=args.lr,
        usual_lr=training.scale_for_batch(RATE_PER_IMAGE, images, 1),
        epochs=args.epochs,
        # A run that is continued keeps its epochs, whatever --minutes says.
        minutes=None if args.resume else args.minutes,
        patience=args.patience,
        augments=bool(args.augment),
        repeat_threshold=args.repeat_threshold,
        weighted_classes=tuple(parse_weights(args.class_weights)),
    )


def measure_run(
    run: FinishedRun, rows: Sequence[Dict[str, Any]], steps_per_epoch: int, epochs: int
) -> RunResult:
    """Collect what is known of a run.

    Proposals are computed only if there is a score to be explained: that of a class, and not a good
    one.

    Parameters
    ----------
    run : FinishedRun
        The run.
    rows : sequence of dict
        What ``training.read_metrics`` returns of its metrics.
    steps_per_epoch : int
        Steps in an epoch.
    epochs : int
        Complete epochs.

    Returns
    -------
    RunResult
        What ``end_report`` takes.
    """
    steps = [row for row in rows if "losses" in row]
    evaluations = [] if run.val_set is None else [row for row in rows if "eval" in row]
    scores = evaluations[-1]["eval"] if evaluations else {}
    decisive = decisive_name(scores)
    history = []
    for row in evaluations:
        if decisive in defined(row["eval"]):
            history.append((row["epoch"], row["eval"][decisive]))
    result = RunResult(
        flags=run.flags,
        config=None,
        classes=(),
        losses=_loss_columns(steps),
        rates=np.array([row["lr"] for row in steps]),
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        decisive=decisive,
        evaluations=tuple(history),
        scores=defined(scores),
        train_images=len(run.train_set),
        split="training" if run.val_set is None else "validation",
        unknown_classes=tuple(run.unknown_classes),
    )
    # A detector of the user need not have anchors, and its input need not be known.
    if not isinstance(run.net, FasterRCNN):
        return result
    return _with_reach(result, run)


def _loss_columns(steps: Sequence[Dict[str, Any]]) -> Dict[str, np.ndarray]:
    """Return the losses of all steps by name; a loss that some steps lack is left out."""
    names = steps[-1]["losses"] if steps else ()
    columns = {}
    for name in names:
        values = [row["losses"].get(name, np.nan) for row in steps]
        if not np.isnan(values).any():
            columns[name] = np.array(values)
    return columns


def _with_reach(result: RunResult, run: FinishedRun) -> RunResult:
    """Add what anchors and proposals reach, class by class."""
    net = run.net
    settings = (net.preprocess, net.config, net.backbone.strides)
    chosen: List[int] = []
    if run.val_set is None:
        train = judged = inspect(run.train_set, *settings)
    else:
        train = inspect(run.train_set, net.preprocess)
        judged = inspect(run.val_set, *settings)
        if judged.reach is not None and _has_low_score(judged, result.scores):
            chosen = spaced_images(judged.learnable_objects.images)
            progress = tqdm(chosen, desc="proposals", unit="image", disable=None, leave=False)
            judged = judge_proposals(net, run.val_set, judged, progress, run.ctx)
    remedies: Tuple[Remedy, ...] = ()
    if any(share.reached < 1 - MANY for share in judged.reach_of_class.values()):
        remedies = anchor_remedies(
            judged.learnable_objects,
            net.classes,
            net.config,
            net.backbone.strides,
            net.preprocess.multiple,
        )
    classes = []
    for label, name in enumerate(net.classes):
        classes.append(_class_result(label, name, train, judged, result.scores))
    return result._replace(
        config=net.config,
        classes=tuple(classes),
        objects_of_image=judged.boxes_of_image,
        proposed_images=len(chosen),
        reach=judged.reach,
        remedies=remedies,
        anchors_of_level=_anchors_of_level(net, judged),
    )


def _has_low_score(judged: Inspection, scores: Dict[str, float]) -> bool:
    """Tell whether a class with objects has a score that is to be explained."""
    for name in judged.reach_of_class:
        for prefix in ("", MASK_PREFIX):
            if scores.get(f"{prefix}AP50/{name}", GOOD_SCORE) < GOOD_SCORE:
                return True
    return False


def _class_result(
    label: int,
    name: str,
    train: Inspection,
    judged: Inspection,
    scores: Dict[str, float],
) -> ClassResult:
    """Collect what is known of one class."""
    own = judged.learnable_objects.labels == label
    entry = ClassResult(
        name=name,
        train_objects=train.boxes_of_class[name],
        train_images=train.images_of_class[name],
        objects=int(own.sum()),
        reach=judged.reach_of_class.get(name),
        box_score=scores.get(f"AP50/{name}"),
        mask_score=scores.get(f"{MASK_PREFIX}AP50/{name}"),
    )
    if judged.reach is None or judged.reach.proposals is None:
        return entry
    return entry._replace(num_proposed=int((~np.isnan(judged.reach.proposals[own])).sum()))


def _anchors_of_level(net: FasterRCNN, judged: Inspection) -> int:
    """Count the anchors of the largest map, in an input of median size."""
    sizes = judged.objects.input_sizes
    if not len(sizes):
        return 0
    height, width = np.median(sizes, axis=0)
    counts = []
    for grid in net.config.anchor_grids(net.backbone.strides):
        counts.append(int(height // grid.stride * (width // grid.stride) * len(grid.anchors)))
    return max(counts)
