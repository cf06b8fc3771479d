"""The table of ``--print-recipe``: every value of a run, its origin and the reason for it."""

from typing import Any, List, Optional, Tuple

from model_zoo.recipes import Choice
from model_zoo.recipes.choice import Choices

from _cli import flag_of
from _recipe import MACHINES, RECIPE_SETTINGS

# Flags that are not shown where nothing was chosen.
OPTIONAL = ("clip_gradient", "epoch_steps", "head_norm")


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


def _origin(choice: Choice) -> str:
    """Write where a value comes from, and why."""
    return f"{choice.origin}: {choice.reason}" if choice.reason else choice.origin


def _as_text(value: Any) -> str:
    """Write a value as the command line takes it."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
