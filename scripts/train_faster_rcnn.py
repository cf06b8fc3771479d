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
import json
import os
import platform
import sys
from dataclasses import asdict
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

import gluonnorm
import model_zoo
from gluonnorm import training
from gluonnorm.data import AspectGroupSampler, Batch, Dataset, Loader, TrainTransform
from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNN, make_loss, smooth_l1_box_loss
from gluonnorm.types import Preprocess
from gluonnorm.visualize import open_font

import mxnet as mx
from _callbacks import CurvePicture, Evaluator, MixingPicture, Recalibration
from _cli import (
    add_plugin_argument,
    contexts,
    import_user_function,
    parse_settings,
    run,
    seed_everything,
)
from _data import (
    add_dataset_arguments,
    open_dataset,
    open_masks,
    open_scored_dataset,
    require_boxes,
)
from _models import add_norm_arguments
from _output import add_font_argument
from _resume import check_resume, load_checkpoint, note_changes
from _schedule import add_schedule_arguments, make_schedule


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


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the network and of the weights it starts from.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--network", required=True, metavar="NAME", help="one of model_zoo.list_models()"
    )
    add_norm_arguments(group)
    group.add_argument(
        "--pretrained-base",
        nargs="?",
        const=True,
        default=False,
        metavar="FILE",
        help="ImageNet weights of the backbone: a file of this package's or "
        "MXNet's, a key of model_zoo.published_weights, or nothing for the "
        "published ones",
    )
    group.add_argument(
        "--pretrained",
        nargs="?",
        const=True,
        default=False,
        metavar="FILE",
        help="weights of the complete network to start from, likewise",
    )
    group.add_argument(
        "--box-loss",
        metavar="MODULE:FUNCTION",
        help="a loss of boxes in your own file module.py (docs/extending.md; default: smooth L1)",
    )
    group.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the detector, e.g. short=300 num_sample=64 "
        "normalize=False; see gluonnorm.rcnn.DetectorConfig",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of devices, files, evaluation and seed.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("run")
    add_font_argument(group)
    group.add_argument("--gpus", default="", help="e.g. 0,1 (default: the CPU)")
    group.add_argument(
        "--kv-store",
        default="device",
        help="MXNet's kvstore (default: device)",
        choices=["device", "local", "nccl", "dist_sync", "dist_device_sync"],
    )
    group.add_argument(
        "--save-prefix",
        default="runs/faster_rcnn",
        metavar="PREFIX",
        help="folder and first part of all file names (default: %(default)s)",
    )
    group.add_argument(
        "--save-interval",
        type=int,
        default=1,
        metavar="EPOCHS",
        help="epochs from one checkpoint to the next; 0 saves only the last epoch, the best score "
        "and an interrupted step, which are always saved (default: 1)",
    )
    group.add_argument(
        "--save-steps",
        type=int,
        default=0,
        metavar="STEPS",
        help="updates from one checkpoint within an epoch to the next (default: 0, none)",
    )
    group.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="FILE",
        help="continue from a checkpoint: one of its three files, or nothing for the newest one of "
        "--save-prefix",
    )
    group.add_argument(
        "--recalibrate",
        type=int,
        default=0,
        metavar="N",
        help="after each epoch, before its checkpoint and its evaluation, replace "
        "the running statistics of bn, sync_bn and sn layers by exact averages "
        "over N training batches, at most an epoch (default: 0, never)",
    )
    group.add_argument(
        "--val-interval",
        type=int,
        default=1,
        metavar="EPOCHS",
        help="epochs from one evaluation to the next; 0 never evaluates (default: 1)",
    )
    group.add_argument(
        "--log-interval",
        type=int,
        default=20,
        metavar="STEPS",
        help="updates from one line of the log file to the next (default: 20)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=233,
        help="seed of weights, order, flips and sampling (default: 233)",
    )


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
        Where the gradients of all devices and machines are added up.

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

    trainer = make_trainer(net, kvstore, args.momentum, args.wd)
    spec = asdict(net.spec)
    loop = make_loop(args, net, trainer, kvstore, ctx, train_set, val_set)
    state: Dict[str, Any] = {"step": 0}
    if args.resume:
        state = load_checkpoint(args.save_prefix, chosen, net, trainer, spec)
    note_changes(state, loop.state_at(state["step"]))
    write_arguments(f"{args.save_prefix}-arguments.json", vars(args), spec)
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


