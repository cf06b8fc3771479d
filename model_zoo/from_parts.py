"""Detectors from parts: layers of any Gluon network, by the call that GluonCV's users know."""

from typing import Any, Dict, Iterable, Optional, Sequence, Tuple, Union

from gluonnorm.backbones import FPN, Backbone, TappedBackbone
from gluonnorm.backbones.tapped import Tap
from gluonnorm.errors import InputError
from gluonnorm.nn import Norm, norm_name, replace_norms
from gluonnorm.rcnn import DetectorConfig, FasterRCNN, ModelSpec
from model_zoo.assemble import (
    DetectorParts,
    assemble,
    build_fpn_box_head,
    c4_detector_parts,
    choose_head_norm,
)
from model_zoo.build import FASTER_RCNN_FROM_PARTS, MASK_RCNN_FROM_PARTS
from model_zoo.factory import choose_classes, warn_of_statistics
from model_zoo.foreign_parts import Context, as_backbone, top_as_box_head
from model_zoo.gluoncv_options import NormChoice, read_settings
from model_zoo.rows.own import C4_SETTINGS

from mxnet.gluon import HybridBlock

ANCHOR_BASE = 16  # pixels; a scale times this is the side of a square anchor
C4_ROI_SIZE = 14
FPN_ROI_SIZE = 7
FPN_MASK_CONVS = 4


def get_faster_rcnn(
    features: HybridBlock,
    top_features: Optional[HybridBlock] = None,
    classes: Optional[Sequence[str]] = None,
    scales: Sequence[float] = (2, 4, 8, 16, 32),
    ratios: Sequence[float] = (0.5, 1, 2),
    roi_size: Union[int, Tuple[int, int], None] = None,
    stride: Union[int, Sequence[int], None] = None,
    rpn_channel: int = 1024,
    taps: Optional[Sequence[Tap]] = None,
    norm: NormChoice = None,
    head_norm: NormChoice = None,
    ctx: Context = None,
    **overrides: Any,
) -> FasterRCNN:
    """Make a Faster R-CNN of layers of any Gluon network.

    With one map, ``top_features`` follow RoIAlign, as the last stage of a ResNet does. With the
    maps of several layers (``taps``, or a backbone with several maps), a feature pyramid is built
    on them.

    Parameters
    ----------
    features : mxnet.gluon.HybridBlock
        Images to one map, such as ``net.features[:8]``; a network whose layers are tapped; or a
        :class:`gluonnorm.backbones.Backbone`. Values that the layers have are kept.
    top_features : mxnet.gluon.HybridBlock, optional
        What follows RoIAlign: the features of a RoI to a map, of which the mean is taken, or to a
        vector. A pyramid may leave it out: its box head is then two fully connected layers.
    classes : sequence of str
        The names of the classes, in the order of their ids.
    scales : sequence of float
        Sides of square anchors, in units of 16 pixels. All of them at each cell of one map; one
        for each level of a pyramid, whose last level is an additional, coarser one.
    ratios : sequence of float
        Heights of the anchors divided by their widths.
    roi_size : int or (int, int), optional
        Cells on a side of a RoI's features. None: 14 with one map, 7 with a pyramid.
    stride : int or sequence of int, optional
        Strides of the maps of ``features`` in pixels. They are measured; what is given here is
        compared with that.
    rpn_channel : int
        Channels of the hidden layer of the RPN.
    taps : sequence of int, str or HybridBlock, optional
        The layers of ``features`` whose outputs are the maps of the pyramid, finest first, as in
        :class:`gluonnorm.backbones.TappedBackbone`. Strides must double from map to map.
    norm : str, callable or None
        Replaces the norms of both parts, by :func:`gluonnorm.nn.replace_norms`. None: they stay.
    head_norm : str, callable or None
        The norm of the pyramid and of the heads. None: that of ``norm``, if heads have it, or none.
    ctx : mxnet.Context, sequence of them, or None
        The devices of the parameters; None is the CPU.
    **overrides
        Fields of :class:`gluonnorm.rcnn.DetectorConfig`, for example ``short=600``. GluonCV's other
        keywords are answered as by ``get_model``.

    Returns
    -------
    FasterRCNN
        The initialized network. Its description names no parts, so a script cannot build it
        again: register a backbone and a model for that (docs/extending.md).

    Raises
    ------
    InputError
        The parts do not fit each other, or a wrong value or option.

    Examples
    --------
    >>> from mxnet.gluon.model_zoo import vision
    >>> features = vision.resnet18_v1().features
    >>> net = get_faster_rcnn(features[:7], features[7:8], classes=("red", "white"), short=300)
    >>> net.backbone.strides, net.classes, net.config.short
    ((16,), ('red', 'white'), (300,))
    """
    backbone = _open_features(features, taps, stride)
    config = _make_config(backbone, top_features, scales, ratios, roi_size, rpn_channel, overrides)
    spec = _describe(FASTER_RCNN_FROM_PARTS, classes, norm, head_norm, config)
    return _make_detector(backbone, top_features, spec, mask_convs=None, ctx=ctx)


