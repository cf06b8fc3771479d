"""The description of one detector of the catalogue."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.rcnn import DetectorConfig

NECKS = ("c4", "fpn")
C4_HEADS = ("res5", "double")
FPN_HEADS = ("2fc", "pool2fc", "1conv1fc", "4conv1fc", "pool1conv1fc", "pool4conv1fc")
FPN_EXTRAS = ("pool", "conv")


@dataclass(frozen=True)
class Model:
    """A row of the catalogue: the architecture of a detector, its classes and its settings.

    Attributes
    ----------
    name : str
        The name that ``model_zoo.get_model`` takes.
    backbone : str
        The name of the backbone, one of ``model_zoo.catalogue.BACKBONES``.
    neck : str
        "c4": one feature map, of stride 16 for a ResNet; the backbone's last stage is the box head.
        "fpn": a feature pyramid of all maps of the backbone, of strides 4 to 64 for a ResNet.
    head : str
        The box head. With the neck "c4": "res5", the backbone's last stage, or "double", which adds
        a branch for the classes and one for the boxes. With the neck "fpn":
        "2fc", two fully connected layers; "pool2fc", the same after an average pooling of 3x3
        cells (GluonCV's Mask R-CNN); "1conv1fc" or "4conv1fc", convolutions and one fully
        connected layer; "pool1conv1fc" or "pool4conv1fc", the same after that pooling.
    head_with_norm : str or None
        Another box head for the networks whose heads have a norm, with the neck "fpn". None:
        ``head`` serves both.
    classes : tuple of str, or None
        The names of the classes, in the order of their ids. None: the caller has to name them.
    norm : str
        The normalization of the backbone, unless the caller asks for another one.
    fpn_extra : str
        How the pyramid makes its coarsest level: "pool", or "conv" as in GluonCV.
    mask_convs : int or None
        The number of convolutions in the mask head. None: the detector predicts no masks.
    norm_in_heads : bool
        Whether neck and heads have the norm of the backbone, whichever it is. False: they have it
        only if :func:`gluonnorm.nn.used_in_heads` is True for it.
    settings : dict of str to object
        The fields of :class:`gluonnorm.rcnn.DetectorConfig` that differ from its defaults.

    Raises
    ------
    InputError
        A neck, head or extra level that does not exist, a head that does not fit the neck, or a
        setting that does not exist or has a wrong value.

    Examples
    --------
    >>> Model(
    ...     name="mask_rcnn_fpn_resnet18_v1b_custom",
    ...     backbone="resnet18_v1b",
    ...     neck="fpn",
    ...     head="2fc",
    ...     classes=None,
    ...     mask_convs=2,
    ... ).norm
    'frozen_bn'
    """

    name: str
    backbone: str
    neck: str
    head: str
    classes: Optional[Tuple[str, ...]] = None
    norm: str = "frozen_bn"
    fpn_extra: str = "pool"
    mask_convs: Optional[int] = None
    head_with_norm: Optional[str] = None
    norm_in_heads: bool = False
    settings: Dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_choice("neck", NECKS)
        self._check_choice("head", C4_HEADS if self.neck == "c4" else FPN_HEADS)
        if self.head_with_norm is not None:
            self._check_choice("head_with_norm", FPN_HEADS)
        self._check_choice("fpn_extra", FPN_EXTRAS)
        try:
            DetectorConfig().override(**self.settings)
        except InputError as error:
            raise InputError(f"model {self.name!r}: {error}") from error

    def _check_choice(self, field_name: str, choices: Tuple[str, ...]) -> None:
        """Refuse the value of a field that is none of the choices."""
        value = getattr(self, field_name)
        if value in choices:
            return
        raise InputError(
            f"model {self.name!r}: {field_name} is {value!r}{did_you_mean(value, choices) or ';'}"
            f" give one of {', '.join(choices)}"
        )
