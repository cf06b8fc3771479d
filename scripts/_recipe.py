"""Where each value of a training run comes from: a flag, the earlier run, a recipe or a default.

``choose`` is the one place that decides. It returns a ``Choice`` for every value, and
``with_choices`` writes the values into the parsed command line, so that the rest of the script
reads flags as if each had been given.
"""

import argparse
import math
import os
import sys
from dataclasses import asdict, fields, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gluonnorm import training
from gluonnorm.errors import InputError
from gluonnorm.rcnn import DetectorConfig, FasterRCNN
from gluonnorm.weight_files import read_description
from model_zoo.recipes import RECIPES, Choice, Recipe, TrainingCase, get_recipe
from model_zoo.recipes.automatic import AUTO, WARMUP_PART, choose_schedule, choose_settings
from model_zoo.recipes.choice import DEFAULT, EARLIER_RUN, FLAG, RECIPE

from _arguments_file import arguments_path
from _cli import flag_of, parse_settings
from _schedule import DEFAULTS, RATE_PER_IMAGE, SCHEDULE_FLAGS

Choices = Dict[str, Choice]
# Settings of the network that a recipe may have, and --set may change.
RECIPE_SETTINGS = tuple(field.name for field in fields(DetectorConfig))
# Those that published recipes have.
PUBLISHED_SETTINGS = ("short", "max_size", "freeze_at")
# The flags whose product is the number of images of an update on one machine.
UPDATE_SIZES = ("batch_size", "accumulate")
# How many machines share an update, which is no flag.
MACHINES = "machines"
# What --minutes measures and sets: a value of the user would make another length of it.
LAID_BY_MINUTES = ("epochs", "epoch_steps")
# Flags that are not shown where nothing was chosen.
OPTIONAL = ("clip_gradient", "epoch_steps", "head_norm")


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
        help="measure a few steps and an evaluation, and lay the schedule of --recipe so that the "
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
        raise InputError("--minutes lays the schedule of a recipe; add --recipe auto")
    for name in LAID_BY_MINUTES:
        value = getattr(args, name)
        if value is not None:
            raise InputError(
                f"--minutes {args.minutes:g} and {flag_of(name)} {value} both set the length of "
                "the run; leave one of them out"
            )


def follows_rules(args: argparse.Namespace, earlier: Choices, machines: int) -> bool:
    """Tell whether the rules of the automatic recipe have to decide something.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    earlier : dict of str to Choice
        What ``read_choices`` returns of the run that is continued; {} for a fresh run.
    machines : int
        Machines that share an update.

    Returns
    -------
    bool
        False for another recipe, and for a run that keeps its decisions.
    """
    name = _recipe_name(args, earlier)
    return name.value == AUTO and not _kept_decisions(name, args, earlier, machines)


def choose(
    args: argparse.Namespace,
    images: int,
    machines: int,
    earlier: Choices,
    case: Optional[TrainingCase] = None,
    laid: Optional[Choices] = None,
) -> Choices:
    """Choose every value of the schedule, and the settings of the network that a recipe has.

    The first of these that has a value wins: a flag that was given; the run that is continued, if
    it had the same recipe, the same batch and as many machines; the length that fits into the time;
    the recipe, by its rules or scaled to the batch and the data set; the default. A run without a
    recipe keeps nothing: its flags are given again.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line; a flag of the schedule that was not given is None.
    images : int
        Images of the training set, for all machines together.
    machines : int
        Machines that share an update, each with ``--batch-size`` times ``--accumulate`` images.
    earlier : dict of str to Choice
        What ``read_choices`` returns of the run that is continued; {} for a fresh run.
    case : TrainingCase, optional
        What the rules of the automatic recipe look at, if they have to decide something.
    laid : dict of str to Choice, optional
        The length that fits into the time of ``--minutes``.

    Returns
    -------
    dict of str to Choice
        "recipe", which may be None, "machines", the destinations of the schedule's flags, and those
        of ``RECIPE_SETTINGS`` that the recipe or the earlier run decides. With a recipe, those of
        ``--set`` too, because a run with a recipe that is continued keeps them.

    Raises
    ------
    InputError
        There is no such recipe.
    """
    name = _recipe_name(args, earlier)
    kept = _kept_decisions(name, args, earlier, machines)
    layers = [_given_flags(args), kept, laid or {}]
    if case is not None:
        if args.multi_scale:
            short = max(args.multi_scale)
            layers.append({"short": Choice(short, RECIPE, "the largest length of --multi-scale")})
        layers.append(choose_settings(case, _values_of(layers)))
    sizes = {size: _first(size, [*layers, _default_choices(1)]) for size in UPDATE_SIZES}
    total_batch = sizes["batch_size"].value * sizes["accumulate"].value * machines
    if case is not None:
        known = _values_of(layers)
        length = known.get("epochs"), known.get("epoch_steps")
        layers.append(choose_schedule(case.weights, images, total_batch, *length))
    elif name.value not in (None, AUTO):
        recipe = get_recipe(name.value)
        known = _values_of(layers)
        length = known.get("epochs"), known.get("epoch_steps")
        layers.append(_recipe_choices(recipe, total_batch, images, *length, laid is not None))
    choices = {"recipe": name, **sizes, MACHINES: Choice(machines, DEFAULT, "share an update")}
    for destination in SCHEDULE_FLAGS:
        choices[destination] = _first(destination, [*layers, _default_choices(total_batch)])
    if choices["bias_wd"].value is None:
        choices["bias_wd"] = Choice(choices["wd"].value, DEFAULT, "that of weights")
    kept_layers = layers[1:] if name.value is None else layers
    for setting in RECIPE_SETTINGS:
        if any(setting in layer for layer in kept_layers):
            choices[setting] = _first(setting, layers)
    return choices


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
            f"--minutes {args.minutes:g} lays the length of a run that begins; the run that "
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