def get_mask_rcnn(
    features: HybridBlock,
    top_features: Optional[HybridBlock] = None,
    classes: Optional[Sequence[str]] = None,
    scales: Sequence[float] = (2, 4, 8, 16, 32),
    ratios: Sequence[float] = (0.5, 1, 2),
    roi_size: Union[int, Tuple[int, int], None] = None,
    stride: Union[int, Sequence[int], None] = None,
    rpn_channel: int = 1024,
    taps: Optional[Sequence[Tap]] = None,
    norm: NormChoice = None,
    head_norm: NormChoice = None,
    mask_convs: Optional[int] = None,
    ctx: Context = None,
    **overrides: Any,
) -> FasterRCNN:
    """Make a Mask R-CNN of layers of any Gluon network.

    Parameters
    ----------
    features, top_features, classes, scales, ratios, roi_size, stride, rpn_channel
        As for :func:`get_faster_rcnn`.
    taps, norm, head_norm, ctx
        As for :func:`get_faster_rcnn`.
    mask_convs : int, optional
        The number of 3x3 convolutions in the mask head. None: 0 with one map, whose mask head
        shares the map of ``top_features``, and 4 with a pyramid.
    **overrides
        Fields of :class:`gluonnorm.rcnn.DetectorConfig`, for example ``mask_channels=64``.

    Returns
    -------
    gluonnorm.rcnn.MaskRCNN
        The initialized network, as :func:`get_faster_rcnn` returns it.

    Raises
    ------
    InputError
        As for :func:`get_faster_rcnn`.

    Examples
    --------
    >>> from mxnet.gluon.model_zoo import vision
    >>> features = vision.resnet18_v1().features
    >>> net = get_mask_rcnn(features, taps=(4, 5, 6, 7), classes=("red",), fpn_channels=64)
    >>> net.backbone.strides, net.has_masks
    ((4, 8, 16, 32, 64), True)
    """
    backbone = _open_features(features, taps, stride)
    config = _make_config(backbone, top_features, scales, ratios, roi_size, rpn_channel, overrides)
    spec = _describe(MASK_RCNN_FROM_PARTS, classes, norm, head_norm, config)
    if mask_convs is None:
        shares_map = len(backbone.strides) == 1
        mask_convs = 0 if shares_map else FPN_MASK_CONVS
    return _make_detector(backbone, top_features, spec, mask_convs, ctx)


def _open_features(
    features: HybridBlock,
    taps: Optional[Sequence[Tap]],
    stride: Union[int, Sequence[int], None],
) -> Backbone:
    """Make a backbone of layers, and compare its strides with what the caller expects."""
    backbone = as_backbone(features) if taps is None else TappedBackbone(features, taps)
    if stride is None:
        return backbone
    expected = (stride,) if isinstance(stride, int) else tuple(stride)
    if expected != backbone.strides:
        raise InputError(
            f"stride is {stride!r}, and the maps of features have strides {backbone.strides}; "
            "leave stride out, or choose other layers"
        )
    return backbone


