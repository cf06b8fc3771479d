"""Train a Faster or Mask R-CNN, and evaluate it after each epoch.

A mask_rcnn_* network needs a data set with a mask for every box: coco, yolo or labelme. The best
weights are those with the highest AP50 of boxes, or with the highest AP of masks if the network
gives masks.

These files are written beside --save-prefix:
  PREFIX-<step>.{json,params,states}  checkpoints; the .json is written last
  PREFIX-best.{json,params}           the weights with the best score, or the last ones of a run
                                      that evaluates nothing
  PREFIX.log, PREFIX-metrics.jsonl    losses and scores, for people and for programs
  PREFIX-curve.png                    losses and scores against the step
  PREFIX-mixing.png                   the mixing weights of a network with switchable norms
  PREFIX-arguments.json               flags, versions, and the reason for each schedule value

--recipe NAME takes a published schedule, such as detectron_1x, scaled to this batch and data set;
--print-recipe shows what would run, and ends. docs/training.md has the recipes.

Ctrl-C saves a checkpoint and ends with status 130. --resume continues from it, with the same
numbers as a run that was never stopped. Intervals count epochs, as GluonCV's do; --save-steps
and --log-interval count updates. If the newest checkpoint is damaged, --resume takes the one before
and says so. PREFIX.lock keeps a second run away as long as the first one lives.

Example:
  python scripts/train_faster_rcnn.py --network faster_rcnn_resnet50_v2_custom \\
      --dataset voc --data-root BCCD --train-split train --val-split val \\
      --pretrained-base resnet50_v2_c4.npz --epochs 8 --lr-decay-epoch 6 \\
      --set short=300 max_size=600 num_sample=64 roi_size=7 --save-prefix runs/bccd
"""

import argparse
import sys
from dataclasses import asdict
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gluonnorm import training
from gluonnorm.data import Dataset
from gluonnorm.data.shared_images import shared_images_note
from gluonnorm.visualize import open_font
from model_zoo.recipes.automatic import AUTO
from model_zoo.recipes.choice import Choices

