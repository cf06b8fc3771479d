"""Train a Faster or Mask R-CNN, and evaluate it after each epoch.

A mask_rcnn_* network needs a data set with a mask for every box: coco, yolo or labelme. The best
weights are those with the highest AP50 of boxes, or with the highest AP of masks if the network
gives masks.

These files are written beside --save-prefix:
  PREFIX-<step>.{json,params,states}  checkpoints; the .json is written last
  PREFIX-best.params                  the weights with the best score
  PREFIX.log, PREFIX-metrics.jsonl    losses and scores, for people and for programs
  PREFIX-curve.png                    losses and scores against the step
  PREFIX-mixing.png                   the mixing weights of a network with switchable norms
  PREFIX-arguments.json               the flags and versions of the run

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
from typing import Any, Dict, List, Optional, Sequence

from gluonnorm import training
from gluonnorm.data import Dataset
from gluonnorm.visualize import open_font

import mxnet as mx
from _callbacks import make_callbacks
from _cli import add_plugin_argument, contexts, run, seed_everything
from _data import (
    add_dataset_arguments,
    open_dataset,
    open_masks,
    open_scored_dataset,
    require_boxes,
)
from _resume import check_resume, load_checkpoint, note_changed_flags, note_changes
from _schedule import add_schedule_arguments, make_schedule
from _training_flags import (
    add_network_arguments,
    add_run_arguments,
    check_run_arguments,
    write_arguments,
)
from _training_parts import (
    build_network,
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_network_arguments(parser)
    add_dataset_arguments(parser)
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
    open_font(args.font)
    seed_everything(args.seed)
    ctx = contexts(args.gpus)
    kvstore = mx.kv.create(args.kv_store)
    args.save_prefix = worker_prefix(args.save_prefix, kvstore.rank)
    with training.PrefixLock(args.save_prefix) as lock:
        if lock.note:
            print(f"note: {lock.note}", file=sys.stderr)
        train(args, ctx, kvstore)
    print(f"checkpoint {training.latest(args.save_prefix)}")
    print(f"log        {args.save_prefix}.log")
    print(f"curve      {args.save_prefix}-curve.png")


def train(args: argparse.Namespace, ctx: List[mx.Context], kvstore: mx.kv.KVStore) -> None:
    """Train under a prefix that no other run uses.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    ctx : list of mx.Context
        The devices that hold the weights.
    kvstore : mx.kv.KVStore
        Where the gradients of all devices and machines are added up. It knows this machine's number
        and how many machines there are.

    Raises
    ------
    GluonnormError
        Whatever the user can mend: flags, data, checkpoints, a loss that is not finite.
    """
    chosen = check_resume(args.save_prefix, args.resume)
    train_set = open_dataset(args, "train")
    val_set: Optional[Dataset] = None
    if args.val_interval:
        val_set = open_scored_dataset(args, train_set.classes)
    net = build_network(args, train_set.classes, ctx)
    # Masks are read only for a network that gives masks. The network needs the classes of the data
    # set, so the data set is opened first, without masks.
    if net.has_masks:
        train_set = open_masks(train_set)
        val_set = None if val_set is None else open_masks(val_set)
    require_boxes(train_set, net.preprocess, net.config)

    workers = training.Workers(kvstore)
    loader = make_loader(
        train_set,
        net.preprocess,
        args.batch_size,
        args.seed,
        args.num_workers,
        part=workers.rank,
        num_parts=workers.count,
    )
    batches = epoch_batches(loader)
    batch_size = args.batch_size * workers.count
    rate = make_schedule(args, len(loader), batch_size)
    trainer = make_trainer(net, kvstore, args.momentum, args.wd)
    step = make_step(args, net, trainer, ctx)
    callbacks = make_callbacks(args, net, trainer, ctx, batches, val_set)
    loop = training.Loop(
        step, batches, step_inputs, rate, len(loader), batch_size, args.seed, callbacks, workers
    )

    spec = asdict(net.spec)
    state: Dict[str, Any] = {"step": 0}
    if args.resume:
        state = load_checkpoint(args.save_prefix, chosen, net, trainer, spec)
        note_changed_flags(args.save_prefix, chosen, vars(args))
    note_changes(state, loop.state_at(state["step"]))
    write_arguments(args.save_prefix, vars(args), spec)
    loop.fit(args.epochs, state["step"])


def worker_prefix(prefix: str, rank: int) -> str:
    """Give every worker of a distributed run files of its own.

    Parameters
    ----------
    prefix : str
        The value of ``--save-prefix``.
    rank : int
        The worker's number, from 0.

    Returns
    -------
    str
        The prefix itself for worker 0.
    """
    return f"{prefix}-worker{rank}" if rank else prefix


if __name__ == "__main__":
    run(main, parse_args())
