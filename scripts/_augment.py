"""The flags that change and choose training images, and what they stand for."""

import argparse
import ast
import inspect
from dataclasses import replace
from functools import partial
from typing import Any, Dict, Optional

from gluonnorm.data import Dataset, TrainTransform, repeat_factors
from gluonnorm.errors import InputError
from gluonnorm.photos.augment import AUGMENTS, Augment, make_augment
from gluonnorm.types import Preprocess

import numpy as np
from _cli import import_user_function


def add_augment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of random changes, training sizes and repeated images.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser; it gets a group of flags.
    """
    group = parser.add_argument_group("augmentation")
    group.add_argument(
        "--augment",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"change training photos at random: {', '.join(AUGMENTS)}, or MODULE:FUNCTION of your "
        "own file, one after the other. Settings follow after commas, e.g. "
        "random_crop,min_scale=0.3 (docs/training.md)",
    )
    group.add_argument(
        "--multi-scale",
        type=int,
        action="extend",
        nargs="+",
        metavar="PIXELS",
        help="resize each training photo to one of these lengths of the shorter side, at random, "
        "e.g. 640 672 704 736 768 800 (default: the network's own)",
    )
    group.add_argument(
        "--repeat-threshold",
        type=float,
        metavar="SHARE",
        help="repeat images of classes that fewer images have than this share, up to sqrt(SHARE / "
        "share of the class) times an epoch, e.g. 0.001 (LVIS)",
    )
    group.add_argument(
        "--skip-empty",
        action="store_true",
        help="train without the images that have no box to learn from "
        "(default: they are trained on as background)",
    )


def check_augment_arguments(args: argparse.Namespace) -> None:
    """Check the values of ``add_augment_arguments`` before any work begins.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags.

    Raises
    ------
    InputError
        An unknown augment or setting, or a threshold out of range.
    """
    for text in args.augment:
        parse_augment(text)
    threshold = args.repeat_threshold
    if threshold is not None and not 0 < threshold <= 1:
        raise InputError(
            f"--repeat-threshold is {threshold}; want a share of the images, above 0, at most 1"
        )


def make_train_transform(args: argparse.Namespace, preprocess: Preprocess) -> TrainTransform:
    """Make the transform of training images that the flags describe.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_augment_arguments``.
    preprocess : Preprocess
        How the network wants its images.

    Returns
    -------
    TrainTransform
        Its choices follow from the random generator that it gets.

    Raises
    ------
    InputError
        An unknown augment or setting, or lengths that ``max_size`` does not allow.
    """
    augments = [parse_augment(text) for text in args.augment]
    return TrainTransform(training_preprocess(args, preprocess), augments=augments)


def training_preprocess(args: argparse.Namespace, preprocess: Preprocess) -> Preprocess:
    """State how training makes the network's input, which may have other sizes than inference.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_augment_arguments``.
    preprocess : Preprocess
        How the network wants its images.

    Returns
    -------
    Preprocess
        The same with the lengths of ``--multi-scale``, if there are any.

    Raises
    ------
    InputError
        ``max_size`` does not allow the lengths.
    """
    if not args.multi_scale:
        return preprocess
    try:
        return replace(preprocess, short=tuple(args.multi_scale))
    except InputError as error:
        raise InputError(f"--multi-scale: {error}") from error


def parse_augment(text: str) -> Augment:
    """Make an augment of its name and settings.

    Parameters
    ----------
    text : str
        A name of ``photos.augment.AUGMENTS`` or MODULE:FUNCTION, and perhaps ``,NAME=VALUE`` with
        Python literals.

    Returns
    -------
    callable
        ``augment(photo, rng)``.

    Raises
    ------
    InputError
        There is no such augment or setting, or a value is no literal or out of range.

    Examples
    --------
    >>> parse_augment("quarter_turn,probability=0.5")
    QuarterTurn(probability=0.5)
    """
    name, *pairs = text.split(",")
    settings = {}
    for pair in pairs:
        setting, _, value = pair.partition("=")
        try:
            settings[setting] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise InputError(
                f"--augment {text}: {pair!r} is no NAME=VALUE with a number, True, False or a text "
                "in quotes"
            ) from None
    if ":" in name:
        function = import_user_function(name, "--augment")
        _check_call(text, function, settings)
        return partial(function, **settings)
    try:
        return make_augment(name, **settings)
    except InputError as error:
        raise InputError(f"--augment {text}: {error}") from error


def _check_call(text: str, function: Augment, settings: Dict[str, Any]) -> None:
    """Raise InputError if a function of the user cannot be called with photo, rng and settings."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function that is not written in Python
        return
    try:
        signature.bind("photo", "rng", **settings)
    except TypeError as error:
        raise InputError(
            f"--augment {text}: {error}; it is called as function(photo, rng) with the settings of "
            "the flag"
        ) from error


def image_repeats(
    args: argparse.Namespace, dataset: Dataset, preprocess: Preprocess
) -> Optional[np.ndarray]:
    """Compute how often each image occurs in an epoch.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed flags of ``add_augment_arguments``.
    dataset : Dataset
        N images to train on.
    preprocess : Preprocess
        How the network wants its images.

    Returns
    -------
    numpy.ndarray or None
        (N,), at least 1; None for once each.
    """
    if args.repeat_threshold is None:
        return None
    return repeat_factors(dataset, args.repeat_threshold, training_preprocess(args, preprocess))
