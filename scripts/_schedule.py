"""The flags of the training schedule, and the learning rate that they describe.

``make_schedule`` takes the parsed command line, because it is the border between flags and objects.
"""

import argparse
import math
from functools import partial
from typing import Callable, List

from gluonnorm import training
from gluonnorm.errors import InputError

RATE_PER_IMAGE = 0.00125


def add_schedule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of epochs, batch size, learning rate and SGD, with GluonCV's names.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("schedule")
    group.add_argument(
        "--epochs", type=int, default=20, metavar="N", help="epochs in total (default: 20)"
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=1,
        metavar="N",
        help="images of an update on this machine (default: 1)",
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
        default="step",
        help="step: the rate falls at --lr-decay-epoch; cosine: it falls along half "
        "a cosine, from --lr at the first step to 0 at the last "
        "(default: step)",
    )
    group.add_argument(
        "--lr-decay",
        type=float,
        default=0.1,
        metavar="X",
        help="step: factor of a decay (default: 0.1)",
    )
    group.add_argument(
        "--lr-decay-epoch",
        default="14,18",
        metavar="N,N",
        help="step: the epochs after which the rate falls (default: 14,18)",
    )
    group.add_argument(
        "--lr-warmup",
        type=int,
        default=100,
        metavar="STEPS",
        help="steps of the linear warm-up (default: 100)",
    )
    group.add_argument(
        "--lr-warmup-factor",
        type=float,
        default=1 / 3,
        metavar="X",
        help="the rate at step 0 is X times the full rate (default: 1/3)",
    )
    group.add_argument(
        "--momentum", type=float, default=0.9, metavar="X", help="momentum of SGD (default: 0.9)"
    )
    group.add_argument(
        "--wd",
        type=float,
        default=1e-4,
        metavar="X",
        help="weight decay; norms have none (default: 1e-4)",
    )
    group.add_argument(
        "--clip-gradient",
        type=float,
        metavar="NORM",
        help="the largest global norm of the gradient (default: no limit)",
    )


def make_schedule(
    args: argparse.Namespace, steps_per_epoch: int, batch_size: int
) -> Callable[[int], float]:
    """Make the learning rate as a function of the step.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_schedule_arguments``.
    steps_per_epoch : int
        Updates in an epoch.
    batch_size : int
        Images of an update, on all machines together.

    Returns
    -------
    callable
        Takes the number of updates already made and returns the rate of the next one.

    Raises
    ------
    InputError
        A flag holds no number, or numbers that make no schedule.
    """
    _require_numbers(args)
    peak = args.lr
    if peak is None:
        peak = training.scale_for_batch(RATE_PER_IMAGE, batch_size, 1)
    if args.lr_mode == "cosine":
        rate = partial(
            training.cosine,
            base=peak,
            total=args.epochs * steps_per_epoch,
            warmup_steps=args.lr_warmup,
            warmup_factor=args.lr_warmup_factor,
        )
    else:
        milestones = decay_steps(args.lr_decay_epoch, steps_per_epoch)
        rate = partial(
            training.warmup_multistep,
            base=peak,
            milestones=milestones,
            decay=args.lr_decay,
            warmup_steps=args.lr_warmup,
            warmup_factor=args.lr_warmup_factor,
        )
    # The first value is computed now, so that a wrong flag is reported before training starts.
    rate(0)
    return rate


def _require_numbers(args: argparse.Namespace) -> None:
    """Refuse numbers that no run can be made of: MXNet's own error would come after minutes."""
    if args.epochs < 1:
        raise InputError(f"--epochs is {args.epochs}; want at least 1")
    for field in ("lr", "momentum", "wd", "clip_gradient"):
        value = getattr(args, field)
        if value is not None and not 0 <= value < math.inf:
            flag = "--" + field.replace("_", "-")
            raise InputError(f"{flag} is {value:g}; want a finite number, 0 or more")


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
        The text is no list of numbers.

    Examples
    --------
    >>> decay_steps("1.5,2", steps_per_epoch=10)
    [15, 20]
    """
    try:
        return [int(float(epoch) * steps_per_epoch) for epoch in epochs.split(",") if epoch]
    except ValueError:
        raise InputError(
            f"--lr-decay-epoch is {epochs!r}; want numbers of epochs with commas "
            "between them, such as 14,18"
        ) from None
