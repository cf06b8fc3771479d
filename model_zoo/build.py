"""From a name to a network: the only place where backbones meet the two-stage detector."""
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import gluonnorm  # noqa: F401  prepares the process before MXNet is imported
from gluonnorm.backbones import FPN, Backbone, ResNetV1, ResNetV1Top, ResNetV2, ResNetV2Top
from gluonnorm.nn import NORM_NAMES, Norm, make_norm
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
from model_zoo.catalogue import BACKBONES, MODELS, list_models, unknown
from model_zoo.rows.model import Model
from model_zoo.weights import load_pretrained, load_pretrained_base

import mxnet as mx

Context = Union[mx.Context, Sequence[mx.Context], None]
LIVE_NORMS = ("sync_bn", "gn", "sn", "sn_nobn")  # what neck and heads take over from the backbone unless told otherwise


def get_model(name: str, norm: Optional[str] = None, head_norm: Optional[str] = None, rescale: Optional[str] = None,
              classes: Optional[Sequence[str]] = None, pretrained: Union[bool, str] = False,
              pretrained_base: Union[bool, str] = False, ctx: Context = None, **overrides: Any) -> mx.gluon.HybridBlock:
    """Build a detector, or a bare backbone, by its name.

    Parameters
    ----------
    name : one of :func:`list_models`
    norm : frozen_bn, global_bn, bn, sync_bn, gn, sn or sn_nobn, for backbone, neck and heads; None is the model's own,
        which is frozen_bn unless the name says otherwise
    head_norm : a different one for neck and heads. None: a C4 head has the backbone's norm; a pyramid and its heads
        have it if it is sync_bn, gn or sn, and otherwise none
    rescale : None, "denormalize" (the loader normalizes, the backbone wants raw pixels) or "normalize" (the other way)
    classes : names; required by ``*_custom``, replaces those of the data set elsewhere
    pretrained : weights of the whole network: True, the published ones; a key of ``model_zoo.published_weights.PUBLISHED_WEIGHTS``; or a
        file of this package's. With ``classes`` of another number the predictors stay fresh
    pretrained_base : weights of the backbone: True, a key, or a file, see :func:`model_zoo.weights.load_base`
    ctx : where the parameters live; CPU by default
    overrides : fields of :class:`gluonnorm.rcnn.DetectorConfig`, e.g. ``nms_thresh=0.6``

    Returns
    -------
    An initialized :class:`gluonnorm.rcnn.FasterRCNN` or :class:`gluonnorm.rcnn.MaskRCNN`, or a
    :class:`gluonnorm.backbones.Backbone`.

    Raises
    ------
    ValueError, TypeError : a wrong name, value or option, with the nearest right ones
    """
    norm_names = list(NORM_NAMES)
    for value in (norm, head_norm):
        if value is not None and value not in norm_names:
            raise unknown("norm", value, norm_names)
    if rescale is not None and rescale not in DIRECTIONS:
        raise unknown("rescale", rescale, list(DIRECTIONS))
    if name in BACKBONES:
        if overrides or classes is not None or head_norm is not None or pretrained:
            raise TypeError(f"{name!r} is a bare backbone: it takes norm, rescale, pretrained_base and ctx only")
        backbone = _backbone(name, norm or "frozen_bn", 4, rescale)
        backbone.initialize(ctx=ctx)
        if pretrained_base:
            load_pretrained_base(backbone, pretrained_base, name, norm or "frozen_bn")
        return backbone
    if name not in MODELS:
        raise unknown("model", name, list_models())
    model = MODELS[name]
    spec = ModelSpec(model=name, norm=norm or model.norm, head_norm=head_norm, rescale=rescale,
                     classes=_classes(model, classes),
                     config=DetectorConfig(**model.settings).override(**overrides))
    net = from_spec(spec, ctx)
    if pretrained_base:
        load_pretrained_base(net, pretrained_base, model.backbone, spec.norm, name)
    if pretrained:
        load_pretrained(net, pretrained, name, reset=classes is not None)
    frozen = spec.config.freeze_at
    net.backbone.freeze_at(frozen if frozen is not None else 2 * bool(pretrained or pretrained_base))
    return net


