"""The flags of recipes, and what is refused before or after a recipe has decided."""

import argparse
import math
import sys

from gluonnorm.errors import InputError
from gluonnorm.rcnn import FasterRCNN
from model_zoo.recipes import RECIPES, get_recipe
from model_zoo.recipes.automatic import AUTO
from model_zoo.recipes.choice import EARLIER_RUN, Choices

from _cli import flag_of, parse_settings

# What --minutes measures and sets: a value of the user would make another length of it.
SET_BY_MINUTES = ("epochs", "epoch_steps")


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a published schedule and show what would run.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--recipe",
        metavar="NAME",
        help="auto: sizes, anchors, counts and schedule follow from the data set, the weights and "
        "this machine; or a published schedule, one of model_zoo.recipes.list_recipes(), scaled to "
        "this batch and data set. Flags and settings of --set that are given win "
        "(docs/training.md)",
    )
    group.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="measure a few steps and an evaluation, and fit the schedule of --recipe so that the "
        "run ends after N minutes",
    )
    group.add_argument(
        "--print-recipe",
        action="store_true",
        help="show every value of the schedule with its origin, and end",
    )


def check_recipe_arguments(args: argparse.Namespace) -> None:
    """Refuse a ``--minutes`` from which no schedule follows.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.

    Raises
    ------
    InputError
        It is not positive, has no recipe, or comes with a flag that it sets itself.
    """
    if args.minutes is None:
        return
    if not 0 < args.minutes < math.inf:
        raise InputError(f"--minutes is {args.minutes:g}; want a number above 0")
    if args.recipe is None and not args.resume:
        raise InputError("--minutes fits the schedule of a recipe; add --recipe auto")
    for name in SET_BY_MINUTES:
        value = getattr(args, name)
        if value is not None:
            raise InputError(
                f"--minutes {args.minutes:g} and {flag_of(name)} {value} both set the length of "
                "the run; leave one of them out"
            )


def check_kept_length(args: argparse.Namespace, choices: Choices) -> None:
    """Say that ``--minutes`` does not change the length of a run that is continued.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line, with ``--minutes`` and ``--resume``.
    choices : dict of str to Choice
        What ``choose`` returns.

    Raises
    ------
    InputError
        Nothing of the earlier run's length is kept: it had another recipe, another batch or no
        recipe. The minutes would then hold all epochs, also those that it has made.
    """
    if choices["epochs"].origin != EARLIER_RUN:
        raise InputError(
            f"--minutes {args.minutes:g} sets the length of a run that begins; the run that "
            "--resume continues had no recipe, or another recipe or batch; give --epochs, which "
            "counts those that are made already"
        )
    print(
        f"note: --minutes has no effect; the run keeps its {choices['epochs'].value} epochs, and "
        "--epochs changes them",
        file=sys.stderr,
    )


def refuse_patience(args: argparse.Namespace, choices: Choices) -> None:
    """Refuse ``--patience`` for a run whose recipe or earlier part leaves no evaluations.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    choices : dict of str to Choice
        What ``choose`` returns, with an interval of 0 between evaluations.

    Raises
    ------
    InputError
        The flag is given.
    """
    if not args.patience:
        return
    if choices["val_interval"].origin == EARLIER_RUN:
        reason = "the run that --resume continues makes none"
        way_out = "give a --val-interval"
    else:
        reason = f"one of them takes too much of --minutes {args.minutes:g}"
        way_out = "give more minutes"
    raise InputError(
        f"--patience {args.patience} counts evaluations, and {reason}; leave --patience out, or "
        f"{way_out}"
    )


def check_recipe_before_build(args: argparse.Namespace) -> None:
    """Refuse flags that contradict the recipe, before weights are fetched and loaded.

    ``check_recipe_network`` then looks at what the flags leave to the network.

    Parameters
    ----------
    args : argparse.Namespace
        What ``with_choices`` returns.

    Raises
    ------
    InputError
        ``--norm`` is another than the recipe's, or a recipe from scratch would freeze stages or
        start from weights.
    """
    if args.recipe not in RECIPES:
        return
    recipe = RECIPES[args.recipe]
    settings = parse_settings(args.set)
    # The norm of a network without --norm is known when it is built.
    norm = args.norm or next(iter(recipe.norms), None)
    recipe.check_network(norm, settings.get("freeze_at"), _starts_from_weights(args))


def check_recipe_network(args: argparse.Namespace, net: FasterRCNN) -> None:
    """Refuse a network that contradicts the recipe.

    Parameters
    ----------
    args : argparse.Namespace
        What ``with_choices`` returns.
    net : FasterRCNN
        The network that the flags describe.

    Raises
    ------
    InputError
        It has another norm than the recipe, or a recipe from scratch would freeze stages or start
        from weights.
    """
    if args.recipe in (None, AUTO):
        return
    get_recipe(args.recipe).check_network(
        net.spec.norm, net.config.freeze_at, _starts_from_weights(args)
    )


def starts_from_detector(args: argparse.Namespace) -> bool:
    """Tell whether a run starts from the weights of a complete detector.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.

    Returns
    -------
    bool
        True with ``--pretrained`` and with ``--set transfer=...``.
    """
    return bool(args.pretrained or "transfer" in parse_settings(args.set))


def _starts_from_weights(args: argparse.Namespace) -> bool:
    """Tell whether a run starts from weights of a detector or of a backbone."""
    return bool(args.pretrained_base or starts_from_detector(args))
