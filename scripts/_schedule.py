"""The flags of the training schedule, and the learning rate that they describe.

A flag that is not given is None; ``_recipe.py`` takes the value of a recipe or of ``DEFAULTS``,
which have the flags of networks and runs as well that a recipe may choose.
``make_schedule`` takes the completed command line, because it is the border between flags and
objects.
"""

import argparse
import math
import sys
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Tuple

from gluonnorm import training
from gluonnorm.errors import InputError
from gluonnorm.types import is_number

from _cli import flag_of, require_positive

RATE_PER_IMAGE = 0.00125
# The values of a run without a recipe. The learning rate follows from RATE_PER_IMAGE.
DEFAULTS: Dict[str, Any] = {
    "batch_size": 1,
    "accumulate": 1,
    "epochs": 20,
    "lr_mode": "step",
    "lr_decay": 0.1,
    "lr_decay_epoch": "14,18",
    "lr_warmup": 100,
    "lr_warmup_factor": 1 / 3,
    "momentum": 0.9,
    "wd": 1e-4,
    "norm_wd": None,
    "bias_wd": None,
    "bias_lr_factor": 1.0,
    "clip_gradient": None,
    "epoch_steps": None,
    "val_interval": 1,
    "dtype": "float32",
    "norm": None,
    "head_norm": None,
}
SCHEDULE_FLAGS = ("lr", *DEFAULTS)
# What a file must hold for a flag, by the type that argparse gives its value.
_STORED_TYPES: Dict[Any, Tuple[Callable[[Any], bool], str]] = {
    int: (lambda value: is_number(value) and isinstance(value, int), "an integer"),
    float: (is_number, "a number"),
    None: (lambda value: isinstance(value, str), "a text"),
}
# What the rate of --lr-mode step alone reads.
STEP_FLAGS = ("lr_decay", "lr_decay_epoch")
NOT_NEGATIVE = (
    "lr",
    "lr_decay",
    "lr_warmup",
    "momentum",
    "wd",
    "norm_wd",
    "bias_wd",
    "bias_lr_factor",
    "clip_gradient",
)


def add_schedule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of epochs, batch size, learning rate and SGD, with GluonCV's names.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("schedule")
    group.add_argument("--epochs", type=int, metavar="N", help="epochs in total (default: 20)")
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="images that are computed together on this machine; with --accumulate 1 those of an "
        "update (default: 1)",
    )
    group.add_argument(
        "--accumulate",
        type=int,
        metavar="N",
        help="batches whose gradients are added up for an update, which is then that of N times "
        "--batch-size images, with the memory of --batch-size (default: 1)",
    )
    group.add_argument(
        "--lr",
        type=float,
        metavar="RATE",
        help="learning rate for the complete batch (default: 0.00125 x images of all machines)",
    )
    group.add_argument(
        "--lr-mode",
        choices=["step", "cosine"],
        help="step: the rate falls at --lr-decay-epoch; cosine: it falls along half "
        "a cosine, from --lr at the first step to 0 at the last "
        "(default: step)",
    )
    group.add_argument(
        "--lr-decay",
        type=float,
        metavar="X",
        help="step: factor of a decay (default: 0.1)",
    )
    group.add_argument(
        "--lr-decay-epoch",
        metavar="N,N",
        help="step: the epochs after which the rate falls (default: 14,18)",
    )
    group.add_argument(
        "--lr-warmup",
        type=int,
        metavar="STEPS",
        help="steps of the linear warm-up (default: 100)",
    )
    group.add_argument(
        "--lr-warmup-factor",
        type=float,
        metavar="X",
        help="the rate at step 0 is X times the full rate (default: 1/3)",
    )
    group.add_argument("--momentum", type=float, metavar="X", help="momentum of SGD (default: 0.9)")
    group.add_argument(
        "--wd", type=float, metavar="X", help="weight decay of weights (default: 1e-4)"
    )
    group.add_argument(
        "--norm-wd",
        type=float,
        metavar="X",
        help="weight decay of all parameters of norms (default: 0 for scales and shifts, and --wd "
        "for the mixing weights of switchable norms)",
    )
    group.add_argument(
        "--bias-wd", type=float, metavar="X", help="weight decay of biases (default: --wd)"
    )
    group.add_argument(
        "--bias-lr-factor",
        type=float,
        metavar="X",
        help="biases, and the shifts of norms, learn X times as fast as weights; Detectron has 2 "
        "(default: 1)",
    )
    group.add_argument(
        "--clip-gradient",
        type=float,
        metavar="NORM",
        help="the largest global norm of the gradient; 0 lifts the limit of a recipe (default: no "
        "limit)",
    )
    group.add_argument(
        "--epoch-steps",
        type=int,
        metavar="N",
        help="updates that count as an epoch, for data sets of which an epoch takes too long; each "
        "epoch has images that are drawn anew (default: all images once)",
    )


