"""Use any Gluon ``features`` sequence as a backbone, or split it into a backbone and a head."""

from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from gluonnorm.backbones.base import Backbone
from gluonnorm.errors import InputError
from gluonnorm.nn import freeze_batch_norms, infer_shapes_of_call
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import HybridBlock, nn


class SequentialBackbone(Backbone):
    """A sequence of layers as a backbone with one map; each layer is a stage for ``freeze_at``.

    Parameters
    ----------
    features : mxnet.gluon.HybridBlock
        Maps (N, 3, H, W) to (N, C, H / stride, W / stride), rounded as its layers do.
    stride : int, optional
        Stride of the map in pixels of the image. None measures it, by shape inference.
    channels : int, optional
        Number of channels of the map, C. None measures it.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        Stride or channels are measured, and the layers make no map that grows with the image.
    """

    def __init__(
        self,
        features: HybridBlock,
        stride: Optional[int] = None,
        channels: Optional[int] = None,
        **kwargs,
    ) -> None:
        if stride is None or channels is None:
            measured_stride, measured_channels = measure(features)
            stride = stride or measured_stride
            channels = channels or measured_channels
        super().__init__(strides=(stride,), channels=(channels,), **kwargs)
        self.features = features

    def stages(self) -> List[List[HybridBlock]]:
        """List the layers, each as a stage.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            As in :meth:`Backbone.stages`.
        """
        return [[layer] for layer in self.features._children.values()]

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        return [self.features(x)]


def split_features(
    features: nn.HybridSequential,
    stop: int,
    end: Optional[int] = None,
    stride: Optional[int] = None,
    channels: Optional[int] = None,
    freeze_norms: bool = False,
) -> Tuple[SequentialBackbone, nn.HybridSequential]:
    """Split a sequence of layers into a backbone and a head.

    Parameters
    ----------
    features : mxnet.gluon.nn.HybridSequential
        The layers. Backbone and head share them, weights included.
    stop : int
        The backbone has the layers 0 to ``stop``, exclusive.
    end : int, optional
        The head has the layers ``stop`` to ``end``, exclusive. None takes all that follow.
    stride, channels : int, optional
        As in :class:`SequentialBackbone`.
    freeze_norms : bool
        Freeze Gluon's batch norms in both parts: stored statistics, and no gradient.

    Returns
    -------
    backbone : SequentialBackbone
        The first part.
    head : mxnet.gluon.nn.HybridSequential
        The second part.

    Raises
    ------
    InputError
        ``stop`` or ``end`` is outside the sequence.

    Examples
    --------
    Stem to stage 3 of a ResNet, and stage 4 with its norm and relu but without pooling:

    >>> from mxnet.gluon.model_zoo import vision
    >>> backbone, head = split_features(vision.resnet50_v2().features, 8, 11)
    >>> backbone.strides, backbone.channels
    ((16,), (1024,))
    """
    end = len(features) if end is None else end
    if not 0 < stop < end <= len(features):
        raise InputError(
            f"split_features got stop {stop} and end {end} for {len(features)} layers; "
            f"give 0 < stop < end <= {len(features)}"
        )
    if freeze_norms:
        freeze_batch_norms(features)
    return SequentialBackbone(features[:stop], stride, channels), features[stop:end]


def measure(features: HybridBlock, side: int = 512) -> Tuple[int, int]:
    """Measure stride and channels of the map that layers make of an image, by shape inference.

    Parameters
    ----------
    features : mxnet.gluon.HybridBlock
        The layers. Nothing is computed, so they need no values.
    side : int
        Side of an image in pixels; the other image has twice that side.

    Returns
    -------
    stride : int
        Stride of the map in pixels of the image.
    channels : int
        Number of its channels.

    Raises
    ------
    InputError
        The layers do not make one map (N, C, H, W) that grows with the image.
    """
    maps = measure_maps(features, features, side)
    if len(maps.strides) != 1:
        raise InputError(f"these layers make {len(maps.strides)} maps; one map is needed")
    return maps.strides[0], maps.channels[0]


class MeasuredMaps(NamedTuple):
    """The feature maps that layers make, finest first if the layers make them so.

    Attributes
    ----------
    strides : list of int
        Stride of each map in pixels of the image.
    channels : list of int
        Number of its channels.
    heights : list of int
        Its cells from top to bottom, for the smaller of the images that were measured.
    """

    strides: List[int]
    channels: List[int]
    heights: List[int]


def measure_maps(
    make_maps: Callable[[mx.sym.Symbol], Any], features: HybridBlock, side: int = 512
) -> MeasuredMaps:
    """Measure strides and channels of feature maps, by shape inference.

    Parameters
    ----------
    make_maps : callable
        Takes images (N, 3, H, W), and returns a map or a list of maps, made by the layers.
    features : mxnet.gluon.HybridBlock
        The layers. Nothing is computed; shapes of parameters that are open are settled.
    side : int
        Side of an image in pixels; the other image has twice that side.

    Returns
    -------
    MeasuredMaps
        What is known of the maps.

    Raises
    ------
    InputError
        What is returned are no maps (N, C, H, W) that grow with the image.
    """
    shapes_of_sides = []
    for length in (side, 2 * side):
        image_shape = (1, 3, length, length)
        shapes = infer_shapes_of_call(make_maps, features, image_shape)
        for shape in shapes:
            if len(shape) != 4 or shape[2] < 2:
                raise InputError(
                    f"these layers turn an image {image_shape} into {shapes}; a backbone must "
                    "give maps (N, C, H, W): stop before global pooling"
                )
        shapes_of_sides.append(shapes)
    strides = []
    for small, large in zip(*shapes_of_sides):
        growth = large[2] - small[2]
        if growth < 1 or side % growth:
            raise InputError(
                f"these layers make maps {small[2]} and {large[2]} high of images {side} and "
                f"{2 * side} high; a backbone's stride must be an integer"
            )
        strides.append(side // growth)
    small_shapes = shapes_of_sides[0]
    channels = [shape[1] for shape in small_shapes]
    return MeasuredMaps(strides, channels, [shape[2] for shape in small_shapes])