def check_run_arguments(args: argparse.Namespace) -> None:
    """Check the values of ``add_run_arguments`` before any work begins.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Raises
    ------
    InputError
        A number is out of range, or ``--save-prefix`` has no name after its folder.
    """
    if not os.path.basename(args.save_prefix):
        raise InputError(
            f"--save-prefix is {args.save_prefix!r}, a folder; add the first part of the file names"
            f", such as {os.path.join(args.save_prefix, args.network)}"
        )
    for flag, number in (
        ("--recalibrate", args.recalibrate),
        ("--save-interval", args.save_interval),
        ("--save-steps", args.save_steps),
        ("--val-interval", args.val_interval),
    ):
        if number < 0:
            raise InputError(f"{flag} is {number}; want a number of 1 or more, 0 for never")
    if args.save_interval > max(args.epochs, 1):
        print(
            f"note: --save-interval counts epochs, and {args.save_interval} is more than --epochs "
            f"{args.epochs}; --save-steps counts updates",
            file=sys.stderr,
        )


def build_network(
    args: argparse.Namespace, classes: Sequence[str], ctx: List[mx.Context]
) -> FasterRCNN:
    """Build the network that the flags describe, with its first weights.

    Like ``open_dataset`` it takes the parsed command line, because it turns flags into an object.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_network_arguments``.
    classes : sequence of str
        The classes of the data set.
    ctx : list of mx.Context
        The devices that hold the weights.

    Returns
    -------
    FasterRCNN
        The network, with pretrained weights where the flags name some.

    Raises
    ------
    InputError
        A flag or a setting that the network does not have, or weights that do not fit.
    """
    return model_zoo.get_model(
        args.network,
        norm=args.norm,
        head_norm=args.head_norm,
        rescale=args.rescale,
        classes=classes,
        pretrained=args.pretrained,
        pretrained_base=args.pretrained_base,
        ctx=ctx,
        **parse_settings(args.set),
    )


def make_trainer(
    net: FasterRCNN, kvstore: mx.kv.KVStore, momentum: float, weight_decay: float
) -> mx.gluon.Trainer:
    """Make the SGD trainer of a network.

    Parameters
    ----------
    net : FasterRCNN
        The network.
    kvstore : mx.kv.KVStore
        Where the gradients of all devices and machines are added up.
    momentum, weight_decay : float
        Settings of SGD; norms have no weight decay.

    Returns
    -------
    mx.gluon.Trainer
        Its learning rate is set before each step.
    """
    sgd_settings = {"learning_rate": 1.0, "momentum": momentum, "wd": weight_decay}
    # With update_on_kvstore the server of a distributed store would keep the first learning rate,
    # and the gradients of several devices could not be clipped.
    return mx.gluon.Trainer(
        learned_parameters(net), "sgd", sgd_settings, kvstore=kvstore, update_on_kvstore=False
    )


def learned_parameters(net: mx.gluon.HybridBlock) -> List[mx.gluon.Parameter]:
    """List the parameters that learn, and take the weight decay off the norms (Detectron2).

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        The network; its norms' scale and shift get a weight decay of 0.

    Returns
    -------
    list of mx.gluon.Parameter
        In structural order, as ``training.trainable_parameters`` gives them.
    """
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("gamma", "beta")):
            parameter.wd_mult = 0.0
    return training.trainable_parameters(net)


def make_loop(
    args: argparse.Namespace,
    net: FasterRCNN,
    trainer: mx.gluon.Trainer,
    kvstore: mx.kv.KVStore,
    ctx: List[mx.Context],
    train_set: Dataset,
    val_set: Optional[Dataset],
) -> training.Loop:
    """Make the training loop: batches, learning rate, loss, step and callbacks.

    Like ``build_network`` it takes the parsed command line, because it turns flags into objects.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    net : FasterRCNN
        The network to train.
    trainer : mx.gluon.Trainer
        What ``make_trainer`` returns for this network.
    kvstore : mx.kv.KVStore
        It knows this machine's number and how many machines there are.
    ctx : list of mx.Context
        The devices that hold the weights. Each batch is split over them.
    train_set : Dataset
        Images and ground truth, with masks if the network gives masks.
    val_set : Dataset or None
        What is evaluated; None never evaluates.

    Returns
    -------
    training.Loop
        Ready to ``fit``.

    Raises
    ------
    InputError
        Flags of the schedule that make no learning rate, or ``--recalibrate`` for a network
        without running statistics.
    """
    loader = make_loader(
        train_set,
        net.preprocess,
        args.batch_size,
        args.seed,
        args.num_workers,
        part=kvstore.rank,
        num_parts=kvstore.num_workers,
    )
    batches = epoch_batches(loader)
    batch_size = args.batch_size * kvstore.num_workers
    rate = make_schedule(args, len(loader), batch_size)
    box_loss = smooth_l1_box_loss
    if args.box_loss:
        box_loss = import_user_function(args.box_loss, "--box-loss")
    loss = make_loss(net, box_loss)
    loss.hybridize()
    step = training.TrainStep(loss, trainer, ctx, args.clip_gradient)
    callbacks = make_callbacks(args, net, trainer, ctx, batches, val_set)
    return training.Loop(
        step, batches, step_inputs, rate, len(loader), batch_size, args.seed, callbacks
    )


