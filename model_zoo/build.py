"""Networks from names: the only place where backbones meet the two-stage detector."""

import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import gluonnorm  # noqa: F401  prepares the process before MXNet is imported
from gluonnorm.backbones import FPN, Backbone
from gluonnorm.class_names import check_class_names
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.nn import Norm, make_norm, norm_name, used_in_heads
from gluonnorm.nn.rescale import DIRECTIONS
from gluonnorm.rcnn import BlockHead, DetectorConfig, FasterRCNN, ModelSpec
from gluonnorm.types import IMAGENET_MEAN, IMAGENET_STD
from model_zoo.assemble import DetectorParts, as_double_head, assemble, build_fpn_box_head
from model_zoo.backbone_builders import BACKBONES, BackboneParts, BackboneRequest
from model_zoo.catalogue import MODELS, check_backbone, list_models, unknown_model
from model_zoo.foreign_parts import initialize, top_as_box_head
from model_zoo.gluoncv_options import GluonCVOptions, read_options, transfer_source
from model_zoo.names import find_name
from model_zoo.rows.model import Model
from model_zoo.weights import load_pretrained, load_pretrained_base

import mxnet as mx

Context = Union[mx.Context, Sequence[mx.Context], None]
Pretrained = Union[bool, str, Path]
DEFAULT_NORM = "frozen_bn"
# Norms that compute with stored statistics, which a network without weights does not have.
STORED_STATISTICS_NORMS = ("frozen_bn", "global_bn")
# The names in the description of a network that was made of parts, which no file holds.
FASTER_RCNN_FROM_PARTS = "faster_rcnn_from_parts"
MASK_RCNN_FROM_PARTS = "mask_rcnn_from_parts"


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
        One of :func:`list_models`, in upper or lower case.
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
        Fields of :class:`gluonnorm.rcnn.DetectorConfig`, for example ``nms_thresh=0.6``, and
        GluonCV's keywords. ``transfer="coco"`` starts a ``*_custom`` model from the detector of
        that data set, whose settings it has, and takes over the predictors of classes with the
        same names. ``root`` is the folder of downloaded weights. ``norm_layer``, ``norm_kwargs``
        and ``use_global_stats`` choose the norm. ``base_network_name`` chooses the backbone of
        ``custom_faster_rcnn_fpn`` and ``custom_mask_rcnn_fpn``. For other keywords the error says
        what is given instead.

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
    name = find_name(name, list_models())
    options = read_options(overrides, norm, name, is_backbone=name in BACKBONES)
    if options.transfer is not None:
        return _get_transferred(name, head_norm, rescale, classes, pretrained, ctx, options)
    norm = None if options.norm is None else norm_name(options.norm)
    head_norm = None if head_norm is None else norm_name(head_norm, "head_norm")
    _check_choice("rescale", rescale, DIRECTIONS)
    if name in BACKBONES:
        _check_backbone_options(name, head_norm, classes, pretrained, options.settings)
        norm = norm or DEFAULT_NORM
        return _get_backbone(name, norm, rescale, pretrained_base, ctx, options.root)

    model = MODELS[name]
    spec = ModelSpec(
        model=name,
        norm=norm or model.norm,
        head_norm=head_norm,
        rescale=rescale,
        classes=choose_classes(model.name, model.classes, classes),
        config=DetectorConfig(**model.settings).override(**options.settings),
        backbone=options.base_network,
    )
    net = from_spec(spec, ctx)
    # Weights of the complete network come last, because they replace weights of the backbone.
    if pretrained_base:
        load_pretrained_base(
            net,
            pretrained_base,
            spec.backbone or model.backbone,
            norm or model.norm,
            name,
            options.root,
        )
    if pretrained:
        load_pretrained(net, pretrained, name, classes is not None, options.root)
    has_weights = bool(pretrained or pretrained_base)
    _freeze_backbone(net, has_weights)
    if not has_weights:
        warn_of_statistics(net, name)
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
    if spec.model in (FASTER_RCNN_FROM_PARTS, MASK_RCNN_FROM_PARTS):
        raise InputError(
            "this network was made of parts, which no file holds; make it again with "
            "model_zoo.get_faster_rcnn or get_mask_rcnn and load the weights into it, or register "
            "the parts as a backbone and a model (docs/extending.md)"
        )
    if spec.model not in MODELS:
        raise unknown_model(spec.model, MODELS)
    _check_rescale(spec)

    model = MODELS[spec.model]
    norm = spec.norm or model.norm
    parts = _c4_parts(model, spec, norm) if model.neck == "c4" else _fpn_parts(model, spec, norm)
    return assemble(parts, spec, model.mask_convs, ctx)


