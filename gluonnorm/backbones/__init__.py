"""Feature extractors: images to feature maps whose strides and channels are stated."""

from gluonnorm.backbones.base import Backbone
from gluonnorm.backbones.fpn import FPN
from gluonnorm.backbones.resnet_v1 import ResNetV1, ResNetV1Top
from gluonnorm.backbones.resnet_v2 import ResNetV2, ResNetV2Top, mxnet_names
from gluonnorm.backbones.sequential import SequentialBackbone, split_features
from gluonnorm.backbones.tapped import TappedBackbone

__all__ = [
    "FPN",
    "Backbone",
    "ResNetV1",
    "ResNetV1Top",
    "ResNetV2",
    "ResNetV2Top",
    "SequentialBackbone",
    "TappedBackbone",
    "mxnet_names",
    "split_features",
]