def with_choices(args: argparse.Namespace, choices: Choices) -> argparse.Namespace:
    """Write the chosen values into the command line.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    choices : dict of str to Choice
        What ``choose`` returns.

    Returns
    -------
    argparse.Namespace
        A copy in which every flag of the schedule has its value, and ``--set`` the settings of the
        recipe.
    """
    values = {name: choice.value for name, choice in choices.items() if name != MACHINES}
    settings = []
    for setting in RECIPE_SETTINGS:
        if setting in values:
            value = values.pop(setting)
            if choices[setting].origin != FLAG:
                settings.append(f"{setting}={value!r}")
    return argparse.Namespace(**{**vars(args), **values, "set": [*settings, *args.set]})


def read_choices(prefix: str) -> Choices:
    """Read what a run decided.

    Parameters
    ----------
    prefix : str
        The prefix of its files.

    Returns
    -------
    dict of str to Choice
        {} if the run has no ``PREFIX-arguments.json``, or one of a version without choices.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = arguments_path(prefix)
    if not os.path.exists(path):
        return {}
    try:
        return restored_choices(read_description(path).get("choices", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} should hold the decisions of the run that is continued, and is damaged "
            f"({error}); delete it, and give --recipe again if the run had one"
        ) from error


def stored_choices(choices: Choices) -> Dict[str, Any]:
    """Turn choices into what JSON can hold.

    Parameters
    ----------
    choices : dict of str to Choice
        What ``choose`` returns.

    Returns
    -------
    dict of str to dict
        What ``restored_choices`` takes.
    """
    return {name: asdict(choice) for name, choice in choices.items()}


def restored_choices(stored: Dict[str, Any]) -> Choices:
    """Make choices of what ``stored_choices`` returned, after a trip through JSON.

    Parameters
    ----------
    stored : dict of str to dict
        The fields of each choice.

    Returns
    -------
    dict of str to Choice
        The same choices.
    """
    choices = {}
    for name, content in stored.items():
        choice = Choice(**content)
        choices[name] = replace(choice, value=_as_setting(choice.value))
    return choices


def _as_setting(value: Any) -> Any:
    """Turn the lists of JSON into the tuples that settings are."""
    return tuple(map(_as_setting, value)) if isinstance(value, list) else value


def check_network(args: argparse.Namespace, net: FasterRCNN) -> None:
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


def check_flags(args: argparse.Namespace) -> None:
    """Refuse flags that contradict the recipe, before weights are fetched and loaded.

    ``check_network`` then looks at what the flags leave to the network.

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


