"""Pre-activation ResNet v2 (He et al., 2016, arXiv:1603.05027) in the layout of Gluon's model zoo, with any norm."""
from collections import Counter
from typing import Dict, List, Optional, Sequence, Tuple, Union

from gluonnorm.backbones.base import Backbone
from gluonnorm.backbones.resnet_v1 import BLOCKS, STRIDES, WIDTHS, check_plan, conv, expansion
from gluonnorm.nn import FrozenBatchNorm, Norm, Rescale
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn


class BasicBlockV2(HybridBlock):
    """Norm and relu before each of two 3x3 convolutions; the block of ResNet-18 and 34."""

    def __init__(self, width: int, stride: int, in_channels: int, norm: Norm, zero_gamma: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.bn1 = norm(in_channels)
            self.conv1 = conv(width, 3, stride, in_channels)
            self.bn2 = norm(width, zero_gamma=zero_gamma)
            self.conv2 = conv(width, 3, 1, width)
            changes = stride > 1 or in_channels != width
            self.downsample = conv(width, 1, stride, in_channels) if changes else None

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x
        x = F.Activation(self.bn1(x), act_type="relu")
        if self.downsample is not None:
            shortcut = self.downsample(x)
        x = self.conv1(x)
        x = self.conv2(F.Activation(self.bn2(x), act_type="relu"))
        return F.elemwise_add(x, shortcut)


class BottleneckV2(HybridBlock):
    """Norm and relu before each of a 1x1, a 3x3 (which takes the stride) and a 1x1 convolution; ResNet-50 and 101."""

    def __init__(self, width: int, stride: int, in_channels: int, norm: Norm, zero_gamma: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.bn1 = norm(in_channels)
            self.conv1 = conv(width, 1, 1, in_channels)
            self.bn2 = norm(width)
            self.conv2 = conv(width, 3, stride, width)
            self.bn3 = norm(width, zero_gamma=zero_gamma)
            self.conv3 = conv(4 * width, 1, 1, width)
            changes = stride > 1 or in_channels != 4 * width
            self.downsample = conv(4 * width, 1, stride, in_channels) if changes else None

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x
        x = F.Activation(self.bn1(x), act_type="relu")
        if self.downsample is not None:
            shortcut = self.downsample(x)
        x = self.conv1(x)
        x = self.conv2(F.Activation(self.bn2(x), act_type="relu"))
        x = self.conv3(F.Activation(self.bn3(x), act_type="relu"))
        return F.elemwise_add(x, shortcut)


def make_stage(number: int, depth: int, norm: Norm, zero_gamma: bool = False) -> nn.HybridSequential:
    """Stage 1, 2, 3 or 4 of a ResNet v2 as a sequence of blocks; all but the first halve height and width."""
    wide = expansion(depth)
    width, stride = WIDTHS[number - 1], 1 if number == 1 else 2
    in_channels = 64 if number == 1 else WIDTHS[number - 2] * wide
    block = BasicBlockV2 if wide == 1 else BottleneckV2
    stage = nn.HybridSequential(prefix=f"layer{number}_")
    with stage.name_scope():
        stage.add(block(width, stride, in_channels, norm, zero_gamma))
        for _ in range(1, BLOCKS[depth][number - 1]):
            stage.add(block(width, 1, width * wide, norm, zero_gamma))
    return stage


class ResNetV2(Backbone):
    """ResNet v2 without its classifier.

    The first norm, on the image itself, has neither scale nor center. It is a frozen batch norm whatever ``norm`` is:
    it holds the pixel statistics the weights were trained with, and three channels make no groups. Maps of stages 1
    to 3 are the plain sums the next stage takes; that of stage 4 has passed the last norm and relu.

    Parameters
    ----------
    depth
        18, 34, 50 or 101.
    norm
        Callable channels -> layer.
    stages, out_stages, rescale, zero_gamma
        As in ``ResNetV1``; the head for ``stages=3`` is ``ResNetV2Top``.
    """

    def __init__(self, depth: int, norm: Norm = FrozenBatchNorm, stages: int = 4,
                 out_stages: Optional[Sequence[int]] = None, rescale: Optional[str] = None, zero_gamma: bool = False,
                 **kwargs) -> None:
        out_stages = tuple(range(1, stages + 1)) if out_stages is None else tuple(out_stages)
        check_plan(depth, stages, out_stages)
        super().__init__([STRIDES[i - 1] for i in out_stages], [WIDTHS[i - 1] * expansion(depth) for i in out_stages],
                         **kwargs)
        self._out_stages = out_stages
        with self.name_scope():
            self.rescale = None if rescale is None else Rescale(rescale)
            self.bn_in = FrozenBatchNorm(3, center=False, scale=False)
            self.conv1 = conv(64, 7, 2, 3)
            self.bn1 = norm(64)
            self.maxpool = nn.MaxPool2D(3, 2, 1)
            self._layers = []
            for number in range(1, stages + 1):
                stage = make_stage(number, depth, norm, zero_gamma)
                setattr(self, f"layer{number}", stage)
                self._layers.append(stage)
            self.bn_out = norm(self.channels[-1]) if stages == 4 else None

    def stages(self) -> List[List[HybridBlock]]:
        stages = [[self.bn_in, self.conv1, self.bn1]] + [[stage] for stage in self._layers]
        if self.bn_out is not None:
            stages[-1].append(self.bn_out)
        return stages

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        if self.rescale is not None:
            x = self.rescale(x)
        x = self.bn1(self.conv1(self.bn_in(x)))
        x = self.maxpool(F.Activation(x, act_type="relu"))
        maps = []
        for number, stage in enumerate(self._layers, start=1):
            x = stage(x)
            if self.bn_out is not None and number == 4:
                x = F.Activation(self.bn_out(x), act_type="relu")
            if number in self._out_stages:
                maps.append(x)
        return maps


class ResNetV2Top(HybridBlock):
    """Stage 4 of a ResNet v2, its last norm and relu; the head of a C4 detector.

    (R, C, p, p) -> (R, 2C, ceil(p/2), ceil(p/2)); C is 1024 for depths 50 and 101, 256 for 18 and 34. Arguments as in
    ``ResNetV2``; ``channels`` is 2C.
    """

    def __init__(self, depth: int, norm: Norm = FrozenBatchNorm, zero_gamma: bool = False, **kwargs) -> None:
        check_plan(depth, 4, (4,))
        super().__init__(**kwargs)
        self.channels = WIDTHS[3] * expansion(depth)
        with self.name_scope():
            self.layer4 = make_stage(4, depth, norm, zero_gamma)
            self.bn_out = norm(self.channels)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        return F.Activation(self.bn_out(self.layer4(x)), act_type="relu")


def mxnet_names(net: Union[ResNetV2, ResNetV2Top]) -> Dict[str, str]:
    """Map the structural names of ``net``'s parameters to those of ``mxnet.gluon.model_zoo.vision.resnet*_v2``.

    The latter come without the net's prefix: "layer1.0.bn1.gamma" -> "stage1_batchnorm0_gamma". Gluon numbers the
    convolutions and norms of a stage in the order it makes them, which is that of our children.
    """
    outside = {"bn_in": "batchnorm0", "conv1": "conv0", "bn1": "batchnorm1", "bn_out": "batchnorm2"}
    names: Dict[str, str] = {}
    layers: Dict[str, str] = {}
    counts: Dict[Tuple[str, str], int] = Counter()
    for name in net._collect_params_with_prefix():
        path, _, parameter = name.rpartition(".")
        if path in outside:
            layer = outside[path]
        else:
            stage = path[len("layer")]
            kind = "batchnorm" if ".bn" in path else "conv"
            if path not in layers:
                layers[path] = f"stage{stage}_{kind}{counts[stage, kind]}"
                counts[stage, kind] += 1
            layer = layers[path]
        names[name] = f"{layer}_{parameter}"
    return names
