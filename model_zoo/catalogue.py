"""Every model by its name: detectors as rows, bare backbones as names."""

from typing import Dict, Iterable, List

from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.registry import Registry
from model_zoo.backbone_builders import BACKBONES
from model_zoo.rows import detectron, detectron2, gluoncv, own, switchnorm, torchvision
from model_zoo.rows.model import Model

# The rows of each codebase, under the name that gluonnorm.conversion.SOURCES has for it.
ROWS: Dict[str, List[Model]] = {
    "own": own.rows(),
    "gluoncv": gluoncv.rows(),
    "torchvision": torchvision.rows(),
    "detectron2": detectron2.rows(),
    "detectron": detectron.rows(),
    "switchnorm": switchnorm.rows(),
}


def _collect_models() -> Dict[str, Model]:
    """Join the rows of all codebases; every name must be unique."""
    models: Dict[str, Model] = {}
    for rows in ROWS.values():
        for model in rows:
            if model.name in models:
                raise ValueError(f"two rows of the catalogue have the name {model.name!r}")
            models[model.name] = model
    return models


MODELS: Registry[Model] = Registry("model", _collect_models())


def codebase_of(name: str) -> str:
    """Name the codebase that a detector of the catalogue belongs to.

    Parameters
    ----------
    name : str
        The name of a detector.

    Returns
    -------
    str
        A key of ``ROWS``; "own" also for a model that a user registered.

    Examples
    --------
    >>> codebase_of("maskrcnn_resnet101_fpn"), codebase_of("mask_rcnn_R_50_C4_1x")
    ('torchvision', 'detectron2')
    """
    for codebase, rows in ROWS.items():
        if any(model.name == name for model in rows):
            return codebase
    return "own"


def register(model: Model) -> None:
    """Add a row of your own to the catalogue; its name then works wherever a model is named.

    Files store the name alone: import the module that registers it before a file is opened, in a
    script with ``--plugin MODULE``.

    Parameters
    ----------
    model : Model
        The row. Its backbone is a ResNet of the package, or one that
        :func:`model_zoo.register_backbone` named.

    Raises
    ------
    InputError
        The name stands for another model or a backbone already, or there is no such backbone.

    Examples
    --------
    >>> row = Model("faster_rcnn_resnet34", "resnet34_v1b", neck="fpn", head="2fc")
    >>> register(row)  # doctest: +SKIP
    """
    if not isinstance(model, Model):
        raise InputError(f"register got {model!r}; give a model_zoo.Model")
    if model.name in BACKBONES:
        raise InputError(f"{model.name!r} is the name of a backbone; give the model another one")
    check_backbone(model.backbone)
    MODELS.register(model.name, model)


def check_backbone(name: str) -> None:
    """Refuse the name of a backbone that does not exist.

    Parameters
    ----------
    name : str
        The name.

    Raises
    ------
    InputError
        No backbone has this name.
    """
    if name not in BACKBONES:
        raise InputError(f"no backbone is called {name!r}{BACKBONES.way_out(name)}")


def list_models() -> List[str]:
    """List the names that :func:`model_zoo.get_model` takes.

    Returns
    -------
    list of str
        The names of detectors and of bare backbones, sorted.

    Examples
    --------
    >>> "mask_rcnn_fpn_resnet50_v1b_coco" in list_models()
    True
    """
    return sorted([*MODELS, *BACKBONES])


def get_model_list() -> List[str]:
    """List the names that :func:`model_zoo.get_model` takes: GluonCV's name of ``list_models``.

    Returns
    -------
    list of str
        As :func:`list_models`.
    """
    return list_models()


def unknown_model(name: str, known_names: Iterable[str]) -> InputError:
    """Make the error for a model that the catalogue does not have.

    Parameters
    ----------
    name : str
        The name that the caller gave.
    known_names : iterable of str
        The names that would have been right.

    Returns
    -------
    InputError
        An error to raise; its message suggests the closest known names.

    Examples
    --------
    >>> print(unknown_model("resnet50v2", ["resnet50_v2", "fpn"]))
    no model 'resnet50v2'; did you mean resnet50_v2? model_zoo.list_models() has all names, and a
    model of your own needs the module that registers it: import that first, in a script with
    --plugin MODULE
    """
    suggestion = did_you_mean(name, known_names) or ";"
    return InputError(
        f"no model {name!r}{suggestion} model_zoo.list_models() has all names, and a model of your "
        "own needs the module that registers it: import that first, in a script with --plugin "
        "MODULE"
    )
