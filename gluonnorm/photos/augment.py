"""Random changes of training photos, by name or by a function of the user."""

from dataclasses import fields
from functools import partial
from typing import Any, Callable, Dict, Sequence, Type

from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.photos.annotated import AnnotatedPhoto, check_annotated
from gluonnorm.photos.color_jitter import ColorJitter
from gluonnorm.photos.random_crop import RandomCrop
from gluonnorm.photos.turns import QuarterTurn, VerticalFlip

import numpy as np

Augment = Callable[[AnnotatedPhoto, np.random.Generator], AnnotatedPhoto]

AUGMENTS: Dict[str, Type[Any]] = {
    "color_jitter": ColorJitter,
    "random_crop": RandomCrop,
    "vertical_flip": VerticalFlip,
    "quarter_turn": QuarterTurn,
}


def make_augment(name: str, **settings: Any) -> Augment:
    """Make one of the random changes in ``AUGMENTS``.

    Parameters
    ----------
    name : str
        A key of ``AUGMENTS``.
    **settings
        Its settings; the others have their defaults.

    Returns
    -------
    callable
        ``augment(photo, rng)`` returns the changed photo. What it draws follows from ``rng`` alone.

    Raises
    ------
    InputError
        An unknown name or setting, or a value out of range.

    Examples
    --------
    >>> make_augment("vertical_flip", probability=0.2)
    VerticalFlip(probability=0.2)
    """
    if name not in AUGMENTS:
        raise InputError(
            f"no change of photos is called {name!r}; want {', '.join(AUGMENTS)}"
            f"{did_you_mean(name, AUGMENTS)}"
        )
    make = AUGMENTS[name]
    known = [field.name for field in fields(make)]
    for setting in settings:
        if setting not in known:
            raise InputError(
                f"{name} has no setting {setting!r}; want {', '.join(known)}"
                f"{did_you_mean(setting, known)}"
            )
    return make(**settings)


def apply_augments(
    photo: AnnotatedPhoto, augments: Sequence[Augment], rng: np.random.Generator
) -> AnnotatedPhoto:
    """Change a photo by several augments, one after the other, and check what each returns.

    Parameters
    ----------
    photo : AnnotatedPhoto
        The photo.
    augments : sequence of callable
        What ``make_augment`` returns, or functions of the user.
    rng : numpy.random.Generator
        All random choices come from it.

    Returns
    -------
    AnnotatedPhoto
        The changed photo.

    Raises
    ------
    InputError
        A function returned something that is no photo with fitting boxes.
    """
    for augment in augments:
        photo = augment(photo, rng)
        try:
            check_annotated(photo)
        except InputError as error:
            raise InputError(f"{_name_of(augment)}: {error}") from error
    return photo


def _name_of(augment: Augment) -> str:
    """The name of a function or class, for messages."""
    function = augment.func if isinstance(augment, partial) else augment
    return getattr(function, "__name__", type(function).__name__)