def _get_transferred(
    name: str,
    head_norm: Union[str, Norm, None],
    rescale: Optional[str],
    classes: Optional[Sequence[str]],
    pretrained: Pretrained,
    ctx: Context,
    options: GluonCVOptions,
) -> mx.gluon.HybridBlock:
    """Build the detector of another data set with its weights, and give it the caller's classes."""
    source = transfer_source(name, str(options.transfer), options)
    class_names = choose_classes(name, MODELS[name].classes, classes)
    net = get_model(
        source,
        options.norm,
        head_norm,
        rescale,
        pretrained=pretrained or True,
        ctx=ctx,
        root=options.root,
        **options.settings,
    )
    net.reset_class(class_names, reuse_weights=True)
    return net


def warn_of_statistics(net: FasterRCNN, name: str) -> None:
    """Warn if the norms of a network compute with stored statistics that nothing has set.

    Parameters
    ----------
    net : FasterRCNN
        The initialized network. Layers of the user may have brought statistics along.
    name : str
        Its name, for the message.
    """
    if net.spec.norm not in STORED_STATISTICS_NORMS:
        return
    means = []
    for parameter_name, parameter in net.backbone._collect_params_with_prefix().items():
        if parameter_name.endswith("running_mean"):
            means.append(parameter.list_data()[0])
    if not means or any(mean.asnumpy().any() for mean in means):
        return
    warnings.warn(
        f"{name} has no weights yet: norm={net.spec.norm!r} computes with stored statistics, which"
        " stand for nothing until weights are loaded; give pretrained or pretrained_base, load"
        " weights, or train with norm='gn'",
        stacklevel=3,
    )


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


def _check_backbone_options(
    name: str,
    head_norm: Optional[str],
    classes: Optional[Sequence[str]],
    pretrained: Pretrained,
    overrides: Dict[str, Any],
) -> None:
    """Refuse the options of a call that only a detector can use."""
    unusable = list(overrides)
    if head_norm is not None:
        unusable.append("head_norm")
    if classes is not None:
        unusable.append("classes")
    if pretrained:
        unusable.append("pretrained")
    if unusable:
        raise InputError(
            f"{name!r} is a bare backbone: it takes norm, rescale, pretrained_base and ctx"
            f" only, not {', '.join(unusable)}"
        )


def choose_classes(
    name: str, own_classes: Optional[Sequence[str]], classes: Optional[Sequence[str]]
) -> Tuple[str, ...]:
    """Return the caller's classes, or else the model's own.

    Parameters
    ----------
    name : str
        The name of the model, for messages.
    own_classes : sequence of str or None
        The classes of the model; None if it has none.
    classes : sequence of str or None
        What the caller gave.

    Returns
    -------
    tuple of str
        The classes, in the order of their ids.

    Raises
    ------
    InputError
        There are no classes, or two have one name.
    """
    if classes is None:
        if own_classes is None:
            raise InputError(f"{name!r} has no classes of its own; give classes=('name', ...)")
        return tuple(own_classes)
    return check_class_names(classes)


