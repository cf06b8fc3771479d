"""Networks from their descriptions: where backbones meet the two-stage detector."""

from typing import Any, Dict, Optional, Union

import gluonnorm  # noqa: F401  prepares the process before MXNet is imported
from gluonnorm.backbones import FPN
from gluonnorm.errors import InputError, first_line
from gluonnorm.nn import make_norm
from gluonnorm.rcnn import FasterRCNN, ModelSpec
from model_zoo.assemble import (
    DetectorParts,
    as_double_head,
    assemble,
    build_fpn_box_head,
    c4_detector_parts,
    choose_head_norm,
)
from model_zoo.backbone_builders import BACKBONES, BackboneParts, BackboneRequest
from model_zoo.catalogue import MODELS, check_backbone, unknown_model
from model_zoo.foreign_parts import Context, top_as_box_head
from model_zoo.rows.model import Model

import mxnet as mx

# The names in the description of a network that was made of parts, which no file holds.
FASTER_RCNN_FROM_PARTS = "faster_rcnn_from_parts"
MASK_RCNN_FROM_PARTS = "mask_rcnn_from_parts"


def from_spec(spec: Union[ModelSpec, Dict[str, Any]], ctx: Context = None) -> FasterRCNN:
    """Build the network that a checkpoint or an exported file describes, with random weights.

    A ``freeze_at`` of the description is applied. None leaves the choice to ``get_model``, which
    knows whether there are weights to begin with, and freezes nothing here.

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
    >>> import model_zoo
    >>> net = model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", classes=("red", "white"))
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

    model = MODELS[spec.model]
    norm = spec.norm or model.norm
    make_parts = _c4_parts if model.neck == "c4" else _fpn_parts
    try:
        return assemble(make_parts(model, spec, norm), spec, model.mask_convs, ctx)
    except mx.MXNetError as error:
        # MXNet has no numbers beyond 32 bits, and no memory for layers of 1e9 channels.
        raise InputError(
            f"the settings make no network ({first_line(error)}); are they those of the file?"
        ) from error


def build_backbone(
    name: str, neck: Optional[str], norm: str, top_norm: str, rescale: Optional[str]
) -> BackboneParts:
    """Build the backbone of a name, with the layers for a C4 box head if the neck is "c4".

    Parameters
    ----------
    name : str
        The name of the backbone.
    neck : str or None
        "c4", "fpn", or None for a bare backbone.
    norm : str
        The norm of the backbone.
    top_norm : str
        The norm of the layers for the box head.
    rescale : str or None
        The rescale layer in front.

    Returns
    -------
    BackboneParts
        The backbone, and perhaps the layers for the box head.

    Raises
    ------
    InputError
        No backbone has this name, or it cannot serve the neck.
    """
    check_backbone(name)
    make = make_norm(norm)
    make_top = make if top_norm == norm else make_norm(top_norm)
    return BACKBONES[name](BackboneRequest(neck, make, make_top, rescale))


def _c4_parts(model: Model, spec: ModelSpec, norm: str) -> DetectorParts:
    """Build a backbone with one map, and a box head from the last stage of the backbone."""
    head_norm = spec.head_norm or norm
    backbone, top = build_backbone(
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
    maps = build_backbone(name, "fpn", norm, norm, spec.rescale).backbone
    head_norm = choose_head_norm(norm, spec.head_norm, model.norm_in_heads)
    head = model.head if head_norm is None else model.head_with_norm or model.head
    return DetectorParts(
        backbone=FPN(maps, config.fpn_channels, head_norm, model.fpn_extra),
        box_head=build_fpn_box_head(head, config, head_norm),
        mask_channels=config.fpn_channels,
        head_norm=head_norm,
    )
