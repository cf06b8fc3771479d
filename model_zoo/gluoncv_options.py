"""The keywords of GluonCV's factory functions: what they mean here, or what is to be called."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union

from gluonnorm.errors import InputError, did_you_mean
from gluonnorm.nn import Norm
from gluonnorm.rcnn import DetectorConfig
from model_zoo.catalogue import MODELS

NormChoice = Union[str, Norm, None]
Folder = Union[str, Path, None]

OWN_OPTIONS = (
    "norm",
    "head_norm",
    "rescale",
    "classes",
    "pretrained",
    "pretrained_base",
    "ctx",
    "transfer",
    "root",
    "norm_layer",
    "norm_kwargs",
    "use_global_stats",
    "base_network_name",
)
# How the names of the models begin whose backbone GluonCV's callers choose.
CUSTOM_PREFIX = "custom_"
# Keywords that change nothing here: any batch size, any number of devices, of boxes, of anchors.
WITHOUT_EFFECT = (
    "per_device_batch_size",
    "num_devices",
    "max_num_gt",
    "alloc_size",
    "minimal_opset",
)
# Keywords that are called otherwise here.
RENAMED = {
    "class": "classes",
    "class_names": "classes",
    "labels": "classes",
    "num_class": "classes",
    "num_classes": "classes",
    "post_nms": "max_detections",
    "rcnn_max_dets": "max_detections",
    "clip": "delta_clip",
    "rpn_channel": "rpn_channels",
    "ratios": "anchor_ratios",
    "scales": "anchor_sizes, base_size times scale in pixels for each map",
    "base_size": "anchor_sizes, base_size times scale in pixels for each map",
    "num_fpn_filters": "fpn_channels",
    "target_roi_scale": "mask_roi_size",
    "image_short": "short",
    "image_max_size": "max_size",
    "rpn_smoothl1_rho": "rpn_smoothl1_beta",
    "rcnn_smoothl1_rho": "rcnn_smoothl1_beta",
    "train_patterns": "freeze_at, the number of stages that do not learn",
    "sym_norm_layer": "head_norm",
    "sym_norm_kwargs": "head_norm",
    "features": "model_zoo.get_faster_rcnn(features, top_features, classes=...)",
    "top_features": "model_zoo.get_faster_rcnn(features, top_features, classes=...)",
    "box_features": "model_zoo.get_faster_rcnn(features, top_features, classes=...)",
    "strides": "nothing, because the backbone states its strides",
    "min_stage": "nothing, because the backbone states its maps",
    "max_stage": "nothing, because the backbone states its maps",
    "base_network_name": "a part of the model's name, as in faster_rcnn_fpn_resnet50_v1b_custom",
    "dataset": "a part of the model's name, as in faster_rcnn_fpn_resnet50_v1b_coco",
    "num_fcn_convs": "a part of the model: see model_zoo.Model",
    "num_box_head_conv": "a part of the model: see model_zoo.Model",
    "num_box_head_conv_filters": "nothing, because the layers have 256 channels",
    "num_box_head_dense_filters": "nothing, because the layers of a box head are 1024 wide",
    "additional_output": "nothing, because a Mask R-CNN reads the shared features itself",
}
# Layers of Gluon and of GluonCV, and the norms that they stand for.
NORM_LAYERS = {"BatchNorm": "bn", "SyncBatchNorm": "sync_bn", "GroupNorm": "gn"}
GLUON_MODULES = ("mxnet.", "gluoncv.")
# Settings of norm layers that the norms of this package have by default, or do not need.
NORM_DEFAULTS = {"epsilon": 1e-5, "eps": 1e-5, "momentum": 0.9}
GROUP_DEFAULTS = {"num_groups": 32, "ngroups": 32, "groups": 32}
NORM_WITHOUT_EFFECT = ("num_devices", "ndev", "key")


class GluonCVOptions(NamedTuple):
    """What the keywords of a call ask for.

    Attributes
    ----------
    norm : str, callable or None
        The norm of the backbone; None: the model's own.
    transfer : str or None
        The data set from whose detector the weights are taken over.
    root : str, Path or None
        The folder of downloaded weights; None: the usual one.
    settings : dict of str to object
        Fields of :class:`gluonnorm.rcnn.DetectorConfig`.
    base_network : str or None
        The backbone of a ``custom_*`` model; None for all other models.
    """

    norm: NormChoice
    transfer: Optional[str]
    root: Folder
    settings: Dict[str, Any]
    base_network: Optional[str] = None


def read_options(
    options: Mapping[str, Any], norm: NormChoice, model: str, is_backbone: bool
) -> GluonCVOptions:
    """Sort the further keywords of ``get_model``.

    Parameters
    ----------
    options : mapping of str to object
        The keywords.
    norm : str, callable or None
        The argument ``norm`` of the same call.
    model : str
        The name of the model.
    is_backbone : bool
        Whether the model is a bare backbone, in which GluonCV's BatchNorm has live statistics. In
        its detectors BatchNorm is frozen.

    Returns
    -------
    GluonCVOptions
        What they ask for.

    Raises
    ------
    InputError
        A keyword that does not exist here, with what is given instead; or values that contradict
        each other.

    Examples
    --------
    >>> read_options({"transfer": "voc", "short": 300}, "gn", "faster_rcnn", False).settings
    {'short': 300}
    """
    settings = dict(options)
    transfer = settings.pop("transfer", None)
    root = settings.pop("root", None)
    layer = settings.pop("norm_layer", None)
    norm_settings = dict(settings.pop("norm_kwargs", None) or {})
    if "use_global_stats" in settings:
        norm_settings["use_global_stats"] = settings.pop("use_global_stats")
    if layer is not None or norm_settings:
        if norm is not None:
            raise InputError(
                "norm is given beside norm_layer, norm_kwargs or use_global_stats; give norm alone"
            )
        norm = _norm_of_layer(layer, norm_settings, is_backbone)
    base_network = None
    if _has_any_backbone(model):
        base_network = settings.pop("base_network_name", None) or MODELS[model].backbone
        settings.pop("dataset", None)  # a part of a file's name in GluonCV
    if not is_backbone:
        settings = read_settings(settings)
    return GluonCVOptions(norm, transfer, root, settings, base_network)


def read_settings(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Turn keywords of GluonCV's detectors into settings of a detector.

    Parameters
    ----------
    options : mapping of str to object
        Fields of :class:`gluonnorm.rcnn.DetectorConfig`, and GluonCV's keywords.

    Returns
    -------
    dict of str to object
        The settings; keywords without an effect here are left out.

    Raises
    ------
    InputError
        A keyword that does not exist here, with what is given instead.

    Examples
    --------
    >>> read_settings({"roi_size": (7, 7), "alloc_size": (128, 128), "nms_topk": 400})
    {'roi_size': 7, 'nms_topk': 400}
    """
    settings = {name: value for name, value in options.items() if name not in WITHOUT_EFFECT}
    size = settings.get("roi_size")
    if isinstance(size, (tuple, list)) and len(size) == 2 and size[0] == size[1]:
        settings["roi_size"] = size[0]
    if settings.pop("roi_mode", "align") != "align":
        raise InputError("roi_mode is not 'align'; this package reads RoIs by RoIAlign only")
    _check_names(settings)
    return settings


