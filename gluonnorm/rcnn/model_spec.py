"""The record from which a file rebuilds a network."""

from dataclasses import dataclass, fields
from typing import Any, Dict, List, Optional, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.rcnn.config import DetectorConfig
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD

# JSON returns a list for the tuple of classes, so both are accepted.
DESCRIPTION_TYPES: Dict[str, Tuple[type, ...]] = {
    "model": (str,),
    "norm": (str, type(None)),
    "head_norm": (str, type(None)),
    "rescale": (str, type(None)),
    "classes": (list, tuple),
    "config": (dict,),
    "backbone": (str, type(None)),
}


@dataclass(frozen=True)
class ModelSpec:
    """What a file must state so that the same network can be built again.

    ``dataclasses.asdict`` turns it into the dictionary that checkpoints and exports store. A
    ``rescale`` raises InputError beside an ``order``, ``mean`` or ``std`` that is not ImageNet's.

    Attributes
    ----------
    model : str
        The model's name in ``model_zoo``.
    norm : str, optional
        The norm of the backbone; None means the norms that layers of the user brought along.
    head_norm : str, optional
        The norm of neck and heads; None means the model's own choice for ``norm``.
    rescale : str, optional
        The rescale layer in front of the backbone: "normalize", "denormalize" or None.
    classes : tuple of str
        Names of the foreground classes, in the order of their ids.
    config : DetectorConfig
        All other settings.
    backbone : str, optional
        The name of another backbone than the model's own; None means the model's own.
    """

    model: str
    norm: Optional[str]
    head_norm: Optional[str]
    rescale: Optional[str]
    classes: Tuple[str, ...]
    config: DetectorConfig
    backbone: Optional[str] = None

    def __post_init__(self) -> None:
        # The rescale layer has ImageNet's constants in RGB, whatever the settings are.
        config = self.config
        input_constants = (config.order, config.mean, config.std)
        if self.rescale and input_constants != ("RGB", IMAGENET_MEAN, IMAGENET_STD):
            raise InputError(
                f"rescale={self.rescale!r} knows ImageNet's mean and std in RGB only, and"
                f" {self.model!r} has order={config.order!r}, mean={config.mean},"
                f" std={config.std}; leave it out, or order, mean and std as they are"
            )

    def require_one_normalization(self) -> None:
        """Refuse a rescale layer that repeats what the loader does, or undoes what it does not do.

        This is asked where a user chooses, not of files: a network may have been trained so.

        Raises
        ------
        InputError
            ``normalize`` and ``rescale`` do not go together.
        """
        if self.rescale == "normalize" and self.config.normalize:
            raise InputError(
                "normalize=True beside rescale='normalize' normalizes pixels twice; leave out one"
                " of the two"
            )
        if self.rescale == "denormalize" and self.config.normalize is False:
            raise InputError(
                "rescale='denormalize' undoes the normalization of the loader, and normalize=False"
                " leaves that out; leave out both, because the backbone sees raw pixels then"
            )

    @classmethod
    def from_dict(cls, values: Dict[str, Any]) -> "ModelSpec":
        """Rebuild the record from the dictionary that a file stores.

        Parameters
        ----------
        values : dict
            The result of ``dataclasses.asdict``, also after a conversion to JSON and back.

        Returns
        -------
        ModelSpec
            The record.

        Raises
        ------
        InputError
            A key is missing or unknown, or a value is wrong.
        """
        if isinstance(values, dict):
            # Files of version 0.1 do not state it.
            values = {"backbone": None, **values}
        _check_description(values, [field.name for field in fields(cls)])
        return cls(
            model=values["model"],
            norm=values["norm"],
            head_norm=values["head_norm"],
            rescale=values["rescale"],
            classes=check_class_names(values["classes"]),
            config=DetectorConfig().override(**values["config"]),
            backbone=values["backbone"],
        )


def _check_description(values: Any, known: List[str]) -> None:
    """Raise InputError for a missing or unknown key, or a value of a wrong type."""
    if not isinstance(values, dict):
        raise InputError(f"the description of a model is {values!r}; it must be a dictionary")
    missing = [name for name in known if name not in values]
    if missing:
        raise InputError(
            f"the description of a model lacks {', '.join(missing)}; it needs {', '.join(known)}"
        )
    for name, value in values.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"; the keys are {', '.join(known)}"
            raise InputError(f"the description of a model has the unknown key {name!r}{hint}")
        accepted = DESCRIPTION_TYPES[name]
        if not isinstance(value, accepted):
            type_names = " or ".join(type_.__name__ for type_ in accepted)
            raise InputError(
                f"the description of a model has {value!r} as its {name}; it must be {type_names}"
            )
