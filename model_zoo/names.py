"""The name of a model as users type it."""

from typing import Iterable

from gluonnorm.errors import InputError
from model_zoo.catalogue import unknown_model

# What every name of a two-stage detector contains, and how the names of their backbones begin.
DETECTOR_WORD = "rcnn"
BACKBONE_WORD = "resn"


def find_name(name: str, known_names: Iterable[str]) -> str:
    """Find a model's name, in whatever case it is typed.

    Parameters
    ----------
    name : str
        What the caller typed.
    known_names : iterable of str
        The names of all models.

    Returns
    -------
    str
        The name as the catalogue has it.

    Raises
    ------
    InputError
        There is no such model. The message says so if the name is one of another family, such as
        "ssd_512_resnet50_v1_voc".

    Examples
    --------
    >>> find_name("ResNet50_V1b", ["resnet50_v1b", "resnet50_v2"])
    'resnet50_v1b'
    """
    known = list(known_names)
    if name in known:
        return name
    lower_name = str(name).lower()
    for known_name in known:
        if known_name.lower() == lower_name:
            return known_name
    if DETECTOR_WORD in lower_name or lower_name.startswith(BACKBONE_WORD):
        raise unknown_model(name, known)
    raise InputError(
        f"no model {name!r}; this package has two-stage detectors only, faster_rcnn_* and"
        " mask_rcnn_*, and their backbones; model_zoo.list_models() has all names, and a model of"
        " your own needs the module that registers it: import that first, in a script with"
        " --plugin MODULE"
    )