def transfer_source(name: str, transfer: str, options: GluonCVOptions) -> str:
    """Name the detector whose weights ``transfer`` takes over.

    Parameters
    ----------
    name : str
        The name of a ``*_custom`` or ``custom_*`` model.
    transfer : str
        The data set of the published detector: "coco" or "voc".
    options : GluonCVOptions
        Norm and backbone, which a ``custom_*`` model has in the name of its detector.

    Returns
    -------
    str
        The name of the published detector.

    Raises
    ------
    InputError
        The model is neither, or it is one that the user registered.

    Examples
    --------
    >>> options = read_options({"transfer": "coco"}, None, "custom_mask_rcnn_fpn", False)
    >>> transfer_source("custom_mask_rcnn_fpn", "coco", options)
    'mask_rcnn_fpn_resnet18_v1b_coco'
    >>> options = read_options({"transfer": "voc"}, None, "faster_rcnn_resnet50_v1b_custom", False)
    >>> transfer_source("faster_rcnn_resnet50_v1b_custom", "voc", options)
    'faster_rcnn_resnet50_v1b_voc'
    """
    if options.base_network is not None:
        words = [name[len(CUSTOM_PREFIX) :]]
        if options.norm == "sync_bn":
            words.append("syncbn")
        words += [options.base_network, transfer]
        return "_".join(words)
    if not MODELS.is_of_package(name):
        raise InputError(
            f"transfer={transfer!r} is for models of this package, and {name!r} is one of your own;"
            " give pretrained=FILE, the weights of a network of the same architecture, and classes"
        )
    stem, is_custom, rest = name.rpartition("_custom")
    if not is_custom or rest:
        raise InputError(
            f"transfer={transfer!r} is for the custom_* and *_custom models; for {name!r} give"
            " pretrained=True and classes"
        )
    return f"{stem}_{transfer}"


