"""Layers of the user as backbone and box head: what a detector must know of them is measured."""

from typing import Sequence, Tuple, Union

from gluonnorm.backbones import Backbone, SequentialBackbone
from gluonnorm.errors import InputError
from gluonnorm.nn import infer_shapes
from gluonnorm.rcnn import BlockHead, DetectorConfig, Res5Head

import mxnet as mx
from mxnet.gluon import HybridBlock

Context = Union[mx.Context, Sequence[mx.Context], None]


def as_backbone(features: HybridBlock) -> Backbone:
    """Make a backbone of layers; stride and channels of their map are measured.

    Parameters
    ----------
    features : mxnet.gluon.HybridBlock
        Images (N, 3, H, W) to one map; or a backbone, which is returned as it is.

    Returns
    -------
    Backbone
        The layers as a backbone.

    Raises
    ------
    InputError
        It is no block, or it makes no feature map.
    """
    if not isinstance(features, HybridBlock):
        raise InputError(
            f"features is {features!r}; give a HybridBlock, such as net.features[:8], or a Backbone"
        )
    return features if isinstance(features, Backbone) else SequentialBackbone(features)


def top_as_box_head(
    top: HybridBlock, backbone: Backbone, config: DetectorConfig, has_masks: bool
) -> HybridBlock:
    """Make a box head of the layers that follow RoIAlign.

    Parameters
    ----------
    top : mxnet.gluon.HybridBlock
        The features of RoIs (N, C, p, p) to a map (N, K, h, w), of which the mean is taken, or to
        a vector (N, K).
    backbone : Backbone
        Its channels are C.
    config : DetectorConfig
        Its ``roi_size`` is p.
    has_masks : bool
        Whether a mask head reads the features too.

    Returns
    -------
    mxnet.gluon.HybridBlock
        A :class:`gluonnorm.rcnn.Res5Head`, whose map the mask head shares, for a backbone with one
        map; else a :class:`gluonnorm.rcnn.BlockHead`.

    Raises
    ------
    InputError
        The layers cannot read such features, or return neither a map nor a vector.
    """
    if not isinstance(top, HybridBlock):
        raise InputError(f"top_features is {top!r}; give a HybridBlock, such as net.features[8:11]")
    _require_own_layers(top, backbone)
    shape = _shape_after(top, backbone.channels[0], config.roi_size)
    is_map = len(shape) == 4
    if not is_map or len(backbone.channels) > 1:
        return BlockHead(top, shape[1], pool=is_map)
    stride = -(-config.roi_size // shape[2])
    sizes = {config.roi_size, config.mask_roi_size} if has_masks else {config.roi_size}
    for size in sizes:
        side = _shape_after(top, backbone.channels[0], size)[2]
        if side != -(-size // stride):
            raise InputError(
                f"top_features turn RoIs of {size} cells into {side} cells; give roi_size and "
                "mask_roi_size that they divide by the same number"
            )
    return Res5Head(top, shape[1], shared_stride=stride)


def _require_own_layers(top: HybridBlock, backbone: Backbone) -> None:
    """Refuse layers that are part of the backbone already, which would share their weights."""
    backbone_parameters = set(map(id, backbone.collect_params().values()))
    for name, parameter in top.collect_params().items():
        if id(parameter) in backbone_parameters:
            raise InputError(
                f"top_features have the parameter {name!r}, which features have as well; give the "
                "layers that follow, such as net.features[:8] and net.features[8:11]"
            )


def _shape_after(top: HybridBlock, channels: int, size: int) -> Tuple[int, ...]:
    """Infer the shape that layers make of the features of one RoI."""
    shapes = infer_shapes(top, (1, channels, size, size))
    if len(shapes) != 1 or len(shapes[0]) not in (2, 4):
        raise InputError(
            f"top_features turn RoIs of shape {(1, channels, size, size)} into {shapes}; they must "
            "return one map (N, K, h, w) or one vector (N, K)"
        )
    return shapes[0]


def initialize(net: HybridBlock, ctx: Context = None) -> None:
    """Initialize the parameters of a network that have no values yet, and move the others.

    Parameters
    ----------
    net : mxnet.gluon.HybridBlock
        The network; layers of the user may have values.
    ctx : mxnet.Context, sequence of them, or None
        The devices of the parameters; None is the CPU.
    """
    for parameter in net.collect_params().values():
        if parameter._data is None:
            parameter.initialize(ctx=ctx, default_init=mx.init.Uniform())
        else:
            parameter.reset_ctx(ctx or mx.cpu())