def make_loader(
    dataset: Dataset,
    preprocess: Preprocess,
    batch_size: int,
    seed: int,
    workers: int,
    part: int,
    num_parts: int,
) -> Loader:
    """Make the loader of shuffled and mirrored training batches.

    Parameters
    ----------
    dataset : Dataset
        Images and ground truth.
    preprocess : Preprocess
        How the network wants its images.
    batch_size : int
        Images in a batch.
    seed : int
        Decides order, sizes and flips.
    workers : int
        Threads that read and resize images.
    part, num_parts : int
        This machine's number, from 0, and the number of machines; each gets its own images.

    Returns
    -------
    Loader
        Its batches follow from the seed and the epoch alone.
    """
    sampler = AspectGroupSampler(
        dataset.sizes(), batch_size, shuffle=True, seed=seed, part=part, num_parts=num_parts
    )
    return Loader(
        dataset,
        TrainTransform(preprocess),
        sampler,
        preprocess.padding,
        seed=seed,
        train=True,
        workers=workers,
    )


def epoch_batches(loader: Loader) -> Callable[[int, int], Iterable[Batch]]:
    """Give a loader the form in which ``training.Loop`` asks for batches.

    Parameters
    ----------
    loader : Loader
        The training batches.

    Returns
    -------
    callable
        ``batches(epoch, skip)``: the batches of an epoch without the first ``skip``.
    """

    def batches(epoch: int, skip: int) -> Iterable[Batch]:
        loader.set_epoch(epoch)
        return loader.iterate(skip)

    return batches


def make_callbacks(
    args: argparse.Namespace,
    net: FasterRCNN,
    trainer: mx.gluon.Trainer,
    ctx: List[mx.Context],
    batches: Callable[[int, int], Iterable[Batch]],
    val_set: Optional[Dataset],
) -> List[training.Callback]:
    """Make the callbacks that log, save, evaluate and draw.

    Like ``build_network`` it takes the parsed command line, because it turns flags into objects.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    net : FasterRCNN
        The network that is being trained.
    trainer : mx.gluon.Trainer
        Its optimizer state is saved.
    ctx : list of mx.Context
        The devices that hold the weights.
    batches : callable
        What ``epoch_batches`` returns.
    val_set : Dataset or None
        What is evaluated; None never evaluates.

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
    text = training.TextLog(f"{prefix}.log", args.log_interval)
    metrics = training.MetricsLog(f"{prefix}-metrics.jsonl")
    callbacks: List[training.Callback] = [text, metrics]
    # Before the saver, so that each checkpoint and each evaluation has the new statistics.
    if args.recalibrate:
        callbacks.append(Recalibration(net, batches, ctx, num_batches=args.recalibrate))
    saver = training.CheckpointSaver(
        prefix,
        net,
        trainer,
        asdict(net.spec),
        every_steps=args.save_steps,
        every_epochs=args.save_interval,
    )
    callbacks.append(saver)
    # After the saver, so that an evaluation that fails costs no weights.
    if val_set is not None:
        callbacks.append(
            Evaluator(
                net,
                ctx,
                val_set,
                saver,
                text,
                metrics,
                interval=args.val_interval,
                workers=args.num_workers,
            )
        )
    callbacks.append(CurvePicture(metrics, f"{prefix}-curve.png", args.network, args.font))
    callbacks.append(MixingPicture(net, f"{prefix}-mixing.png", args.network))
    return callbacks


def step_inputs(batch: Batch) -> List[Any]:
    """List what a training step takes of a batch, and the names of its images last.

    Parameters
    ----------
    batch : Batch
        With masks if the network gives masks.

    Returns
    -------
    list
        Images, boxes, labels, perhaps masks, and the list of the images' names.
    """
    inputs = [batch.images, batch.boxes, batch.labels]
    if batch.masks is not None:
        inputs.append(batch.masks)
    names = [sample.name for sample in batch.samples]
    return [*inputs, names]


def write_arguments(path: str, flags: Dict[str, Any], spec: Dict[str, Any]) -> None:
    """Write down what a run was started with.

    Parameters
    ----------
    path : str
        The JSON file to write.
    flags : dict of str to any
        The value of each flag.
    spec : dict of str to any
        The network's description.
    """
    content = {
        "arguments": flags,
        "spec": spec,
        "python": platform.python_version(),
        "mxnet": mx.__version__,
        "gluonnorm": gluonnorm.__version__,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)


if __name__ == "__main__":
    run(main, parse_args())
