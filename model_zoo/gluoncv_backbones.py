"""Backbones whose layers GluonCV brings: MobileNet and ResNeSt, with the maps of a pyramid.

GluonCV is imported here and nowhere else in this room. ``backbone_builders`` loads this module by
its name when the first of these backbones is built.
"""

import functools
from typing import Callable, Dict, List

from gluonnorm.backbones import Backbone, TappedBackbone
from gluonnorm.nn import Norm, replace_norms

from gluoncv.model_zoo import mobilenet, resnest
from gluoncv.nn.dropblock import set_drop_prob
from mxnet.gluon import HybridBlock

# The last ReLU of each stride, as in GluonCV's Mask R-CNN.
MOBILENET_TAPS = (20, 32, 68, 80)
RESNEST_STAGES = ("layer1", "layer2", "layer3", "layer4")


class ResNeStBackbone(TappedBackbone):
    """The stem and the four stages of GluonCV's ResNeSt.

    Parameters
    ----------
    network : mxnet.gluon.HybridBlock
        GluonCV's classifier.
    """

    def __init__(self, network: HybridBlock) -> None:
        super().__init__(network, taps=RESNEST_STAGES)

    def stages(self) -> List[List[HybridBlock]]:
        """List the stem and the stages, as for a ResNet.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            As in :meth:`gluonnorm.backbones.Backbone.stages`.
        """
        network = self.features
        stages = [[getattr(network, name)] for name in RESNEST_STAGES]
        return [[network.conv1, network.bn1], *stages]


def build_mobilenet(norm: Norm) -> Backbone:
    """Build GluonCV's MobileNet 1.0.

    Parameters
    ----------
    norm : Norm
        Makes its norms.

    Returns
    -------
    Backbone
        Images to maps of the strides 4, 8, 16 and 32.
    """
    features = mobilenet.mobilenet1_0().features
    replace_norms(features, norm)
    return TappedBackbone(features, taps=MOBILENET_TAPS)


def _build_resnest(make: Callable[[], HybridBlock], norm: Norm) -> Backbone:
    """Build a ResNeSt, without its DropBlock, as in GluonCV's detectors."""
    network = make()
    network.apply(functools.partial(set_drop_prob, 0.0))
    replace_norms(network, norm)
    return ResNeStBackbone(network)


BUILDERS: Dict[str, Callable[[Norm], Backbone]] = {
    "mobilenet1_0": build_mobilenet,
    "resnest50": functools.partial(_build_resnest, resnest.resnest50),
    "resnest101": functools.partial(_build_resnest, resnest.resnest101),
    "resnest269": functools.partial(_build_resnest, resnest.resnest269),
}
