"""Feature pyramid network (Lin et al., 2017, arXiv:1612.03144): takes a backbone, is a backbone."""
from typing import List, Optional

from gluonnorm.backbones.base import Backbone
from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock
from mxnet.initializer import Xavier

EXTRAS = ("pool", "conv")


class FPN(Backbone):
    """Gives all maps of a backbone the same width, each informed by the coarser ones, and adds one coarser map.

    From coarse to fine: a 1x1 convolution (``lateral*``), plus the coarser sum enlarged twice (nearest neighbour) and
    cut to size, then a 3x3 convolution (``output*``). Children are numbered by level, log2 of the stride.

    Parameters
    ----------
    backbone
        Its strides must double from map to map.
    channels
        Of every map that comes back.
    norm
        Callable channels -> layer after each convolution; None gives the convolutions a bias instead.
    extra
        How the extra, coarsest map is made: "pool", every second pixel of the last map (as in the paper); "conv", a
        3x3 convolution with stride 2 of the last lateral (as in GluonCV).
    """

    def __init__(self, backbone: Backbone, channels: int = 256, norm: Optional[Norm] = None, extra: str = "pool",
                 **kwargs) -> None:
        if extra not in EXTRAS:
            raise ValueError(f"FPN got extra {extra!r}; give one of {EXTRAS}")
        strides = backbone.strides
        if any(coarse != 2 * fine for fine, coarse in zip(strides, strides[1:])):
            raise ValueError(f"FPN got a backbone of strides {strides}; each must be twice the one before")
        super().__init__(strides + (2 * strides[-1],), (channels,) * (len(strides) + 1), **kwargs)
        levels = [stride.bit_length() - 1 for stride in strides]

        def conv(in_channels: int, kernel: int, stride: int = 1) -> ConvNorm:
            return ConvNorm(channels, in_channels, kernel, stride, norm, Xavier("uniform", "in", 3))

        self.backbone = backbone
        self._laterals, self._outputs = [], []
        with self.name_scope():
            for level, in_channels in zip(levels, backbone.channels):
                self._laterals.append(conv(in_channels, 1))
                self._outputs.append(conv(channels, 3))
                setattr(self, f"lateral{level}", self._laterals[-1])
                setattr(self, f"output{level}", self._outputs[-1])
            if extra == "conv":
                self._outputs.append(conv(channels, 3, 2))
                setattr(self, f"output{levels[-1] + 1}", self._outputs[-1])

    def stages(self) -> List[List[HybridBlock]]:
        """Those of the backbone; lateral and output layers belong to no stage."""
        return self.backbone.stages()

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        laterals = [lateral(feature) for lateral, feature in zip(self._laterals, self.backbone(x))]
        sums = [laterals[-1]]  # coarse to fine
        for lateral in laterals[-2::-1]:
            enlarged = F.UpSampling(sums[-1], scale=2, sample_type="nearest")
            like = F.slice_axis(lateral, axis=1, begin=0, end=1)  # for its size: it is held for the backward pass
            sums.append(F.elemwise_add(lateral, F.slice_like(enlarged, like, axes=(2, 3))))
        maps = [output(total) for output, total in zip(self._outputs, reversed(sums))]
        if len(self._outputs) > len(maps):
            maps.append(self._outputs[-1](laterals[-1]))
        else:
            maps.append(F.Pooling(maps[-1], kernel=(1, 1), stride=(2, 2), pool_type="max"))
        return maps