import mxnet as mx
from _arguments_file import read_choices, restored_choices, stored_choices, write_arguments
from _augment import add_augment_arguments, check_augment_arguments, training_preprocess
from _auto_recipe import examine
from _callbacks import make_callbacks, require_live_norms
from _cli import add_plugin_argument, seed_everything
from _data import (
    open_dataset,
    open_masks,
    open_scored_dataset,
    require_boxes,
    require_scored_boxes,
    skip_empty_images,
)
from _data_flags import add_dataset_arguments
from _devices import contexts
from _distributed import (
    connect,
    require_same_data,
    require_same_flags,
    run_worker,
    share_start,
)
from _losses import add_loss_arguments
from _prepared_run import PreparedRun
from _recipe import choose, follows_rules, note_new_decisions, with_choices
from _recipe_flags import (
    add_recipe_arguments,
    check_kept_length,
    check_recipe_arguments,
    check_recipe_network,
    refuse_patience,
)
from _recipe_table import print_choices
from _resume import (
    check_resume,
    earlier_prefix,
    load_checkpoint,
    note_changed_flags,
    note_changes,
    tell_if_over,
)
from _schedule import (
    add_schedule_arguments,
    check_decay,
    check_epoch_steps,
    check_schedule_arguments,
    make_schedule,
    update_size,
)
from _script_parser import ScriptParser
from _time_budget import fit_to_minutes
from _training_flags import (
    add_network_arguments,
    add_run_arguments,
    check_dtype,
    check_run_arguments,
    make_run_folders,
    note_long_interval,
    note_slow_dtype,
)
from _training_parts import (
    build_network,
    check_network_flags,
    epoch_batches,
    make_loader,
    make_step,
    make_trainer,
    step_inputs,
)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    argv : sequence of str or None
        The flags; None takes those of this process.

    Returns
    -------
    argparse.Namespace
        The value of every flag. The flags have GluonCV's names where they mean the same.
    """
    parser = ScriptParser(__doc__)
    add_network_arguments(parser)
    add_dataset_arguments(parser)
    add_augment_arguments(parser)
    add_loss_arguments(parser)
    add_recipe_arguments(parser)
    add_schedule_arguments(parser)
    add_run_arguments(parser)
    add_plugin_argument(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Build everything that the flags describe, and train.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    check_run_arguments(args)
    check_schedule_arguments(args)
    check_recipe_arguments(args)
    check_augment_arguments(args)
    open_font(args.font)
    seed_everything(args.seed)
    ctx = contexts(args.gpus)
    check_dtype(args.dtype, ctx)
    workers = connect(args.kv_store)
    require_same_flags(workers, args)
    if args.print_recipe:
        prepared = prepare(args, ctx, workers)
        if workers.rank == 0:
            print_plan(prepared)
        return
    if workers.rank > 0:
        train(prepare(args, ctx, workers))
        return
    make_run_folders(args)
    with training.PrefixLock(args.save_prefix) as lock:
        if lock.note:
            print(f"note: {lock.note}", file=sys.stderr)
        prepared = prepare(args, ctx, workers)
        if prepared.args.recipe == AUTO:
            print_plan(prepared)
        train(prepared)
    print(f"checkpoint {training.latest(args.save_prefix)}")
    print(f"log        {args.save_prefix}.log")
    print(f"curve      {args.save_prefix}-curve.png")


def print_plan(prepared: PreparedRun) -> None:
    """Print what will run: every value, its origin and the reason for it.

    Parameters
    ----------
    prepared : PreparedRun
        What ``prepare`` returns.
    """
    steps = prepared.args.epoch_steps or len(prepared.loader)
    print_choices(prepared.choices, prepared.net.spec.norm, steps)


def prepare(
    args: argparse.Namespace, ctx: List[mx.Context], workers: training.Workers
) -> PreparedRun:
    """Open the data, choose the schedule and build the network.

    Only worker 0 reads files of an earlier run, and the validation set.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    ctx : list of mx.Context
        The devices that hold the weights.
    workers : Workers
        This process among those that share the batches.

    Returns
    -------
    PreparedRun
        What ``train`` takes.

    Raises
    ------
    GluonnormError
        Whatever the user can mend: flags, data, an earlier run under the prefix.
    """
    checkpoint, earlier = read_earlier_run(args, workers)
    if workers.rank == 0:
        note_new_decisions(args, earlier, workers.count)
    train_set, val_set = open_sets(args, workers)
    has_rules = follows_rules(args, earlier, workers.count)
    case = examine(args, train_set, ctx) if has_rules else None
    decide = partial(choose, args, len(train_set), workers.count, earlier, case)
    choices = decide()
    if case is not None:
        choices = choices_of_first(workers, choices)
    if args.minutes is not None and args.resume:
        check_kept_length(args, choices)
    completed = with_choices(args, choices)
    check_decay(args, completed)
    net = build_network(completed, train_set.classes, ctx)
    check_recipe_network(completed, net)
    # --print-recipe makes no step, and --minutes makes many before it needs all of these.
    check_network_flags(completed, net)
    if completed.recalibrate:
        require_live_norms(net)
    # Masks are read only for a network that gives masks. The network needs the classes of the data
    # set, so the data set is opened first, without masks.
    if net.has_masks:
        train_set = open_masks(train_set)
        val_set = None if val_set is None else open_masks(val_set)
    require_boxes(train_set, training_preprocess(completed, net.preprocess), net.config)
    if val_set is not None and completed.val_interval:
        require_scored_boxes(val_set)
        note = shared_images_note(train_set, val_set)
        if note:
            print(f"note: {note}", file=sys.stderr)
    loader = make_loader(completed, train_set, net.preprocess, workers.rank, workers.count)
    if args.minutes is not None and not args.resume:
        # Only args tells whether --val-interval was given: completed has its default.
        fitted = fit_to_minutes(
            completed, net, loader, val_set, ctx, workers.count, args.val_interval
        )
        choices = decide(fitted)
        completed = with_choices(args, choices)
    # An evaluation may take too much of --minutes, which is known only here.
    if not completed.val_interval:
        val_set = None
        refuse_patience(args, choices)
    check_epoch_steps(completed, len(loader))
    note_long_interval(completed)
    note_slow_dtype(completed.dtype)
    return PreparedRun(completed, choices, checkpoint, net, loader, val_set, ctx, workers)


def read_earlier_run(
    args: argparse.Namespace, workers: training.Workers
) -> Tuple[Optional[str], Choices]:
    """Find the checkpoint that ``--resume`` names, and what the run that is continued decided.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    workers : Workers
        This process among those that share the batches. Worker 0 alone reads, and tells the others.

    Returns
    -------
    checkpoint : str or None
        None if the flag names none, and on the other workers.
    choices : dict of str to Choice
        {} for a fresh run.
    """
    checkpoint: Optional[str] = None
    earlier: Choices = {}
    if workers.rank == 0:
        checkpoint = check_resume(args.save_prefix, args.resume)
        if args.resume:
            earlier = read_choices(earlier_prefix(args.save_prefix, checkpoint))
    return checkpoint, choices_of_first(workers, earlier)


def choices_of_first(workers: training.Workers, choices: Choices) -> Choices:
    """Give all workers the choices of worker 0, whose machine may be another one.

    Parameters
    ----------
    workers : Workers
        This process among those that share the batches.
    choices : dict of str to Choice
        Those of this worker.

    Returns
    -------
    dict of str to Choice
        Those of worker 0.
    """
    return restored_choices(workers.gather_objects(stored_choices(choices))[0])


def open_sets(
    args: argparse.Namespace, workers: training.Workers
) -> Tuple[Dataset, Optional[Dataset]]:
    """Open the training set, and the validation set on worker 0.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    workers : Workers
        This process among those that share the batches.

    Returns
    -------
    train_set : Dataset
        Without masks.
    val_set : Dataset or None
        None if nothing is evaluated, and on the other workers.
    """
    train_set = open_dataset(args, "train")
    if args.skip_empty:
        train_set = skip_empty_images(train_set)
    require_same_data(workers, train_set)
    if args.val_interval == 0 or workers.rank > 0:
        return train_set, None
    return train_set, open_scored_dataset(args, train_set.classes)


def train(run: PreparedRun) -> None:
    """Train under a prefix that no other run uses.

    Parameters
    ----------
    run : PreparedRun
        What ``prepare`` returns.

    Raises
    ------
    GluonnormError
        Whatever the user can mend: flags, checkpoints, a loss that is not finite.
    """
    args, net, loader, workers = run.args, run.net, run.loader, run.workers
    batches = epoch_batches(loader)
    steps_per_epoch = args.epoch_steps or len(loader)
    batch_size = update_size(args) * workers.count
    rate = make_schedule(args, steps_per_epoch)
    trainer = make_trainer(args, net, workers.kvstore)
    step = make_step(args, net, trainer, run.ctx)
    loop = training.Loop(
        step,
        batches,
        step_inputs,
        rate,
        steps_per_epoch,
        batch_size,
        seed=args.seed,
        callbacks=make_callbacks(run, step, batches),
        workers=workers,
    )

    spec = asdict(net.spec)
    state: Dict[str, Any] = {"step": 0}
    is_first = workers.rank == 0
    if args.resume and is_first:
        state = load_checkpoint(args.save_prefix, run.checkpoint, net, trainer, spec)
        note_changed_flags(earlier_prefix(args.save_prefix, run.checkpoint), vars(args))
    state = share_start(workers, net, trainer, state)
    step.restore(state)
    if is_first:
        note_changes(state, loop.state_at(state["step"]))
        if args.resume:
            tell_if_over(state["step"], args.epochs, steps_per_epoch)
        write_arguments(args.save_prefix, vars(args), run.choices, spec)
    loop.fit(args.epochs, state["step"])


if __name__ == "__main__":
    run_worker(main, parse_args)
