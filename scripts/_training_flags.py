"""The flags of the training script that name the network and the run, and their first check.

A flag of data is in ``_data_flags.py``, one of epochs and learning rates in ``_schedule.py``.
"""

import argparse
import os
import sys
from typing import Optional, Sequence

from gluonnorm.errors import InputError
from gluonnorm.rcnn import TRAINING_DTYPES, check_training_dtype, slow_dtype

import mxnet as mx
from _cli import add_seed_argument, require_positive
from _model_flags import add_architecture_arguments
from _output import add_font_argument, make_folder
from _tensorboard import NUM_PHOTOS, load_tensorboard


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
    add_architecture_arguments(group)
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
        "--set",
        action="extend",
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
    number_type = group.add_mutually_exclusive_group()
    number_type.add_argument(
        "--dtype",
        choices=TRAINING_DTYPES,
        help="what convolutions and fully connected layers compute in; weights, norms and losses "
        "are always float32. bfloat16 is for CPUs, and fast with avx512_bf16 or AMX; float16 is "
        "for GPUs, and gets a dynamic loss scale (default: float32)",
    )
    number_type.add_argument(
        "--amp",
        action="store_const",
        const="float16",
        dest="dtype",
        default=argparse.SUPPRESS,
        help="GluonCV's name for --dtype float16",
    )
    group.add_argument(
        "--kv-store",
        default="device",
        help="MXNet's kvstore (default: device); dist_sync, dist_device_sync and horovod train in "
        "several processes, see docs/distributed.md",
        choices=["device", "local", "nccl", "dist_sync", "dist_device_sync", "horovod"],
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
        metavar="EPOCHS",
        help="epochs from one evaluation to the next; 0 never evaluates (default: 1)",
    )
    group.add_argument(
        "--patience",
        type=int,
        default=0,
        metavar="N",
        help="end the run after N evaluations without a better score (default: 0, never)",
    )
    group.add_argument(
        "--tensorboard",
        nargs="?",
        const=True,
        default=False,
        metavar="FOLDER",
        help="write losses, rates, speed, the norm of the gradient, scores, mixing weights and "
        f"detections of the first {NUM_PHOTOS} photos for TensorBoard, into this folder or "
        "PREFIX-tensorboard",
    )
    group.add_argument(
        "--log-interval",
        type=int,
        default=20,
        metavar="STEPS",
        help="updates from one line of the log file to the next (default: 20)",
    )
    add_seed_argument(group, "weights, order, flips and sampling")


def check_run_arguments(args: argparse.Namespace) -> None:
    """Check the values of ``add_run_arguments`` before any work begins.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Raises
    ------
    InputError
        A number is out of range, ``--save-prefix`` has no name after its folder, or
        ``--tensorboard`` lacks its package.
    """
    if not os.path.basename(args.save_prefix):
        raise InputError(
            f"--save-prefix is {args.save_prefix!r}, a folder; add the first part of the file names"
            f", such as {os.path.join(args.save_prefix, args.network)}"
        )
    # MXNet takes names of files in UTF-8. Without this line a name that has no such form, as in an
    # ASCII locale, would end the run at its first checkpoint.
    args.save_prefix.encode("utf-8")
    if args.tensorboard:
        load_tensorboard()
    for flag, number in (
        ("--recalibrate", args.recalibrate),
        ("--save-interval", args.save_interval),
        ("--save-steps", args.save_steps),
        ("--val-interval", args.val_interval),
        ("--patience", args.patience),
    ):
        if number is not None and number < 0:
            raise InputError(f"{flag} is {number}; want a number of 1 or more, 0 for never")
    require_positive(args, "log_interval", "num_workers")
    if args.patience and args.val_interval == 0:
        raise InputError(
            f"--patience {args.patience} counts evaluations, and --val-interval 0 makes none; "
            "leave one of them out"
        )


def make_run_folders(args: argparse.Namespace) -> None:
    """Make the folders that a run writes into, so that a wrong name does not cost work.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_run_arguments``.

    Raises
    ------
    InputError
        A folder cannot be made.
    """
    make_folder(f"--save-prefix {args.save_prefix}", os.path.dirname(args.save_prefix) or ".")
    if isinstance(args.tensorboard, str):
        make_folder(f"--tensorboard {args.tensorboard}", args.tensorboard)


def check_dtype(dtype: Optional[str], ctx: Sequence[mx.Context]) -> None:
    """Check the value of ``--dtype`` against the devices, before any work begins.

    Parameters
    ----------
    dtype : str or None
        The value; None if the flag is not given.
    ctx : sequence of mx.Context
        The devices that hold the weights.

    Raises
    ------
    InputError
        The devices do not have the type.
    """
    if dtype is None:
        return
    try:
        check_training_dtype(dtype, ctx)
    except InputError as error:
        flag = "--amp (--dtype float16)" if dtype == "float16" else f"--dtype {dtype}"
        raise InputError(f"{flag}: {error}") from error


def note_slow_dtype(dtype: str) -> None:
    """Say so if this processor is slow in the type that is trained in.

    Parameters
    ----------
    dtype : str
        The value of ``--dtype``, which the devices have.
    """
    reason = slow_dtype(dtype)
    if reason:
        print(
            f"note: --dtype {dtype}: {reason}, and slower than float32; --dtype float32 trains "
            "faster",
            file=sys.stderr,
        )


def note_long_interval(args: argparse.Namespace) -> None:
    """Say that ``--save-interval`` counts epochs if it is longer than the run.

    Parameters
    ----------
    args : argparse.Namespace
        Flags of ``add_run_arguments`` and the value of ``--epochs``.
    """
    if args.save_interval > args.epochs:
        print(
            f"note: --save-interval counts epochs, and {args.save_interval} is more than --epochs "
            f"{args.epochs}; --save-steps counts updates",
            file=sys.stderr,
        )
