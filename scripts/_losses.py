"""The flags that choose the losses of boxes and classes, and the loss that they describe."""

import argparse
from typing import Dict, Sequence

from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.rcnn import (
    BoxLoss,
    ClassLoss,
    FasterRCNN,
    WeightedClassLoss,
    focal_class_loss,
    make_loss,
    smooth_l1_box_loss,
    softmax_class_loss,
)
from gluonnorm.rcnn.faster_rcnn_loss import FasterRCNNLoss

from _cli import import_user_function

CLASS_LOSSES: Dict[str, ClassLoss] = {"softmax": softmax_class_loss, "focal": focal_class_loss}


def add_loss_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose the losses.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("losses")
    group.add_argument(
        "--box-loss",
        metavar="MODULE:FUNCTION",
        help="a loss of boxes in your own file module.py (docs/extending.md; default: smooth L1)",
    )
    group.add_argument(
        "--class-loss",
        default="softmax",
        metavar="NAME",
        help="the loss of the classes of RoIs: softmax, focal (gamma 2), or MODULE:FUNCTION in "
        "your own file module.py (docs/extending.md; default: softmax)",
    )
    group.add_argument(
        "--class-weights",
        action="extend",
        nargs="+",
        default=[],
        metavar="CLASS=WEIGHT",
        help="classes that count more or less than 1 in the loss of classes, e.g. Platelets=3 "
        "background=0.5",
    )


def make_chosen_loss(args: argparse.Namespace, net: FasterRCNN) -> FasterRCNNLoss:
    """Make the losses that the flags choose for a network.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_loss_arguments``.
    net : FasterRCNN
        The network to train.

    Returns
    -------
    FasterRCNNLoss
        The losses, not hybridized.

    Raises
    ------
    InputError
        A flag names no loss, or no class of the network.
    """
    box_loss: BoxLoss = smooth_l1_box_loss
    if args.box_loss:
        box_loss = import_user_function(args.box_loss, "--box-loss")
    class_loss = find_class_loss(args.class_loss)
    if args.class_weights:
        weights = parse_weights(args.class_weights)
        class_loss = WeightedClassLoss(net.classes, weights, class_loss)
    return make_loss(net, box_loss, class_loss)


def find_class_loss(name: str) -> ClassLoss:
    """Find a loss of classes.

    Parameters
    ----------
    name : str
        A name of ``CLASS_LOSSES``, or ``MODULE:FUNCTION``.

    Returns
    -------
    callable
        The loss.

    Raises
    ------
    InputError
        There is no such loss.
    """
    if name in CLASS_LOSSES:
        return CLASS_LOSSES[name]
    if ":" in name:
        return import_user_function(name, "--class-loss")
    raise InputError(
        f"--class-loss is {name!r}{did_you_mean(name, CLASS_LOSSES) or ';'} give one of "
        f"{', '.join(CLASS_LOSSES)}, or MODULE:FUNCTION"
    )


def parse_weights(pairs: Sequence[str]) -> Dict[str, float]:
    """Turn the values of ``--class-weights`` into weights.

    Parameters
    ----------
    pairs : sequence of str
        Texts ``CLASS=WEIGHT``.

    Returns
    -------
    dict of str to float
        The weight of each class.

    Raises
    ------
    InputError
        A text has another form, or a class comes twice.

    Examples
    --------
    >>> parse_weights(["red=2", "background=0.5"])
    {'red': 2.0, 'background': 0.5}
    """
    weights: Dict[str, float] = {}
    for pair in pairs:
        # A class may have an equals sign in its name.
        name, _, text = pair.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            name = ""
        if not name or name in weights:
            raise InputError(f"--class-weights {pair}: give CLASS=WEIGHT, each class once")
        weights[name] = weight
    return weights