def print_choices(choices: Choices, norm: Optional[str], steps_per_epoch: int) -> None:
    """Print what would run: every value, its origin and the reason for it.

    Parameters
    ----------
    choices : dict of str to Choice
        What ``choose`` returns.
    norm : str or None
        The norm of the network.
    steps_per_epoch : int
        Updates in an epoch.
    """
    rows: List[Tuple[str, str, str]] = []
    unused = ("lr_decay", "lr_decay_epoch") if choices["lr_mode"].value == "cosine" else ()
    for name, choice in choices.items():
        is_silent = name in OPTIONAL and choice.value is None
        if name in unused or is_silent or name in ("norm", MACHINES):
            continue
        label = f"--set {name}" if name in RECIPE_SETTINGS else flag_of(name)
        rows.append((label, _as_text(choice.value), _origin(choice)))
    if choices[MACHINES].value > 1:
        rows.append((MACHINES, str(choices[MACHINES].value), choices[MACHINES].reason))
    chosen_norm = choices["norm"]
    origin = "the network's"
    if chosen_norm.value is not None:
        origin = _origin(chosen_norm)
    rows.append(("norm", _as_text(norm), origin))
    epochs = choices["epochs"].value
    rows.append(("updates", str(epochs * steps_per_epoch), f"{steps_per_epoch} in each epoch"))
    label_width = max(len(label) for label, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    for label, value, origin in rows:
        print(f"{label:{label_width}}  {value:{value_width}}  {origin}")


def _given_flags(args: argparse.Namespace) -> Choices:
    """Collect the values that the command line gives."""
    given = {name: getattr(args, name) for name in SCHEDULE_FLAGS}
    settings = parse_settings(args.set)
    given.update((name, settings[name]) for name in RECIPE_SETTINGS if name in settings)
    return {name: Choice(value, FLAG) for name, value in given.items() if value is not None}


def _recipe_name(args: argparse.Namespace, earlier: Choices) -> Choice:
    """Choose the recipe: that of the flag, or else that of the earlier run."""
    origin = EARLIER_RUN if args.recipe is None else FLAG
    name = _value_of("recipe", earlier) if args.recipe is None else args.recipe
    if name is None:
        return Choice(None, DEFAULT)
    source = "docs/training.md" if name == AUTO else get_recipe(name).source
    return Choice(name, origin, source)


def _kept_decisions(
    name: Choice, args: argparse.Namespace, earlier: Choices, machines: int
) -> Choices:
    """Collect what the earlier run decided, if its recipe and its updates were the same."""
    if name.value is None or _value_of("recipe", earlier) != name.value:
        return {}
    # Runs of earlier versions did not write the machines down.
    if _value_of(MACHINES, earlier) not in (None, machines):
        return {}
    for size in UPDATE_SIZES:
        if getattr(args, size) not in (None, _value_of(size, earlier)):
            return {}
    kept = {}
    for destination, choice in earlier.items():
        if choice.origin != DEFAULT:
            kept[destination] = Choice(choice.value, EARLIER_RUN, choice.reason)
    return kept


def _values_of(layers: Sequence[Choices]) -> Dict[str, Any]:
    """Collect the values that stand, of the first layer that has one."""
    values: Dict[str, Any] = {}
    for layer in layers:
        for name, choice in layer.items():
            values.setdefault(name, choice.value)
    return values


def _value_of(name: str, choices: Choices) -> Any:
    """Return the value of a choice; None if there is none."""
    return choices[name].value if name in choices else None


def _first(name: str, layers: Sequence[Choices]) -> Any:
    """Return the choice of the first layer that has one of this name; None if no layer has."""
    for layer in layers:
        if name in layer:
            return layer[name]
    return None


def _recipe_choices(
    recipe: Recipe,
    batch_size: int,
    images: int,
    epochs: Optional[int],
    epoch_steps: Optional[int],
    is_laid: bool,
) -> Choices:
    """State a recipe for a batch and a data set, as values of flags with their reasons."""
    scaled = recipe.scale(batch_size, images)
    whole, decay_epochs = scaled.in_whole_epochs(epochs)
    reference = f"{recipe.batch_size} images"
    length = f"{recipe.length:g} epochs"
    if recipe.unit == "iterations":
        length = (
            f"{recipe.length} updates of {reference} are {recipe.epochs:.2f} epochs of "
            f"{recipe.images} images"
        )
    parts = ", ".join(f"{100 * point / recipe.length:.1f} %" for point in recipe.decay_at)
    steps = epoch_steps or scaled.steps_per_epoch
    warmup = min(scaled.lr_warmup, steps)
    warmup_reason = f"{recipe.lr_warmup} updates of {reference}, but at most an epoch"
    # In the minutes there may be one epoch, or less, of a large data set.
    tenth = max(1, round(WARMUP_PART * whole * steps))
    if is_laid and tenth < warmup:
        warmup = tenth
        warmup_reason = f"a tenth of {whole * steps} updates, instead of those of the recipe"
    choices = {
        "epochs": Choice(whole, RECIPE, length),
        "lr": Choice(scaled.lr, RECIPE, f"{recipe.lr:g} for {reference}, here {batch_size}"),
        "lr_decay_epoch": Choice(
            ",".join(f"{epoch:g}" for epoch in decay_epochs), RECIPE, f"after {parts} of the run"
        ),
        "lr_warmup": Choice(warmup, RECIPE, warmup_reason),
    }
    for name in ("lr_decay", "lr_warmup_factor", "momentum", "wd", "norm_wd", "bias_wd"):
        choices[name] = Choice(getattr(recipe, name), RECIPE)
    choices["bias_lr_factor"] = Choice(recipe.bias_lr_factor, RECIPE)
    for setting in PUBLISHED_SETTINGS:
        value = getattr(recipe, setting)
        if value not in (None, ()):
            choices[setting] = Choice(value, RECIPE)
    return choices


def _default_choices(total_batch: int) -> Choices:
    """Collect the values without a recipe; the learning rate grows with the batch."""
    choices = {name: Choice(value, DEFAULT) for name, value in DEFAULTS.items()}
    rate = training.scale_for_batch(RATE_PER_IMAGE, total_batch, 1)
    choices["norm_wd"] = Choice(None, DEFAULT, "0 for scales and shifts, --wd for mixing weights")
    choices["lr"] = Choice(rate, DEFAULT, f"{RATE_PER_IMAGE} for each of {total_batch} images")
    return choices


def _origin(choice: Choice) -> str:
    """Write where a value comes from, and why."""
    return f"{choice.origin}: {choice.reason}" if choice.reason else choice.origin


def _as_text(value: Any) -> str:
    """Write a value as the command line takes it."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
