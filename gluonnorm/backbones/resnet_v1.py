"""ResNet v1a, v1b and v1d (He et al., 2015, arXiv:1512.03385; b and d as in GluonCV), with any norm.

Children are named as in GluonCV's ``resnet*_v1b`` and ``resnet*_v1d``, so parameters match by structural name.
"""
from functools import partial
from typing import List, Optional, Sequence

from gluonnorm.backbones.base import Backbone
from gluonnorm.nn import FrozenBatchNorm, Norm, Rescale
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn
from mxnet.initializer import MSRAPrelu

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # by stage
WIDTHS = (64, 128, 256, 512)  # of the 3x3 convolutions of stages 1 to 4
STRIDES = (4, 8, 16, 32)


def expansion(depth: int) -> int:
    """How many times wider a stage's output is than its 3x3 convolutions."""
    return 1 if depth < 50 else 4


def conv(channels: int, kernel: int, stride: int, in_channels: int) -> nn.Conv2D:
    """A bias-free convolution with "same" padding and He's initialization by fan-out (arXiv:1502.01852)."""
    return nn.Conv2D(channels, kernel, stride, kernel // 2, in_channels=in_channels, use_bias=False,
                     weight_initializer=MSRAPrelu(factor_type="out", slope=0))


class BasicBlockV1(HybridBlock):
    """Two 3x3 convolutions and a shortcut; the block of ResNet-18 and 34."""

    def __init__(self, width: int, stride: int, in_channels: int, downsample: Optional[HybridBlock], norm: Norm,
                 zero_gamma: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv1 = conv(width, 3, stride, in_channels)
            self.bn1 = norm(width)
            self.conv2 = conv(width, 3, 1, width)
            self.bn2 = norm(width, zero_gamma=zero_gamma)
        self.downsample = downsample

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.Activation(self.bn1(self.conv1(x)), act_type="relu")
        x = self.bn2(self.conv2(x))
        return F.Activation(F.elemwise_add(x, shortcut), act_type="relu")


class BottleneckV1(HybridBlock):
    """1x1, 3x3 and 1x1 convolution and a shortcut; the block of ResNet-50 and above.

    The 3x3 convolution takes the stride, or, with ``stride_first``, the 1x1 convolution before it.
    """

    def __init__(self, width: int, stride: int, in_channels: int, downsample: Optional[HybridBlock], norm: Norm,
                 zero_gamma: bool, stride_first: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv1 = conv(width, 1, stride if stride_first else 1, in_channels)
            self.bn1 = norm(width)
            self.conv2 = conv(width, 3, 1 if stride_first else stride, width)
            self.bn2 = norm(width)
            self.conv3 = conv(4 * width, 1, 1, width)
            self.bn3 = norm(4 * width, zero_gamma=zero_gamma)
        self.downsample = downsample

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.Activation(self.bn1(self.conv1(x)), act_type="relu")
        x = F.Activation(self.bn2(self.conv2(x)), act_type="relu")
        x = self.bn3(self.conv3(x))
        return F.Activation(F.elemwise_add(x, shortcut), act_type="relu")


def make_stage(number: int, depth: int, variant: str, norm: Norm, zero_gamma: bool = False) -> nn.HybridSequential:
    """Stage 1, 2, 3 or 4 of a ResNet v1 as a sequence of blocks; all but the first halve height and width."""
    wide = expansion(depth)
    width, stride = WIDTHS[number - 1], 1 if number == 1 else 2
    in_channels = 64 if number == 1 else WIDTHS[number - 2] * wide
    block = BasicBlockV1 if wide == 1 else partial(BottleneckV1, stride_first=variant == "a")
    stage = nn.HybridSequential(prefix=f"layer{number}_")
    with stage.name_scope():
        downsample = None
        if stride > 1 or in_channels != width * wide:
            downsample = nn.HybridSequential(prefix="down_")
            with downsample.name_scope():
                if variant == "d":
                    downsample.add(nn.AvgPool2D(stride, stride, ceil_mode=True, count_include_pad=False))
                downsample.add(conv(width * wide, 1, 1 if variant == "d" else stride, in_channels), norm(width * wide))
        stage.add(block(width, stride, in_channels, downsample, norm, zero_gamma))
        for _ in range(1, BLOCKS[depth][number - 1]):
            stage.add(block(width, 1, width * wide, None, norm, zero_gamma))
    return stage


class ResNetV1(Backbone):
    """ResNet v1 without its classifier.

    Parameters
    ----------
    depth
        18, 34, 50, 101 or 152.
    variant
        "a": as "b", with the stride of a bottleneck in its first 1x1 convolution (the original, MSRA's and
        Detectron's ResNet-50 and above; for 18 and 34 there is no difference). "b": one 7x7 convolution as stem,
        shortcuts by strided 1x1 convolution. "d": three 3x3 convolutions, shortcuts by average pooling and 1x1
        convolution (He et al., 2018, arXiv:1812.01187); no side of the image may then be less than half the last
        stride plus 1, 17 pixels for four stages.
    norm
        Callable channels -> layer.
    stages
        How many of the four stages are built: 3 for a C4 detector, whose head is ``ResNetV1Top``.
    out_stages
        Stages whose output comes back, ascending; None is all that are built.
    rescale
        None, "normalize" or "denormalize": a ``Rescale`` in front.
    zero_gamma
        Start each block as the identity: gamma of its last norm is 0. For training from scratch.
    """

    def __init__(self, depth: int, variant: str = "b", norm: Norm = FrozenBatchNorm, stages: int = 4,
                 out_stages: Optional[Sequence[int]] = None, rescale: Optional[str] = None, zero_gamma: bool = False,
                 **kwargs) -> None:
        out_stages = tuple(range(1, stages + 1)) if out_stages is None else tuple(out_stages)
        check_plan(depth, stages, out_stages)
        check_variant(variant)
        super().__init__([STRIDES[i - 1] for i in out_stages], [WIDTHS[i - 1] * expansion(depth) for i in out_stages],
                         **kwargs)
        self._out_stages = out_stages
        with self.name_scope():
            self.rescale = None if rescale is None else Rescale(rescale)
            self.conv1 = _deep_stem(norm) if variant == "d" else conv(64, 7, 2, 3)
            self.bn1 = norm(64)
            self.maxpool = nn.MaxPool2D(3, 2, 1)
            self._layers = []
            for number in range(1, stages + 1):
                stage = make_stage(number, depth, variant, norm, zero_gamma)
                setattr(self, f"layer{number}", stage)
                self._layers.append(stage)

    def stages(self) -> List[List[HybridBlock]]:
        return [[self.conv1, self.bn1]] + [[stage] for stage in self._layers]

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        if self.rescale is not None:
            x = self.rescale(x)
        x = self.maxpool(F.Activation(self.bn1(self.conv1(x)), act_type="relu"))
        maps = []
        for number, stage in enumerate(self._layers, start=1):
            x = stage(x)
            if number in self._out_stages:
                maps.append(x)
        return maps


class ResNetV1Top(HybridBlock):
    """Stage 4 of a ResNet v1 alone, the head of a C4 detector: (R, C, p, p) -> (R, 2C, ceil(p/2), ceil(p/2)).

    C is 1024 from depth 50 on, 256 for 18 and 34. Arguments as in ``ResNetV1``; ``channels`` is 2C.
    """

    def __init__(self, depth: int, variant: str = "b", norm: Norm = FrozenBatchNorm, zero_gamma: bool = False,
                 **kwargs) -> None:
        check_plan(depth, 4, (4,))
        check_variant(variant)
        super().__init__(**kwargs)
        self.channels = WIDTHS[3] * expansion(depth)
        with self.name_scope():
            self.layer4 = make_stage(4, depth, variant, norm, zero_gamma)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        return self.layer4(x)


def check_plan(depth: int, stages: int, out_stages: Sequence[int]) -> None:
    """Raise ValueError unless the depth is known and ``out_stages`` ascend within 1..stages, and end there."""
    if depth not in BLOCKS:
        raise ValueError(f"ResNet got depth {depth!r}; give one of {tuple(BLOCKS)}")
    if stages not in (1, 2, 3, 4):
        raise ValueError(f"ResNet got stages {stages!r}; give 1 to 4")
    if not out_stages or list(out_stages) != sorted(set(out_stages)) or out_stages[0] < 1 or out_stages[-1] != stages:
        raise ValueError(f"ResNet got out_stages {tuple(out_stages)!r} of {stages} stages; give ascending numbers "
                         f"from 1 that end with {stages}, or build fewer stages")


def check_variant(variant: str) -> None:
    """Raise ValueError unless the variant is "a", "b" or "d"."""
    if variant not in ("a", "b", "d"):
        raise ValueError(f"ResNetV1 got variant {variant!r}; give 'a', 'b' or 'd'")


def _deep_stem(norm: Norm) -> nn.HybridSequential:
    """Three 3x3 convolutions of 32, 32 and 64 channels; the norm after the last is the backbone's ``bn1``."""
    stem = nn.HybridSequential(prefix="conv1_")
    with stem.name_scope():
        stem.add(conv(32, 3, 2, 3), norm(32), nn.Activation("relu"),
                 conv(32, 3, 1, 32), norm(32), nn.Activation("relu"),
                 conv(64, 3, 1, 32))
    return stem
