"""``get_model``: networks by their names, with the weights and options of a call."""

import warnings
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple, Union

from gluonnorm.backbones import Backbone
from gluonnorm.class_names import check_class_names
from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.nn import STORED_STATISTICS_NORMS, Norm, norm_name
from gluonnorm.rcnn import DetectorConfig, FasterRCNN, ModelSpec
from gluonnorm.types import RESCALE_DIRECTIONS
from model_zoo.backbone_builders import BACKBONES
from model_zoo.build import build_backbone, from_spec
from model_zoo.catalogue import MODELS, list_models
from model_zoo.foreign_parts import Context, initialize
from model_zoo.gluoncv_options import Folder, GluonCVOptions, read_options, transfer_source
from model_zoo.names import find_name
from model_zoo.pretrained import Pretrained, load_pretrained, load_pretrained_base
from model_zoo.rows.model import Model

import mxnet as mx

DEFAULT_NORM = "frozen_bn"
# The stem and the first stage, if freeze_at is None. Random ones must learn: a frozen random stem
# costs about 3 AP (Detectron f8ffc87).
FROZEN_BEHIND_WEIGHTS = 2


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
        ``model_zoo.weights.load_base``. Beside ``pretrained`` or ``transfer``, which bring a
        backbone, True changes nothing, and a key or a file is refused.
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
    _check_choice("rescale", rescale, RESCALE_DIRECTIONS)
    base = _base_to_load(pretrained, pretrained_base, options.transfer)
    weights = _Weights(pretrained, base, options.root)
    if options.transfer is not None:
        return _get_transferred(name, head_norm, rescale, classes, weights, ctx, options)
    if name in BACKBONES:
        _check_backbone_options(name, head_norm, classes, weights, options.settings)
        return _get_backbone(name, options.norm, rescale, weights, ctx)

    spec = _describe(MODELS[name], head_norm, rescale, classes, options)
    net = from_spec(spec, ctx)
    weights.load_into(net, has_own_classes=classes is not None)
    if not weights.are_given:
        warn_of_statistics(net, name)
    elif spec.config.freeze_at is None:
        net.backbone.freeze_at(FROZEN_BEHIND_WEIGHTS)
    return net


class _Weights(NamedTuple):
    """The weights that a call asks for.

    Attributes
    ----------
    complete, base : bool, str or Path
        The arguments ``pretrained`` and ``pretrained_base``, not both.
    folder : str, Path or None
        The folder of downloaded weights.
    """

    complete: Pretrained
    base: Pretrained
    folder: Folder

    @property
    def are_given(self) -> bool:
        """Whether there are any."""
        return bool(self.complete or self.base)

    def load_into(self, net: FasterRCNN, has_own_classes: bool) -> None:
        """Load the weights of the complete network, or of its backbone."""
        spec = net.spec
        model = MODELS[spec.model]
        if self.base:
            backbone = spec.backbone or model.backbone
            norm = spec.norm or model.norm
            load_pretrained_base(net, self.base, backbone, norm, model.name, self.folder)
        if self.complete:
            load_pretrained(net, self.complete, model.name, has_own_classes, self.folder)


def _base_to_load(
    pretrained: Pretrained, pretrained_base: Pretrained, transfer: Optional[str]
) -> Pretrained:
    """Return which weights the backbone gets alone: none if a complete network brings its own."""
    if not pretrained and transfer is None:
        return pretrained_base
    # True is GluonCV's default, and asks for no file in particular.
    if pretrained_base and pretrained_base is not True:
        complete = f"pretrained={pretrained!r}" if pretrained else f"transfer={transfer!r}"
        raise InputError(
            f"pretrained_base is {str(pretrained_base)!r}, and {complete} brings the weights of a "
            "complete network, its backbone included; leave one of them out"
        )
    return False


def _describe(
    model: Model,
    head_norm: Union[str, Norm, None],
    rescale: Optional[str],
    classes: Optional[Sequence[str]],
    options: GluonCVOptions,
) -> ModelSpec:
    """Describe the detector that a call asks for."""
    spec = ModelSpec(
        model=model.name,
        norm=_name_or_none(options.norm) or model.norm,
        head_norm=_name_or_none(head_norm, "head_norm"),
        rescale=rescale,
        classes=choose_classes(model.name, model.classes, classes),
        config=DetectorConfig(**model.settings).override(**options.settings),
        backbone=options.base_network,
    )
    spec.require_one_normalization()
    return spec


def _name_or_none(norm: Union[str, Norm, None], option: str = "norm") -> Optional[str]:
    """Return the name of a norm; None if the caller gave none."""
    return None if norm is None else norm_name(norm, option)


def _get_transferred(
    name: str,
    head_norm: Union[str, Norm, None],
    rescale: Optional[str],
    classes: Optional[Sequence[str]],
    weights: _Weights,
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
        pretrained=weights.complete or True,
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


def _check_backbone_options(
    name: str,
    head_norm: Union[str, Norm, None],
    classes: Optional[Sequence[str]],
    weights: _Weights,
    settings: Dict[str, Any],
) -> None:
    """Refuse the options of a call that only a detector can use."""
    unusable = list(settings)
    if head_norm is not None:
        unusable.append("head_norm")
    if classes is not None:
        unusable.append("classes")
    if weights.complete:
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
            raise InputError(
                f"{name!r} has no classes of its own; give classes=('name', ...), in a script "
                "--classes NAME ..."
            )
        return tuple(own_classes)
    return check_class_names(classes)


def _get_backbone(
    name: str,
    norm: Union[str, Norm, None],
    rescale: Optional[str],
    weights: _Weights,
    ctx: Context,
) -> Backbone:
    """Build a bare backbone with all stages, and load its weights if the caller asks for it."""
    its_norm = _name_or_none(norm) or DEFAULT_NORM
    backbone = build_backbone(name, None, its_norm, its_norm, rescale).backbone
    initialize(backbone, ctx)
    if weights.base:
        load_pretrained_base(backbone, weights.base, name, its_norm, folder=weights.folder)
    return backbone