def make_schedule(args: argparse.Namespace, steps_per_epoch: int) -> Callable[[int], float]:
    """Make the learning rate as a function of the step.

    Parameters
    ----------
    args : argparse.Namespace
        Flags of ``add_schedule_arguments``, all with a value.
    steps_per_epoch : int
        Updates in an epoch.

    Returns
    -------
    callable
        Takes the number of updates already made and returns the rate of the next one.

    Raises
    ------
    InputError
        A flag holds no number, or numbers that make no schedule.
    """
    if args.lr_mode == "cosine":
        rate = partial(
            training.cosine,
            base=args.lr,
            total=args.epochs * steps_per_epoch,
            warmup_steps=args.lr_warmup,
            warmup_factor=args.lr_warmup_factor,
        )
    else:
        milestones = decay_steps(args.lr_decay_epoch, steps_per_epoch)
        rate = partial(
            training.warmup_multistep,
            base=args.lr,
            milestones=milestones,
            decay=args.lr_decay,
            warmup_steps=args.lr_warmup,
            warmup_factor=args.lr_warmup_factor,
        )
    # The first value is computed now, so that a wrong flag is reported before training starts.
    rate(0)
    return rate


def check_schedule_arguments(args: argparse.Namespace) -> None:
    """Refuse numbers that no run can be made of: MXNet's own error would come after minutes.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_schedule_arguments``; those that were not given are None.

    Raises
    ------
    InputError
        A number is out of range.
    """
    require_positive(args, "epochs", "batch_size", "accumulate", "epoch_steps")
    for name in NOT_NEGATIVE:
        value = getattr(args, name)
        if value is not None and not 0 <= value < math.inf:
            raise InputError(f"{flag_of(name)} is {value:g}; want a finite number, 0 or more")
    for name in ("lr_warmup_factor", "lr_decay"):
        factor = getattr(args, name)
        if factor is not None and not 0 <= factor <= 1:
            raise InputError(f"{flag_of(name)} is {factor:g}; want 0 to 1")
    if args.momentum is not None and args.momentum >= 1:
        raise InputError(
            f"--momentum is {args.momentum:g}; want less than 1, because the updates would grow "
            "for ever"
        )
    if args.lr_decay_epoch is not None:
        decay_steps(args.lr_decay_epoch, steps_per_epoch=1)


def check_stored_schedule(values: Mapping[str, Any]) -> None:
    """Check the values of a schedule that come from a file, which may have been edited.

    Parameters
    ----------
    values : Mapping of str to object
        Values by the destinations of the flags of ``add_schedule_arguments``; others are ignored.

    Raises
    ------
    InputError
        A value is of a wrong type, or out of range.
    """
    parser = argparse.ArgumentParser()
    add_schedule_arguments(parser)
    args = parser.parse_args([])
    for action in parser._actions:
        value = values.get(action.dest)
        if value is None:
            continue
        is_met, wanted = _STORED_TYPES[action.type]
        if not is_met(value):
            raise InputError(f"{flag_of(action.dest)} is {value!r}; want {wanted}")
        setattr(args, action.dest, value)
    check_schedule_arguments(args)