def _get_backbone(
    name: str,
    norm: str,
    rescale: Optional[str],
    pretrained_base: Pretrained,
    ctx: Context,
    folder: Union[str, Path, None],
) -> Backbone:
    """Build a bare backbone with all stages, and load its weights if the caller asks for it."""
    backbone = _build_backbone(name, None, norm, norm, rescale).backbone
    initialize(backbone, ctx)
    if pretrained_base:
        load_pretrained_base(backbone, pretrained_base, name, norm, folder=folder)
    return backbone


def _freeze_backbone(net: FasterRCNN, has_weights: bool) -> None:
    """Freeze what the configuration names, or else the stem and first stage of loaded weights."""
    freeze_at = net.config.freeze_at
    if freeze_at is None:
        # Random stages must learn: a frozen random stem costs about 3 AP (Detectron f8ffc87).
        freeze_at = 2 if has_weights else 0
    net.backbone.freeze_at(freeze_at)


def _build_backbone(
    name: str, neck: Optional[str], norm: str, top_norm: str, rescale: Optional[str]
) -> BackboneParts:
    """Build the backbone of a name, with the layers for a C4 box head if the neck is "c4"."""
    check_backbone(name)
    make = make_norm(norm)
    make_top = make if top_norm == norm else make_norm(top_norm)
    return BACKBONES[name](BackboneRequest(neck, make, make_top, rescale))


def _c4_parts(model: Model, spec: ModelSpec, norm: str) -> DetectorParts:
    """Build a backbone with one map, and a box head from the last stage of the backbone."""
    head_norm = spec.head_norm or norm
    backbone, top = _build_backbone(
        spec.backbone or model.backbone, "c4", norm, head_norm, spec.rescale
    )
    has_masks = model.mask_convs is not None
    box_head = top_as_box_head(top, backbone, spec.config, has_masks)
    if model.head == "double":
        box_head = as_double_head(box_head, spec.config)
    return c4_detector_parts(backbone, box_head, make_norm(head_norm))


def _fpn_parts(model: Model, spec: ModelSpec, norm: str) -> DetectorParts:
    """Build a backbone with a pyramid, and a box head for RoIs of its levels."""
    config = spec.config
    name = spec.backbone or model.backbone
    maps = _build_backbone(name, "fpn", norm, norm, spec.rescale).backbone
    head_norm = choose_head_norm(norm, spec.head_norm, model.norm_in_heads)
    head = model.head if head_norm is None else model.head_with_norm or model.head
    return DetectorParts(
        backbone=FPN(maps, config.fpn_channels, head_norm, model.fpn_extra),
        box_head=build_fpn_box_head(head, config, head_norm),
        mask_channels=config.fpn_channels,
        head_norm=head_norm,
    )


def c4_detector_parts(
    backbone: Backbone, box_head: mx.gluon.HybridBlock, head_norm: Optional[Norm]
) -> DetectorParts:
    """Collect the parts of a detector with one map.

    Parameters
    ----------
    backbone : Backbone
        Images to one map.
    box_head : HybridBlock
        The box head; a mask head reads what it shares.
    head_norm : Norm or None
        The norm of a mask head.

    Returns
    -------
    DetectorParts
        The parts.
    """
    shares_nothing = isinstance(box_head, BlockHead)
    mask_channels = backbone.channels[0] if shares_nothing else box_head.channels
    return DetectorParts(backbone, box_head, mask_channels, head_norm)


def choose_head_norm(
    norm: Optional[str], head_norm: Optional[str], norm_in_heads: bool = False
) -> Optional[Norm]:
    """Choose the norm of a pyramid and its heads: the caller's, the backbone's, or none.

    Parameters
    ----------
    norm : str or None
        The norm of the backbone; None if layers of the user brought it along.
    head_norm : str or None
        What the caller asks for.
    norm_in_heads : bool
        Whether the heads have the backbone's norm, whichever it is.

    Returns
    -------
    Norm or None
        Makes the norms; None: convolutions with biases.
    """
    if head_norm:
        return make_norm(head_norm)
    if norm and (norm_in_heads or used_in_heads(norm)):
        return make_norm(norm)
    return None
