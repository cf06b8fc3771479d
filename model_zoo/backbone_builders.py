"""Backbones by name: the ResNets of the package, those of GluonCV, and those that a user registers.

A builder answers a :class:`BackboneRequest` with :class:`BackboneParts`.
"""

import functools
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple, Union

from gluonnorm.backbones import Backbone, ResNetV1, ResNetV1Top, ResNetV2, ResNetV2Top
from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late
from gluonnorm.nn import Norm, count_norms, replace_norms
from gluonnorm.registry import Registry
from model_zoo.foreign_parts import as_backbone

from mxnet.gluon import HybridBlock

BACKBONE_DEPTHS = {
    "v1a": (50, 101, 152),
    "v1b": (18, 34, 50, 101, 152),
    "v1d": (18, 34, 50, 101, 152),
    "v2": (18, 34, 50, 101),
}
C4_STAGES = 3  # the fourth stage of the ResNet is the box head
ALL_STAGES = 4
# Backbones with layers of GluonCV, and the module that builds them. It imports GluonCV, so it is
# loaded when the first of them is built.
GLUONCV_MODULE = "model_zoo.gluoncv_backbones"
GLUONCV_BACKBONES = ("mobilenet1_0", "resnest50", "resnest101", "resnest269")
# What a builder of the user returns: a backbone, layers, or layers and what follows RoIAlign.
Built = Union[HybridBlock, Tuple[HybridBlock, HybridBlock]]
Build = Callable[[Norm], Built]


class BackboneRequest(NamedTuple):
    """What a detector wants of a backbone.

    Attributes
    ----------
    neck : str or None
        "c4": one map, and a top for the box head. "fpn": the maps of a pyramid. None: all maps,
        for a bare backbone.
    norm : Norm
        Makes the norms of the backbone.
    top_norm : Norm
        Makes the norms of the top.
    rescale : str or None
        The rescale layer in front.
    """

    neck: Optional[str]
    norm: Norm
    top_norm: Norm
    rescale: Optional[str]


class BackboneParts(NamedTuple):
    """A backbone, and the layers after RoIAlign that belong to it.

    Attributes
    ----------
    backbone : Backbone
        Images to maps.
    top : mxnet.gluon.HybridBlock or None
        The last stage, which is the box head of a detector with one map; None for a pyramid.
    """

    backbone: Backbone
    top: Optional[HybridBlock] = None


Builder = Callable[[BackboneRequest], BackboneParts]


def register_backbone(name: str, build: Build) -> None:
    """Give a backbone of your own a name, for rows of the catalogue and for ``get_model``.

    Files store the name alone: import the module that registers it before a file is opened, in a
    script with ``--plugin MODULE``.

    Parameters
    ----------
    name : str
        The name, such as "my_backbone".
    build : callable
        Called as ``build(norm)``, where ``norm(channels)`` makes a layer of the norm that was
        chosen for the network. It returns one of these, each time with new layers:

        - a :class:`gluonnorm.backbones.Backbone`, such as a ``TappedBackbone``, for the neck
          "fpn";
        - two blocks ``(features, top_features)``, for the neck "c4": images to one map, and the
          features of a RoI to those of the box predictor.

        It makes its norms with ``norm``, or hands a network to
        :func:`gluonnorm.nn.replace_norms`.

    Raises
    ------
    InputError
        The name stands for another backbone already, or ``build`` cannot be called.

    Examples
    --------
    >>> from gluonnorm.nn import replace_norms
    >>> from mxnet.gluon.model_zoo import vision
    >>> def resnet_features(norm):
    ...     features = vision.resnet18_v1().features
    ...     replace_norms(features, norm)
    ...     return features[:7], features[7:8]
    >>> register_backbone("gluon_resnet18", resnet_features)  # doctest: +SKIP
    """
    if not callable(build):
        raise InputError(f"backbone {name!r} is {build!r}; give a callable build(norm)")
    BACKBONES.register(name, functools.partial(_build_of_user, name, build))


def _build_of_user(name: str, build: Build, request: BackboneRequest) -> BackboneParts:
    """Build what a function of the user returns, and check it."""
    if request.rescale:
        raise InputError(
            f"rescale={request.rescale!r} is for the ResNets of this package; let backbone "
            f"{name!r} begin with gluonnorm.nn.Rescale instead"
        )
    norm = _CountedNorm(request.norm)
    built = build(norm)
    features, top = built if isinstance(built, tuple) else (built, None)
    backbone = as_backbone(features)
    _check_norms(name, backbone, norm)
    if request.neck != "c4":
        return BackboneParts(backbone)
    if top is None:
        raise InputError(
            f"backbone {name!r} has no layers for the box head of the neck 'c4'; let its function "
            "return (features, top_features), or use the neck 'fpn'"
        )
    _check_norms(name, top, norm)
    if request.top_norm is not request.norm:
        replace_norms(top, request.top_norm)
    return BackboneParts(backbone, top)


def _check_norms(name: str, part: HybridBlock, norm: "_CountedNorm") -> None:
    """Refuse a part whose norms are not those that a file will name."""
    num_norms = count_norms(part)
    if norm.count or not num_norms:
        return
    raise InputError(
        f"backbone {name!r} has {num_norms} norms, and made none of them with the norm that it was "
        "given, so a file would name the wrong norm; let its function make them with "
        "norm(channels), or call gluonnorm.nn.replace_norms(features, norm)"
    )


class _CountedNorm:
    """A norm that counts how many layers it made."""

    def __init__(self, norm: Norm) -> None:
        self.norm = norm
        self.count = 0

    def __call__(self, channels: int, **settings: Any) -> HybridBlock:
        self.count += 1
        return self.norm(channels, **settings)


def _build_resnet(variant: str, depth: int, request: BackboneRequest) -> BackboneParts:
    """Build a ResNet; for the neck "c4", its fourth stage is the top."""
    stages = C4_STAGES if request.neck == "c4" else ALL_STAGES
    # A C4 detector reads the map of stride 16 only; a pyramid reads the maps of all stages.
    out_stages = (stages,) if request.neck == "c4" else None
    backbone: Backbone
    if variant == "v2":
        backbone = ResNetV2(depth, request.norm, stages, out_stages, request.rescale)
    else:
        backbone = ResNetV1(depth, variant[-1], request.norm, stages, out_stages, request.rescale)
    if request.neck != "c4":
        return BackboneParts(backbone)
    if variant == "v2":
        return BackboneParts(backbone, ResNetV2Top(depth, norm=request.top_norm))
    return BackboneParts(backbone, ResNetV1Top(depth, variant=variant[-1], norm=request.top_norm))


def _build_of_gluoncv(name: str, request: BackboneRequest) -> BackboneParts:
    """Build a backbone with layers of GluonCV, which is imported now and not before."""
    module = import_late(
        GLUONCV_MODULE,
        InputError,
        f"backbone {name!r} is made of GluonCV's layers, and GluonCV cannot be imported",
        "install it with pip install gluoncv",
    )
    return _build_of_user(name, module.BUILDERS[name], request)


def _name_backbones() -> Dict[str, Builder]:
    """Name every backbone, for example "resnet50_v1b"."""
    builders: Dict[str, Builder] = {}
    for variant, depths in BACKBONE_DEPTHS.items():
        for depth in depths:
            name = f"resnet{depth}_{variant}"
            builders[name] = functools.partial(_build_resnet, variant, depth)
    for name in GLUONCV_BACKBONES:
        builders[name] = functools.partial(_build_of_gluoncv, name)
    return builders


BACKBONES: Registry[Builder] = Registry("backbone", _name_backbones())