def check_decay(given: argparse.Namespace, completed: argparse.Namespace) -> None:
    """Refuse flags of a rate that falls in steps where it falls along a cosine.

    Parameters
    ----------
    given : argparse.Namespace
        Parsed flags of ``add_schedule_arguments``; those that were not given are None.
    completed : argparse.Namespace
        The same with a value each, such as those of a recipe.

    Raises
    ------
    InputError
        A flag would have no effect.
    """
    if completed.lr_mode == "step":
        return
    for name in STEP_FLAGS:
        value = getattr(given, name)
        if value is not None:
            origin = "" if given.lr_mode else ", which --recipe or the earlier run has chosen"
            mode = f"--lr-mode {completed.lr_mode}{origin}"
            raise InputError(
                f"{flag_of(name)} {value} has no effect with {mode}; give --lr-mode step as well, "
                f"or leave {flag_of(name)} out"
            )


def check_epoch_steps(args: argparse.Namespace, steps_of_data: int) -> None:
    """Refuse an epoch that is longer than the data set.

    Parameters
    ----------
    args : argparse.Namespace
        Flags of ``add_schedule_arguments``, all with a value.
    steps_of_data : int
        Updates in which each image is seen once.

    Raises
    ------
    InputError
        ``--epoch-steps`` is more.
    """
    if args.epoch_steps is not None and args.epoch_steps > steps_of_data:
        raise InputError(
            f"--epoch-steps is {args.epoch_steps}, and the data set has images for {steps_of_data} "
            "updates; leave it out, and give more --epochs"
        )


def note_large_update(args: argparse.Namespace, images: int, machines: int) -> None:
    """Say so if an update is to have more images than the data set.

    Parameters
    ----------
    args : argparse.Namespace
        Flags of ``add_schedule_arguments``, all with a value.
    images : int
        Images of an epoch.
    machines : int
        Machines that share an update.
    """
    wanted = update_size(args) * machines
    if wanted > images:
        print(
            f"note: an update of {wanted} images (--batch-size {args.batch_size}, --accumulate "
            f"{args.accumulate}) is more than an epoch has; each has {images}, and learns as at "
            f"{images / wanted:.2g} of --lr; lower the two",
            file=sys.stderr,
        )


def update_size(args: argparse.Namespace) -> int:
    """Count the images of an update on this machine.

    Parameters
    ----------
    args : argparse.Namespace
        Flags of ``add_schedule_arguments``, all with a value.

    Returns
    -------
    int
        ``--batch-size`` times ``--accumulate``.
    """
    return args.batch_size * args.accumulate


def decay_steps(epochs: str, steps_per_epoch: int) -> List[int]:
    """Turn the value of ``--lr-decay-epoch`` into steps.

    Parameters
    ----------
    epochs : str
        Numbers of epochs with commas between them; fractions are allowed.
    steps_per_epoch : int
        Updates in an epoch.

    Returns
    -------
    list of int
        The steps from which on the rate is lower.

    Raises
    ------
    InputError
        The text is no list of numbers, or they are negative or not in ascending order.

    Examples
    --------
    >>> decay_steps("1.5,2", steps_per_epoch=10)
    [15, 20]
    """
    try:
        numbers = [float(epoch) for epoch in epochs.split(",") if epoch]
    except ValueError:
        numbers = [math.nan]
    is_in_range = all(0 <= number < math.inf for number in numbers)
    if not is_in_range or numbers != sorted(numbers):
        raise InputError(
            f"--lr-decay-epoch is {epochs!r}; want numbers of epochs in ascending order, with "
            "commas between them, such as 14,18"
        )
    return [int(number * steps_per_epoch) for number in numbers]
