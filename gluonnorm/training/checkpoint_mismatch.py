"""Descriptions of why a checkpoint does not fit a network or a trainer."""

from typing import Any, List, Sequence

from gluonnorm.class_names import composed
from gluonnorm.errors import first_few

SHOWN_NAMES = 10


def spec_mismatches(saved: Any, expected: Any, field: str = "spec") -> List[str]:
    """List the fields of a network's description that differ from the checkpoint's.

    Parameters
    ----------
    saved : object
        The description in the checkpoint: dictionaries, lists, text and numbers, as JSON gives
        them.
    expected : object
        The description of the network. Further fields of ``saved`` are not compared.
    field : str
        The name of the description in the phrases.

    Returns
    -------
    list of str
        A phrase for each field that differs, nested ones too.

    Examples
    --------
    >>> spec_mismatches({"norm": "gn", "config": {"depth": 50}}, {"config": {"depth": 101}})
    ['spec.config.depth is 50 in the checkpoint, 101 here']
    """
    if isinstance(saved, dict) and isinstance(expected, dict):
        phrases: List[str] = []
        for key, value in expected.items():
            phrases += spec_mismatches(saved.get(key), value, f"{field}.{key}")
        return phrases
    if _with_composed_names(saved) == _with_composed_names(expected):
        return []
    return [f"{field} is {saved!r} in the checkpoint, {expected!r} here"]


def _with_composed_names(value: Any) -> Any:
    """Write accented letters in the one form of class names, which version 0.1 did not have."""
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [_with_composed_names(item) for item in value]
    return value


def trainer_mismatches(saved: Sequence[str], expected: Sequence[str]) -> List[str]:
    """Describe why a saved optimizer state does not fit a trainer.

    Parameters
    ----------
    saved : sequence of str
        Names of the parameters that the checkpoint's trainer held, in its order.
    expected : sequence of str
        Names of the parameters that the trainer holds, in its order.

    Returns
    -------
    list of str
        One phrase, or none if the state fits.
    """
    if saved == expected:
        return []
    lost = sorted(set(saved) - set(expected))
    gained = sorted(set(expected) - set(saved))
    if not lost and not gained:
        return [
            "the trainer holds the same parameters in another order; build it over "
            "trainable_parameters(net)"
        ]
    return [
        f"trained in the checkpoint but not here: {first_few(lost, SHOWN_NAMES)}; "
        f"here but not in the checkpoint: {first_few(gained, SHOWN_NAMES)}; "
        "freeze the same layers, or load without the trainer"
    ]
