"""Feature pyramid network (Lin et al., 2017, arXiv:1612.03144): takes a backbone, is a backbone."""

from typing import List, Optional

from gluonnorm.backbones.base import Backbone
from gluonnorm.errors import InputError
from gluonnorm.nn import ConvNorm, Norm
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock
from mxnet.initializer import Xavier

EXTRA_MAPS = ("pool", "conv")


class FPN(Backbone):
    """Feature pyramid: all maps of a backbone with the same channels, and one coarser map.

    A 1x1 convolution (``lateral*``) of each map of the backbone is added to the sum of the next
    coarser level, which is enlarged by 2 (nearest neighbor) and cropped to size. A 3x3 convolution
    (``output*``) of the sum follows. The layers are numbered by level, log2 of the stride.

    Parameters
    ----------
    backbone : Backbone
        Its strides must double from map to map.
    channels : int
        Channels of every map that is returned.
    norm : callable, optional
        Makes the norm after each convolution, as :func:`gluonnorm.nn.make_norm` returns it. None
        gives the convolutions a bias instead.
    extra : str
        How the additional, coarsest map is made. "pool": every second pixel of the last map, as in
        the paper. "conv": a 3x3 convolution with stride 2 of the last lateral, as in GluonCV.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        ``extra`` is unknown, or the backbone's strides do not double.

    Attributes
    ----------
    backbone : Backbone
        The backbone.
    strides, channels : tuple of int
        Those of the maps that are returned, as in :class:`Backbone`.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int = 256,
        norm: Optional[Norm] = None,
        extra: str = "pool",
        **kwargs,
    ) -> None:
        if extra not in EXTRA_MAPS:
            raise InputError(f"FPN got extra {extra!r}; give one of {EXTRA_MAPS}")
        strides = backbone.strides
        for fine, coarse in zip(strides, strides[1:]):
            if coarse != 2 * fine:
                raise InputError(
                    f"FPN got a backbone of strides {strides}; each must be twice the one before"
                )
        super().__init__(
            strides=strides + (2 * strides[-1],),
            channels=(channels,) * (len(strides) + 1),
            **kwargs,
        )
        self.backbone = backbone
        self._laterals: List[ConvNorm] = []
        self._outputs: List[ConvNorm] = []
        levels = [stride.bit_length() - 1 for stride in strides]
        with self.name_scope():
            for level, in_channels in zip(levels, backbone.channels):
                lateral = _make_conv(channels, in_channels, 1, 1, norm)
                output = _make_conv(channels, channels, 3, 1, norm)
                self._laterals.append(lateral)
                self._outputs.append(output)
                setattr(self, f"lateral{level}", lateral)
                setattr(self, f"output{level}", output)
            if extra == "conv":
                output = _make_conv(channels, channels, 3, 2, norm)
                self._outputs.append(output)
                setattr(self, f"output{levels[-1] + 1}", output)

    def stages(self) -> List[List[HybridBlock]]:
        """List the stages of the backbone; the layers of the pyramid belong to no stage.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            As in :meth:`Backbone.stages`.
        """
        return self.backbone.stages()

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        features = self.backbone(x)
        laterals = [lateral(feature) for lateral, feature in zip(self._laterals, features)]
        sums = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            enlarged = F.UpSampling(sums[-1], scale=2, sample_type="nearest")
            # MXNet holds the array that gives the size until the backward pass. A single channel
            # of it is enough.
            size_like = F.slice_axis(lateral, axis=1, begin=0, end=1)
            cropped = F.slice_like(enlarged, size_like, axes=(2, 3))
            sums.append(F.elemwise_add(lateral, cropped))
        sums.reverse()
        maps = [output(total) for output, total in zip(self._outputs, sums)]
        has_extra_conv = len(self._outputs) > len(maps)
        if has_extra_conv:
            maps.append(self._outputs[-1](laterals[-1]))
        else:
            maps.append(F.Pooling(maps[-1], kernel=(1, 1), stride=(2, 2), pool_type="max"))
        return maps


def _make_conv(
    channels: int, in_channels: int, kernel: int, stride: int, norm: Optional[Norm]
) -> ConvNorm:
    """Make a convolution with Detectron's initialization, and its norm."""
    return ConvNorm(
        channels,
        in_channels,
        kernel,
        stride,
        norm,
        weight_initializer=Xavier("uniform", "in", 3),
    )