def _make_config(
    backbone: Backbone,
    top_features: Optional[HybridBlock],
    scales: Sequence[float],
    ratios: Sequence[float],
    roi_size: Union[int, Tuple[int, int], None],
    rpn_channel: int,
    overrides: Dict[str, Any],
) -> DetectorConfig:
    """Make the settings of a detector from the arguments that GluonCV names."""
    has_pyramid = len(backbone.strides) > 1
    if not has_pyramid and top_features is None:
        raise InputError(
            "features give one map, and top_features are missing; give the layers that follow, "
            "such as net.features[8:11], or taps for a feature pyramid"
        )
    for argument, numbers in (("scales", scales), ("ratios", ratios)):
        if not isinstance(numbers, Iterable) or isinstance(numbers, str):
            raise InputError(f"{argument} is {numbers!r}; want a tuple of numbers")
    sides = tuple(ANCHOR_BASE * scale for scale in scales)
    settings: Dict[str, Any] = {} if has_pyramid else dict(C4_SETTINGS)
    if has_pyramid:
        settings["anchor_sizes"] = _sizes_of_levels(sides, len(backbone.strides) + 1, overrides)
    else:
        settings["anchor_sizes"] = (sides,)
    settings["anchor_ratios"] = tuple(ratios)
    settings["rpn_channels"] = rpn_channel
    settings["roi_size"] = _square(roi_size, FPN_ROI_SIZE if has_pyramid else C4_ROI_SIZE)
    settings.update(read_settings(overrides))
    return DetectorConfig().override(**settings)


def _sizes_of_levels(
    sides: Tuple[float, ...], num_levels: int, overrides: Dict[str, Any]
) -> Tuple[Tuple[float, ...], ...]:
    """Give each level of a pyramid one side of its anchors."""
    if len(sides) != num_levels and "anchor_sizes" not in overrides:
        raise InputError(
            f"scales has {len(sides)} numbers, and the pyramid has {num_levels} levels; give one "
            "scale for each, or anchor_sizes with one tuple of pixels for each"
        )
    return tuple((side,) for side in sides)


def _square(roi_size: Union[int, Tuple[int, int], None], default: int) -> int:
    """Return the side of the features of a RoI."""
    if roi_size is None:
        return default
    if isinstance(roi_size, int):
        return roi_size
    sides = tuple(roi_size)
    if len(sides) != 2 or sides[0] != sides[1]:
        raise InputError(f"roi_size is {roi_size!r}; give one number, or the same number twice")
    return sides[0]


def _describe(
    model: str,
    classes: Optional[Sequence[str]],
    norm: NormChoice,
    head_norm: NormChoice,
    config: DetectorConfig,
) -> ModelSpec:
    """Describe a network by what its description can name: all but its parts."""
    return ModelSpec(
        model=model,
        norm=None if norm is None else norm_name(norm),
        head_norm=None if head_norm is None else norm_name(head_norm, "head_norm"),
        rescale=None,
        classes=choose_classes(model, None, classes),
        config=config,
    )


def _make_detector(
    backbone: Backbone,
    top: Optional[HybridBlock],
    spec: ModelSpec,
    mask_convs: Optional[int],
    ctx: Context,
) -> FasterRCNN:
    """Make a detector of a backbone and, perhaps, of layers for its box head."""
    head_norm = choose_head_norm(spec.norm, spec.head_norm)
    has_masks = mask_convs is not None
    parts = _join(backbone, top, spec.config, head_norm, has_masks)
    # Only now, because the box head has settled the shapes that the top left open.
    for part in (backbone, top):
        if spec.norm is not None and part is not None:
            replace_norms(part, spec.norm)
    net = assemble(parts, spec, mask_convs, ctx)
    warn_of_statistics(net, spec.model)
    return net


def _join(
    backbone: Backbone,
    top: Optional[HybridBlock],
    config: DetectorConfig,
    head_norm: Optional[Norm],
    has_masks: bool,
) -> DetectorParts:
    """Join a backbone and layers for its box head, with a pyramid between several maps."""
    if len(backbone.strides) == 1:
        box_head = top_as_box_head(top, backbone, config, has_masks)
        return c4_detector_parts(backbone, box_head, head_norm)
    pyramid = FPN(backbone, config.fpn_channels, head_norm)
    if top is None:
        box_head = build_fpn_box_head("2fc", config, head_norm)
    else:
        box_head = top_as_box_head(top, pyramid, config, has_masks)
    return DetectorParts(pyramid, box_head, config.fpn_channels, head_norm)
