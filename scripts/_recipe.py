"""Where each value of a training run comes from: a flag, the earlier run, a recipe or a default.

``choose`` is the one place that decides. It returns a ``Choice`` for every value, and
``with_choices`` writes the values into the parsed command line, so that the rest of the script
reads flags as if each had been given.
"""

import argparse
import sys
from collections import ChainMap
from dataclasses import fields
from typing import Any, Dict, Mapping, Optional

from gluonnorm import training
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.rcnn import DetectorConfig
from model_zoo.recipes import RECIPES, Choice, Recipe, TrainingCase, get_recipe
from model_zoo.recipes.automatic import AUTO, WARMUP_PART, choose_schedule, choose_settings
from model_zoo.recipes.choice import DEFAULT, EARLIER_RUN, FLAG, RECIPE, Choices

from _cli import flag_of, parse_settings
from _schedule import DEFAULTS, RATE_PER_IMAGE, SCHEDULE_FLAGS

# Settings of the network that a recipe may have, and --set may change.
RECIPE_SETTINGS = tuple(field.name for field in fields(DetectorConfig))
# Those that published recipes have.
PUBLISHED_SETTINGS = ("short", "max_size", "freeze_at")
# The flags whose product is the number of images of an update on one machine.
UPDATE_SIZES = ("batch_size", "accumulate")
# How many machines share an update, which is no flag.
MACHINES = "machines"


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
    fitted: Optional[Choices] = None,
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
    fitted : dict of str to Choice, optional
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
    # The first map that has a value wins, so each map that is appended fills what is still open.
    chosen = ChainMap(
        _given_flags(args), _kept_decisions(name, args, earlier, machines), fitted or {}
    )
    if case is not None:
        if args.multi_scale:
            short = max(args.multi_scale)
            reason = "the largest length of --multi-scale"
            chosen.maps.append({"short": Choice(short, RECIPE, reason)})
        chosen.maps.append(choose_settings(case, _values_of(chosen)))
    sizes = {size: chosen.get(size, Choice(DEFAULTS[size], DEFAULT)) for size in UPDATE_SIZES}
    total_batch = sizes["batch_size"].value * sizes["accumulate"].value * machines
    length = _value_of("epochs", chosen), _value_of("epoch_steps", chosen)
    if case is not None:
        chosen.maps.append(choose_schedule(case.weights, images, total_batch, *length))
    elif name.value not in (None, AUTO):
        recipe = get_recipe(name.value)
        is_fitted = fitted is not None
        chosen.maps.append(_recipe_choices(recipe, total_batch, images, *length, is_fitted))
    chosen.maps.append(_default_choices(total_batch))
    choices = {"recipe": name, **sizes, MACHINES: Choice(machines, DEFAULT, "share an update")}
    for destination in SCHEDULE_FLAGS:
        choices[destination] = chosen[destination]
    if choices["bias_wd"].value is None:
        choices["bias_wd"] = Choice(choices["wd"].value, DEFAULT, "that of weights")
    # A run without a recipe keeps no settings: its flags are given again.
    if name.value is not None:
        for setting in RECIPE_SETTINGS:
            if setting in chosen:
                choices[setting] = chosen[setting]
    return choices


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
    if name != AUTO and name not in RECIPES:
        names = (AUTO, *RECIPES)
        raise InputError(
            f"no recipe {name!r}; there are {', '.join(names)}{did_you_mean(name, names)}"
        )
    source = "docs/training.md" if name == AUTO else get_recipe(name).source
    return Choice(name, origin, source)


def _kept_decisions(
    name: Choice, args: argparse.Namespace, earlier: Choices, machines: int
) -> Choices:
    """Collect what the earlier run decided, if its recipe and its updates were the same."""
    if name.value is None or _changed_update(name, args, earlier, machines):
        return {}
    kept = {}
    for destination, choice in earlier.items():
        if choice.origin != DEFAULT:
            kept[destination] = Choice(choice.value, EARLIER_RUN, choice.reason)
    return kept


def _changed_update(name: Choice, args: argparse.Namespace, earlier: Choices, machines: int) -> str:
    """Say why the decisions of the earlier run are not those of this one; "" if they are."""
    earlier_name = _value_of("recipe", earlier)
    if earlier_name != name.value:
        return f"--recipe was {earlier_name} and is {name.value}"
    # Runs of earlier versions did not write the machines down.
    earlier_machines = _value_of(MACHINES, earlier)
    if earlier_machines not in (None, machines):
        return f"{earlier_machines} machines shared an update, and {machines} do now"
    for size in UPDATE_SIZES:
        value, earlier_value = getattr(args, size), _value_of(size, earlier)
        if value not in (None, earlier_value):
            return f"{flag_of(size)} was {earlier_value} and is {value}"
    return ""


def note_new_decisions(args: argparse.Namespace, earlier: Choices, machines: int) -> None:
    """Say that a run that is continued keeps nothing of what its recipe decided, and why.

    The network may then be another one, which no checkpoint fits.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    earlier : dict of str to Choice
        What ``read_choices`` returns of the run that is continued; {} for a fresh run.
    machines : int
        Machines that share an update.
    """
    name = _recipe_name(args, earlier)
    if name.value is None or _value_of("recipe", earlier) is None:
        return
    reason = _changed_update(name, args, earlier, machines)
    if reason:
        print(
            f"note: --resume: {reason}, so the recipe decides anew, and keeps no --set of the "
            "earlier run; give those again",
            file=sys.stderr,
        )


def _values_of(choices: Mapping[str, Choice]) -> Dict[str, Any]:
    """Return the values of choices without their origins."""
    return {name: choice.value for name, choice in choices.items()}


def _value_of(name: str, choices: Mapping[str, Choice]) -> Any:
    """Return the value of a choice; None if there is none."""
    return choices[name].value if name in choices else None


def _recipe_choices(
    recipe: Recipe,
    batch_size: int,
    images: int,
    epochs: Optional[int],
    epoch_steps: Optional[int],
    is_fitted: bool,
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
    if is_fitted and tenth < warmup:
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
