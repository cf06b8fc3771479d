"""Every model by its name: detectors as rows, bare backbones as names."""

from typing import Dict, Iterable, List, Tuple

from gluonnorm.errors import InputError, did_you_mean
from model_zoo.rows import detectron, detectron2, gluoncv, own, torchvision
from model_zoo.rows.model import Model

BACKBONE_DEPTHS = {
    "v1a": (50, 101, 152),
    "v1b": (18, 34, 50, 101, 152),
    "v1d": (18, 34, 50, 101, 152),
    "v2": (18, 34, 50, 101),
}


def _name_backbones() -> Tuple[str, ...]:
    """Name every ResNet, for example "resnet50_v1b"."""
    names = []
    for variant, depths in BACKBONE_DEPTHS.items():
        for depth in depths:
            names.append(f"resnet{depth}_{variant}")
    return tuple(names)


def _collect_models() -> Dict[str, Model]:
    """Join the rows of all codebases; every name must be unique."""
    models: Dict[str, Model] = {}
    for codebase in (own, gluoncv, torchvision, detectron2, detectron):
        for model in codebase.rows():
            if model.name in models:
                raise ValueError(f"two rows of the catalogue have the name {model.name!r}")
            models[model.name] = model
    return models


BACKBONES = _name_backbones()
MODELS = _collect_models()


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
    no model 'resnet50v2'; did you mean resnet50_v2? model_zoo.list_models() has all names
    """
    suggestion = did_you_mean(name, known_names) or ";"
    return InputError(f"no model {name!r}{suggestion} model_zoo.list_models() has all names")