def _has_any_backbone(model: str) -> bool:
    """Whether callers choose the backbone of a model; a row of a user may have such a name."""
    return model.startswith(CUSTOM_PREFIX) and MODELS.is_of_package(model)


def _check_names(settings: Mapping[str, Any]) -> None:
    """Refuse keywords that are no settings; say what they are called here."""
    known: List[str] = [field.name for field in fields(DetectorConfig)]
    for name in settings:
        if name in known:
            continue
        if name in RENAMED:
            raise InputError(f"a detector has no setting {name!r}; here it is {RENAMED[name]}")
        hint = did_you_mean(name, [*OWN_OPTIONS, *known])
        if not hint:
            hint = (
                f"; the options are {', '.join(OWN_OPTIONS)}, and the settings {', '.join(known)}"
            )
        raise InputError(f"get_model has no option and a detector has no setting {name!r}{hint}")


def _norm_of_layer(layer: Any, norm_settings: Dict[str, Any], is_backbone: bool) -> NormChoice:
    """Find the norm that a class of layers and its settings stand for."""
    module = getattr(layer, "__module__", "") or ""
    is_gluons = layer is None or module.startswith(GLUON_MODULES)
    class_name = "BatchNorm" if layer is None else getattr(layer, "__name__", repr(layer))
    if is_gluons and class_name not in NORM_LAYERS:
        raise InputError(
            f"norm_layer={class_name}: there is no such norm here; give norm, one of frozen_bn,"
            " global_bn, bn, sync_bn, gn, sn, sn_nobn, or a callable"
        )
    norm: NormChoice = NORM_LAYERS[class_name] if is_gluons else layer
    uses_stored = norm_settings.pop("use_global_stats", None)
    _check_norm_settings(norm, norm_settings)
    if norm != "bn":
        if uses_stored:
            raise InputError(f"use_global_stats=True is for BatchNorm only, not for {class_name}")
        return norm
    if is_backbone:
        return "global_bn" if uses_stored else "bn"
    return "bn" if uses_stored is False else "frozen_bn"


def _check_norm_settings(norm: NormChoice, norm_settings: Mapping[str, Any]) -> None:
    """Refuse settings of a norm layer that differ from those of the norms here."""
    defaults: Dict[str, Any] = dict(GROUP_DEFAULTS) if norm == "gn" else dict(NORM_DEFAULTS)
    defaults["epsilon"] = defaults["eps"] = NORM_DEFAULTS["epsilon"]
    for name, value in norm_settings.items():
        is_default = name in defaults and defaults[name] == value
        if name not in NORM_WITHOUT_EFFECT and not is_default:
            raise InputError(
                f"norm_kwargs has {name}={value!r}; give norm=functools.partial(gluonnorm.nn.LAYER,"
                f" ...) for a norm with other settings than {defaults}"
            )
