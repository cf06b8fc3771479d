"""Put the parts of a detector together: backbone, RPN and heads."""

from typing import NamedTuple, Optional

from gluonnorm.backbones import Backbone
from gluonnorm.nn import Norm, make_norm, used_in_heads
from gluonnorm.rcnn import (
    BlockHead,
    ConvFCHead,
    DetectorConfig,
    DoubleHead,
    FasterRCNN,
    MaskHead,
    MaskRCNN,
    ModelSpec,
    Res5Head,
    RPNHead,
    TwoFCHead,
)
from model_zoo.foreign_parts import initialize

from mxnet.gluon import HybridBlock

POOLING = "pool"  # how the names of box heads begin that first halve the RoIs


class DetectorParts(NamedTuple):
    """What depends on the neck of a detector: its backbone, its box head and the heads' norm.

    Attributes
    ----------
    backbone : Backbone
        Images to maps, with a pyramid if the neck is "fpn".
    box_head : HybridBlock
        RoI features in, features of the box predictor out.
    mask_channels : int
        The number of channels that a mask head reads.
    head_norm : Norm or None
        The norm in the heads; None: convolutions with biases.
    """

    backbone: Backbone
    box_head: HybridBlock
    mask_channels: int
    head_norm: Optional[Norm]


def assemble(
    parts: DetectorParts, spec: ModelSpec, mask_convs: Optional[int], ctx: object = None
) -> FasterRCNN:
    """Make a detector of its parts, initialize what has no values yet, and freeze first stages.

    Parameters
    ----------
    parts : DetectorParts
        Backbone and box head.
    spec : ModelSpec
        Names, classes and settings. If its ``freeze_at`` is a number, that many stages are frozen.
    mask_convs : int or None
        The number of convolutions in the mask head. None: the detector predicts no masks.
    ctx : mxnet.Context, sequence of them, or None
        The devices of the parameters; None is the CPU.

    Returns
    -------
    FasterRCNN
        The initialized network; a :class:`gluonnorm.rcnn.MaskRCNN` if it has a mask head.

    Raises
    ------
    InputError
        The settings do not fit the parts.
    """
    config = spec.config
    # All levels have equally many anchors in a cell, because they share the weights of the RPN.
    anchors_per_cell = len(config.anchor_sizes[0]) * len(config.anchor_ratios)
    rpn_head = RPNHead(
        parts.backbone.channels[0],
        config.rpn_channels,
        anchors_per_cell,
        config.rpn_convs,
    )
    if mask_convs is None:
        net = FasterRCNN(parts.backbone, rpn_head, parts.box_head, spec)
    else:
        mask_head = _build_mask_head(mask_convs, parts, spec)
        net = MaskRCNN(parts.backbone, rpn_head, parts.box_head, mask_head, spec)
    initialize(net, ctx)
    if config.freeze_at is not None:
        parts.backbone.freeze_at(config.freeze_at)
    return net


def build_fpn_box_head(head: str, config: DetectorConfig, norm: Optional[Norm]) -> HybridBlock:
    """Build the box head that a row names, for example "2fc" or "4conv1fc".

    Parameters
    ----------
    head : str
        One of ``model_zoo.rows.model.FPN_HEADS``.
    config : DetectorConfig
        Its channels and RoI size.
    norm : Norm or None
        The norm of the head's convolutions.

    Returns
    -------
    HybridBlock
        The box head.
    """
    has_pooling = head.startswith(POOLING)
    layers = head[len(POOLING) :] if has_pooling else head
    if layers == "2fc":
        return TwoFCHead(config.fpn_channels, config.roi_size, pool=has_pooling)
    num_convs = int(layers[0])
    return ConvFCHead(config.fpn_channels, config.roi_size, norm, num_convs, has_pooling)


def as_double_head(head: Res5Head, config: DetectorConfig) -> DoubleHead:
    """Add to the last stage of a backbone a branch for the classes and one for the boxes.

    Parameters
    ----------
    head : Res5Head
        The last stage.
    config : DetectorConfig
        Its RoI size.

    Returns
    -------
    DoubleHead
        The box head.
    """
    side = -(-config.roi_size // head.shared_stride)
    return DoubleHead(head.stage, head.channels, side, head.shared_stride)


def c4_detector_parts(
    backbone: Backbone, box_head: HybridBlock, head_norm: Optional[Norm]
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
    mask_channels = backbone.channels[0] if shares_nothing else box_head.shared_channels
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


def _build_mask_head(num_convs: int, parts: DetectorParts, spec: ModelSpec) -> MaskHead:
    """Build the mask head; without convolutions of its own (C4) there is nothing to normalize."""
    return MaskHead(
        parts.mask_channels,
        spec.config.mask_channels,
        len(spec.classes),
        num_convs,
        parts.head_norm if num_convs else None,
    )
