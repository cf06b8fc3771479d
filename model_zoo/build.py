"""Networks from names: the only place where backbones meet the two-stage detector."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import gluonnorm  # noqa: F401  prepares the process before MXNet is imported
from gluonnorm.backbones import FPN, Backbone, ResNetV1, ResNetV1Top, ResNetV2, ResNetV2Top
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.nn import Norm, make_norm, norm_name, used_in_heads
from gluonnorm.nn.rescale import DIRECTIONS
from gluonnorm.rcnn import (
    ConvFCHead,
    DetectorConfig,
    FasterRCNN,
    MaskHead,
    MaskRCNN,
    ModelSpec,
    Res5Head,
    RPNHead,
    TwoFCHead,
)
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
from model_zoo.catalogue import BACKBONES, MODELS, list_models, unknown_model
from model_zoo.rows.model import Model
from model_zoo.weights import load_pretrained, load_pretrained_base

import mxnet as mx

Context = Union[mx.Context, Sequence[mx.Context], None]
Pretrained = Union[bool, str, Path]
DEFAULT_NORM = "frozen_bn"
C4_STAGES = 3  # the fourth stage of the ResNet is the box head
ALL_STAGES = 4


class _DetectorParts(NamedTuple):
    """What depends on the neck of a detector: its backbone, its box head and the heads' norm.

    Attributes
    ----------
    backbone : Backbone
        The ResNet, with a pyramid if the neck is "fpn".
    box_head : HybridBlock
        RoI features in, features of the box predictor out.
    mask_channels : int
        The number of channels that a mask head reads.
    head_norm : Norm or None
        The norm in the heads; None: convolutions with biases.
    """

    backbone: Backbone
    box_head: mx.gluon.HybridBlock
    mask_channels: int
    head_norm: Optional[Norm]


def get_model(
    name: str,
    norm: Union[str, Norm, None] = None,
    head_norm: Union[str, Norm, None] = None,
    rescale: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    pretrained: Pretrained = False,
    pretrained_base: Pretrained = False,
    ctx: Context = None,
    **overrides: Any,
) -> mx.gluon.HybridBlock:
    """Build a detector, or a bare backbone, by its name.

    Parameters
    ----------
    name : str
        One of :func:`list_models`.
    norm : str, callable or None
        The normalization of backbone, neck and heads: "frozen_bn", "global_bn", "bn", "sync_bn",
        "gn", "sn", "sn_nobn", or a norm of your own, by its registered name or as a callable; see
        :func:`gluonnorm.nn.register_norm`. None: the norm of the row, which is "frozen_bn" for
        most names.
    head_norm : str, callable or None
        Another norm for neck and heads. None: the head of a C4 detector has the backbone's norm;
        a pyramid and its heads have it if :func:`gluonnorm.nn.used_in_heads` is True for it or
        the row has norms in its heads, and otherwise they have no norm.
    rescale : str or None
        "denormalize": the loader normalizes, but the backbone was trained on raw pixels.
        "normalize": the loader passes raw pixels, but the backbone was trained on normalized
        ones. None: loader and backbone agree.
    classes : sequence of str, or None
        The names of the classes, in the order of their ids. A ``*_custom`` model needs them;
        elsewhere they replace the classes of the data set.
    pretrained : bool, str or Path
        The weights of the complete network: True for the published file; a key of
        ``model_zoo.published_weights.PUBLISHED_WEIGHTS``; or a file written by this package. If
        ``classes`` has another length than in the published file, the predictors stay random.
    pretrained_base : bool, str or Path
        The weights of the backbone: True, a key, or a file for
        :func:`model_zoo.weights.load_base`.
    ctx : mxnet.Context, sequence of them, or None
        The devices of the parameters; None is the CPU.
    **overrides
        Fields of :class:`gluonnorm.rcnn.DetectorConfig`, for example ``nms_thresh=0.6``.

    Returns
    -------
    HybridBlock
        An initialized :class:`gluonnorm.rcnn.FasterRCNN` or :class:`gluonnorm.rcnn.MaskRCNN`;
        for the name of a backbone a :class:`gluonnorm.backbones.Backbone`.

    Raises
    ------
    InputError
        A wrong name, value or option, or weights that do not fit.
    DownloadError
        A published file that cannot be fetched.

    Examples
    --------
    >>> net = get_model("faster_rcnn_resnet18_v1b_custom", norm="gn", classes=("red", "white"))
    >>> net.classes
    ('red', 'white')
    >>> net = get_model("mask_rcnn_fpn_resnet50_v1b_coco", pretrained=True)  # doctest: +SKIP
    """
    norm = None if norm is None else norm_name(norm)
    head_norm = None if head_norm is None else norm_name(head_norm, "head_norm")
    _check_choice("rescale", rescale, DIRECTIONS)
    if name in BACKBONES:
        unusable = _unusable_for_backbone(head_norm, classes, pretrained, overrides)
        if unusable:
            raise InputError(
                f"{name!r} is a bare backbone: it takes norm, rescale, pretrained_base and ctx"
                f" only, not {', '.join(unusable)}"
            )
        return _get_backbone(name, norm or DEFAULT_NORM, rescale, pretrained_base, ctx)
    if name not in MODELS:
        raise unknown_model(name, list_models())

    model = MODELS[name]
    spec = ModelSpec(
        model=name,
        norm=norm or model.norm,
        head_norm=head_norm,
        rescale=rescale,
        classes=_choose_classes(model, classes),
        config=DetectorConfig(**model.settings).override(**overrides),
    )
    net = from_spec(spec, ctx)
    # Weights of the complete network come last, because they replace weights of the backbone.
    if pretrained_base:
        load_pretrained_base(net, pretrained_base, model.backbone, spec.norm, name)
    if pretrained:
        load_pretrained(net, pretrained, name, reset=classes is not None)
    _freeze_backbone(net, has_weights=bool(pretrained or pretrained_base))
    return net


def from_spec(spec: Union[ModelSpec, Dict[str, Any]], ctx: Context = None) -> FasterRCNN:
    """Build the network that a checkpoint or an exported file describes, with random weights.

    Parameters
    ----------
    spec : ModelSpec or dict
        The description, or ``dataclasses.asdict`` of it, also after a trip through JSON.
    ctx : mxnet.Context, sequence of them, or None
        The devices of the parameters; None is the CPU.

    Returns
    -------
    FasterRCNN
        The initialized network; a :class:`gluonnorm.rcnn.MaskRCNN` if the model has a mask head.

    Raises
    ------
    InputError
        A model, norm or setting that this version does not know, or settings that do not fit
        each other.

    Examples
    --------
    >>> net = get_model("faster_rcnn_resnet18_v1b_custom", classes=("red", "white"))
    >>> again = from_spec(net.spec)
    >>> again.spec == net.spec
    True
    """
    if not isinstance(spec, ModelSpec):
        spec = ModelSpec.from_dict(spec)
    if spec.model not in MODELS:
        raise unknown_model(spec.model, MODELS)
    _check_rescale(spec)

    model = MODELS[spec.model]
    config = spec.config
    parts = _c4_parts(model, spec) if model.neck == "c4" else _fpn_parts(model, spec)
    # All levels have equally many anchors in a cell, because they share the weights of the RPN.
    anchors_per_cell = len(config.anchor_sizes[0]) * len(config.anchor_ratios)
    rpn_head = RPNHead(
        parts.backbone.channels[0],
        config.rpn_channels,
        anchors_per_cell,
        config.rpn_convs,
    )
    if model.mask_convs is None:
        net = FasterRCNN(parts.backbone, rpn_head, parts.box_head, spec)
    else:
        mask_head = _build_mask_head(model.mask_convs, parts, spec)
        net = MaskRCNN(parts.backbone, rpn_head, parts.box_head, mask_head, spec)
    net.initialize(ctx=ctx)
    return net


def _check_choice(option: str, value: Optional[str], choices: Sequence[str]) -> None:
    """Refuse the value of an option that is neither None nor one of the choices."""
    if value is None or value in choices:
        return
    suggestion = did_you_mean(value, choices) or ";"
    raise InputError(f"no {option} {value!r}{suggestion} give one of {', '.join(choices)}")


def _check_rescale(spec: ModelSpec) -> None:
    """Refuse a rescale layer for input that has other constants than the layer's own."""
    input_constants = (spec.config.order, spec.config.mean, spec.config.std)
    if spec.rescale and input_constants != ("RGB", IMAGENET_MEAN, IMAGENET_STD):
        raise InputError(
            f"rescale={spec.rescale!r} knows ImageNet's mean and std in RGB only, and"
            f" {spec.model!r} has others; leave it out"
        )


