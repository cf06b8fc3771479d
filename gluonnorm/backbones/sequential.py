"""Any Gluon ``features`` sequence, split into a backbone and a head."""
from typing import List, Optional, Tuple

from gluonnorm.backbones.base import Backbone
from gluonnorm.nn import freeze_batch_norms
from gluonnorm.types import Tensor

import mxnet as mx
from mxnet.gluon import HybridBlock, nn


class SequentialBackbone(Backbone):
    """A sequence of layers as a backbone with one feature map. Each layer counts as a stage for ``freeze_at``.

    Parameters
    ----------
    features
        Maps (N, 3, H, W) to (N, C, H/stride, W/stride), rounded as its layers do.
    stride, channels
        Of that map; what is None is measured once, by shape inference.
    """

    def __init__(self, features: nn.HybridSequential, stride: Optional[int] = None, channels: Optional[int] = None,
                 **kwargs) -> None:
        if stride is None or channels is None:
            measured = measure(features)
            stride, channels = stride or measured[0], channels or measured[1]
        super().__init__((stride,), (channels,), **kwargs)
        self.features = features

    def stages(self) -> List[List[HybridBlock]]:
        return [[layer] for layer in self.features]

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        return [self.features(x)]


def split_features(features: nn.HybridSequential, stop: int, end: Optional[int] = None, stride: Optional[int] = None,
                   channels: Optional[int] = None, freeze_norms: bool = False
                   ) -> Tuple[SequentialBackbone, nn.HybridSequential]:
    """Split a sequence into a backbone, layers 0 to ``stop``, and a head, layers ``stop`` to ``end``, both exclusive.

    ``split_features(vision.resnet50_v2().features, 8, 11)`` gives stem to stage 3, and stage 4 with its norm and relu
    but without pooling. The layers are shared with ``features``, weights and all.

    Parameters
    ----------
    end
        None takes all layers that follow.
    stride, channels
        As in ``SequentialBackbone``.
    freeze_norms
        Freeze Gluon's batch norms in both parts: stored statistics, and no gradient.
    """
    end = len(features) if end is None else end
    if not 0 < stop < end <= len(features):
        raise ValueError(f"split_features got stop {stop} and end {end} for {len(features)} layers; "
                         f"give 0 < stop < end <= {len(features)}")
    if freeze_norms:
        freeze_batch_norms(features)
    return SequentialBackbone(features[:stop], stride, channels), features[stop:end]


def measure(features: HybridBlock, side: int = 512) -> Tuple[int, int]:
    """The (stride, channels) of the map that ``features`` makes of an image, by shape inference; nothing is computed.

    Raises ValueError where this is no map (N, C, H, W) that grows with the image.
    """
    shapes = []
    for length in (side, 2 * side):
        outputs = features(mx.sym.var("data")).infer_shape(data=(1, 3, length, length))[1]
        if len(outputs) != 1 or len(outputs[0]) != 4 or outputs[0][2] < 2:
            raise ValueError(f"these layers turn an image (1, 3, {length}, {length}) into {outputs}; a backbone must "
                             "give one map (N, C, H, W): stop before global pooling")
        shapes.append(outputs[0])
    growth = shapes[1][2] - shapes[0][2]
    if growth < 1 or side % growth:
        raise ValueError(f"these layers make maps {shapes[0][2]} and {shapes[1][2]} high of images {side} and "
                         f"{2 * side} high; a backbone's stride must be a whole number")
    return side // growth, shapes[0][1]