def from_spec(spec: Union[ModelSpec, Dict[str, Any]], ctx: Context = None) -> FasterRCNN:
    """Build the network a checkpoint's or an exported file's record describes, initialized at random."""
    if not isinstance(spec, ModelSpec):
        spec = ModelSpec.from_dict(spec)
    if spec.model not in MODELS:
        raise unknown("model", spec.model, sorted(MODELS))
    model, config = MODELS[spec.model], spec.config
    if spec.rescale and (config.order, config.mean, config.std) != ("RGB", IMAGENET_MEAN, IMAGENET_STD):
        raise ValueError(f"rescale={spec.rescale!r} knows ImageNet's mean and std in RGB only, and {spec.model!r} has "
                         "others; leave it out")
    if model.neck == "c4":
        head_norm: Optional[str] = spec.head_norm or spec.norm
        backbone = _backbone(model.backbone, spec.norm, 3, spec.rescale)
        head = Res5Head(*_top(model.backbone, spec.head_norm or spec.norm))
    else:
        head_norm = spec.head_norm or (spec.norm if model.normed or spec.norm in LIVE_NORMS else None)
        norm = None if head_norm is None else make_norm(head_norm)
        trunk = _backbone(model.backbone, spec.norm, 4, spec.rescale)
        backbone = FPN(trunk, config.fpn_channels, norm, model.fpn_extra)
        head = _box_head(model.head, config, norm)
    anchors = len(config.anchor_sizes[0]) * len(config.anchor_ratios)
    rpn = RPNHead(backbone.channels[0], config.rpn_channels, anchors, config.rpn_convs)
    if model.mask_convs is None:
        net = FasterRCNN(backbone, rpn, head, spec)
    else:
        channels = head.channels if model.neck == "c4" else config.fpn_channels
        mask_head = MaskHead(channels, config.mask_channels, len(spec.classes), model.mask_convs,
                             make_norm(head_norm) if head_norm and model.mask_convs else None)
        net = MaskRCNN(backbone, rpn, head, mask_head, spec)
    net.initialize(ctx=ctx)
    return net


def _backbone(name: str, norm: str, stages: int, rescale: Optional[str]) -> Backbone:
    family, depth = _parse(name)
    out_stages = (stages,) if stages == 3 else None  # C4 reads its last map only
    if family == "v2":
        return ResNetV2(depth, make_norm(norm), stages, out_stages, rescale)
    return ResNetV1(depth, family[-1], make_norm(norm), stages, out_stages, rescale)


def _top(name: str, norm: str) -> Tuple[mx.gluon.HybridBlock, int]:
    family, depth = _parse(name)
    if family == "v2":
        top = ResNetV2Top(depth, norm=make_norm(norm))
    else:
        top = ResNetV1Top(depth, variant=family[-1], norm=make_norm(norm))
    return top, top.channels


def _parse(backbone: str) -> Tuple[str, int]:
    resnet, family = backbone.split("_")
    return family, int(resnet[len("resnet"):])


def _box_head(name: str, config: DetectorConfig, norm: Optional[Norm]) -> mx.gluon.HybridBlock:
    if name.endswith("2fc"):
        return TwoFCHead(config.fpn_channels, config.roi_size, pool=name == "pool2fc")
    return ConvFCHead(config.fpn_channels, config.roi_size, norm, num_convs=int(name[0]))


def _classes(model: Model, classes: Optional[Sequence[str]]) -> Tuple[str, ...]:
    if classes is None:
        if model.classes is None:
            raise ValueError(f"{model.name!r} has no classes of its own; give classes=('name', ...)")
        return model.classes
    if isinstance(classes, str) or not classes or len(set(classes)) != len(tuple(classes)):
        raise ValueError(f"classes is {classes!r}; give one or more different names in a sequence")
    return tuple(str(name) for name in classes)