def _unusable_for_backbone(
    head_norm: Optional[str],
    classes: Optional[Sequence[str]],
    pretrained: Pretrained,
    overrides: Dict[str, Any],
) -> List[str]:
    """Name the options of a call that only a detector can use."""
    unusable = list(overrides)
    if head_norm is not None:
        unusable.append("head_norm")
    if classes is not None:
        unusable.append("classes")
    if pretrained:
        unusable.append("pretrained")
    return unusable


def _choose_classes(model: Model, classes: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """Return the caller's classes, or else the row's."""
    if classes is None:
        if model.classes is None:
            raise InputError(
                f"{model.name!r} has no classes of its own; give classes=('name', ...)"
            )
        return model.classes
    if isinstance(classes, str) or not classes or len(set(classes)) != len(classes):
        raise InputError(f"classes is {classes!r}; give one or more different names in a sequence")
    return tuple(str(name) for name in classes)


def _get_backbone(
    name: str, norm: str, rescale: Optional[str], pretrained_base: Pretrained, ctx: Context
) -> Backbone:
    """Build a bare backbone with all stages, and load its weights if the caller asks for it."""
    backbone = _build_backbone(name, norm, ALL_STAGES, rescale)
    backbone.initialize(ctx=ctx)
    if pretrained_base:
        load_pretrained_base(backbone, pretrained_base, name, norm)
    return backbone


def _freeze_backbone(net: FasterRCNN, has_weights: bool) -> None:
    """Freeze what the configuration names, or else the stem and first stage of loaded weights."""
    freeze_at = net.config.freeze_at
    if freeze_at is None:
        # Random stages must learn: a frozen random stem costs about 3 AP (Detectron f8ffc87).
        freeze_at = 2 if has_weights else 0
    net.backbone.freeze_at(freeze_at)


def _c4_parts(model: Model, spec: ModelSpec) -> _DetectorParts:
    """Build a backbone that ends at stride 16, and a box head from the last stage of the ResNet."""
    head_norm = make_norm(spec.head_norm or spec.norm)
    backbone = _build_backbone(model.backbone, spec.norm, C4_STAGES, spec.rescale)
    fourth_stage = _build_fourth_stage(model.backbone, head_norm)
    box_head = Res5Head(fourth_stage, fourth_stage.channels)
    return _DetectorParts(
        backbone=backbone,
        box_head=box_head,
        mask_channels=box_head.channels,
        head_norm=head_norm,
    )


def _fpn_parts(model: Model, spec: ModelSpec) -> _DetectorParts:
    """Build a backbone with a pyramid, and a box head for RoIs of its levels."""
    config = spec.config
    resnet = _build_backbone(model.backbone, spec.norm, ALL_STAGES, spec.rescale)
    head_norm = _choose_fpn_head_norm(model, spec)
    backbone = FPN(resnet, config.fpn_channels, head_norm, model.fpn_extra)
    return _DetectorParts(
        backbone=backbone,
        box_head=_build_fpn_box_head(model.head, config, head_norm),
        mask_channels=config.fpn_channels,
        head_norm=head_norm,
    )


def _choose_fpn_head_norm(model: Model, spec: ModelSpec) -> Optional[Norm]:
    """Choose the norm of a pyramid and its heads: the caller's, the backbone's, or none."""
    if spec.head_norm:
        return make_norm(spec.head_norm)
    if model.norm_in_heads or used_in_heads(spec.norm):
        return make_norm(spec.norm)
    return None


def _build_backbone(name: str, norm: str, stages: int, rescale: Optional[str]) -> Backbone:
    """Build a ResNet with its first stages; without the fourth it returns its last map only."""
    variant, depth = _parse_backbone(name)
    # A C4 detector reads the map of stride 16 only; a pyramid reads the maps of all stages.
    out_stages = (stages,) if stages == C4_STAGES else None
    if variant == "v2":
        return ResNetV2(depth, make_norm(norm), stages, out_stages, rescale)
    return ResNetV1(depth, variant[-1], make_norm(norm), stages, out_stages, rescale)


def _build_fourth_stage(backbone_name: str, norm: Norm) -> mx.gluon.HybridBlock:
    """Build the fourth stage of a ResNet, which is the box head of a C4 detector."""
    variant, depth = _parse_backbone(backbone_name)
    if variant == "v2":
        return ResNetV2Top(depth, norm=norm)
    return ResNetV1Top(depth, variant=variant[-1], norm=norm)


def _parse_backbone(name: str) -> Tuple[str, int]:
    """Split "resnet50_v1b" into ("v1b", 50)."""
    resnet, variant = name.split("_")
    depth = int(resnet[len("resnet") :])
    return variant, depth


def _build_fpn_box_head(
    head: str, config: DetectorConfig, norm: Optional[Norm]
) -> mx.gluon.HybridBlock:
    """Build the box head that a row names, for example "2fc" or "4conv1fc"."""
    if head.endswith("2fc"):
        return TwoFCHead(config.fpn_channels, config.roi_size, pool=head == "pool2fc")
    return ConvFCHead(config.fpn_channels, config.roi_size, norm, num_convs=int(head[0]))


def _build_mask_head(num_convs: int, parts: _DetectorParts, spec: ModelSpec) -> MaskHead:
    """Build the mask head; without convolutions of its own (C4) there is nothing to normalize."""
    return MaskHead(
        parts.mask_channels,
        spec.config.mask_channels,
        len(spec.classes),
        num_convs,
        parts.head_norm if num_convs else None,
    )
