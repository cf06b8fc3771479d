"""ResNet v1a, v1b and v1d (He et al., 2015, arXiv:1512.03385; b and d as in GluonCV), any norm.

Children have the names of GluonCV's ``resnet*_v1b`` and ``resnet*_v1d``, so parameters match by
structural name.
"""

from functools import partial
from typing import Callable, List, Optional, Sequence

from gluonnorm.backbones.resnet import (
    STEM_CHANNELS,
    ResNet,
    StagePlan,
    check_plan,
    conv,
    plan_stage,
)
from gluonnorm.errors import InputError
from gluonnorm.nn import FrozenBatchNorm, Norm
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn

VARIANTS = ("a", "b", "d")


class BasicBlockV1(HybridBlock):
    """Two 3x3 convolutions and a shortcut: the block of ResNet-18 and 34.

    Parameters
    ----------
    width : int
        Channels of the convolutions and of the output.
    stride : int
        Stride of the first convolution.
    in_channels : int
        Channels of the input.
    downsample : mxnet.gluon.HybridBlock, optional
        Layers of the shortcut. None is the identity.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start the block as its shortcut.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.
    """

    def __init__(
        self,
        width: int,
        stride: int,
        in_channels: int,
        downsample: Optional[HybridBlock],
        norm: Norm,
        zero_gamma: bool,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv1 = conv(width, kernel=3, stride=stride, in_channels=in_channels)
            self.bn1 = norm(width)
            self.conv2 = conv(width, kernel=3, stride=1, in_channels=width)
            self.bn2 = norm(width, zero_gamma=zero_gamma)
        self.downsample = downsample

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.Activation(self.bn1(self.conv1(x)), act_type="relu")
        x = self.bn2(self.conv2(x))
        return F.Activation(F.elemwise_add(x, shortcut), act_type="relu")


class BottleneckV1(HybridBlock):
    """1x1, 3x3 and 1x1 convolution and a shortcut: the block of ResNet-50 and above.

    Parameters
    ----------
    width : int
        Channels of the first two convolutions. The output has four times as many.
    stride : int
        Stride of the 3x3 convolution.
    in_channels : int
        Channels of the input.
    downsample : mxnet.gluon.HybridBlock, optional
        Layers of the shortcut. None is the identity.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start the block as its shortcut.
    stride_first : bool
        Give the stride to the first 1x1 convolution instead.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.
    """

    def __init__(
        self,
        width: int,
        stride: int,
        in_channels: int,
        downsample: Optional[HybridBlock],
        norm: Norm,
        zero_gamma: bool,
        stride_first: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        out_channels = 4 * width
        stride1 = stride if stride_first else 1
        stride2 = 1 if stride_first else stride
        with self.name_scope():
            self.conv1 = conv(width, kernel=1, stride=stride1, in_channels=in_channels)
            self.bn1 = norm(width)
            self.conv2 = conv(width, kernel=3, stride=stride2, in_channels=width)
            self.bn2 = norm(width)
            self.conv3 = conv(out_channels, kernel=1, stride=1, in_channels=width)
            self.bn3 = norm(out_channels, zero_gamma=zero_gamma)
        self.downsample = downsample

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.Activation(self.bn1(self.conv1(x)), act_type="relu")
        x = F.Activation(self.bn2(self.conv2(x)), act_type="relu")
        x = self.bn3(self.conv3(x))
        return F.Activation(F.elemwise_add(x, shortcut), act_type="relu")


def make_stage(
    number: int, depth: int, variant: str, norm: Norm, zero_gamma: bool = False
) -> nn.HybridSequential:
    """Make one stage of a ResNet v1 as a sequence of blocks.

    Parameters
    ----------
    number : int
        Number of the stage, 1 to 4. All stages but the first halve height and width.
    depth : int
        18, 34, 50, 101 or 152.
    variant : str
        "a", "b" or "d", as in :class:`ResNetV1`.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start each block as its shortcut.

    Returns
    -------
    mxnet.gluon.nn.HybridSequential
        The blocks.
    """
    plan = plan_stage(number, depth)
    block: Callable[..., HybridBlock] = BasicBlockV1
    if plan.has_bottlenecks:
        block = partial(BottleneckV1, stride_first=variant == "a")
    stage = nn.HybridSequential(prefix=f"layer{number}_")
    with stage.name_scope():
        downsample = None
        if plan.stride > 1 or plan.in_channels != plan.out_channels:
            downsample = _make_downsample(plan, variant, norm)
        first = block(plan.width, plan.stride, plan.in_channels, downsample, norm, zero_gamma)
        stage.add(first)
        for _ in range(1, plan.num_blocks):
            stage.add(block(plan.width, 1, plan.out_channels, None, norm, zero_gamma))
    return stage


def _make_downsample(plan: StagePlan, variant: str, norm: Norm) -> nn.HybridSequential:
    """Make the shortcut of a stage's first block, which changes the size of the map."""
    downsample = nn.HybridSequential(prefix="down_")
    with downsample.name_scope():
        conv_stride = plan.stride
        if variant == "d":
            pool = nn.AvgPool2D(plan.stride, plan.stride, ceil_mode=True, count_include_pad=False)
            downsample.add(pool)
            conv_stride = 1
        downsample.add(
            conv(plan.out_channels, kernel=1, stride=conv_stride, in_channels=plan.in_channels),
            norm(plan.out_channels),
        )
    return downsample


class ResNetV1(ResNet):
    """ResNet v1 without its classifier.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    variant : str
        "b": the stem is a 7x7 convolution, shortcuts are strided 1x1 convolutions. "a": like "b",
        but the first 1x1 convolution of a bottleneck has the stride, as in the original and in
        MSRA's and Detectron's ResNet-50 and above; the same as "b" for depths 18 and 34. "d": the
        stem is three 3x3 convolutions, shortcuts are average pooling and a 1x1 convolution (He et
        al., 2018, arXiv:1812.01187). With "d", no side of the image may be shorter than half the
        last stride plus 1, which is 17 pixels for four stages.
    norm : callable
        Makes the norm for a number of channels, as :func:`gluonnorm.nn.make_norm` returns it.
    stages : int
        How many of the four stages are built. 3 is for a C4 detector, whose head is
        :class:`ResNetV1Top`.
    out_stages : sequence of int, optional
        Numbers of the stages whose output is returned, ascending. None returns all that are built.
    rescale : str, optional
        "normalize" or "denormalize" puts a :class:`gluonnorm.nn.Rescale` in front.
    zero_gamma : bool
        Start each block as its shortcut: gamma of its last norm is 0. For training from scratch.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        Depth, variant, stages or out_stages are not as described.

    Examples
    --------
    >>> backbone = ResNetV1(50, "d", stages=3, out_stages=(2, 3))
    >>> backbone.strides, backbone.channels
    ((8, 16), (512, 1024))
    """

    def __init__(
        self,
        depth: int,
        variant: str = "b",
        norm: Norm = FrozenBatchNorm,
        stages: int = 4,
        out_stages: Optional[Sequence[int]] = None,
        rescale: Optional[str] = None,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        _check_variant(variant)
        super().__init__(depth, stages, out_stages, rescale, **kwargs)
        with self.name_scope():
            if variant == "d":
                self.conv1 = _make_deep_stem(norm)
            else:
                self.conv1 = conv(STEM_CHANNELS, kernel=7, stride=2, in_channels=3)
            self.bn1 = norm(STEM_CHANNELS)
            self.maxpool = nn.MaxPool2D(3, strides=2, padding=1)
            for number in range(1, stages + 1):
                self.add_stage(make_stage(number, depth, variant, norm, zero_gamma))

    def stages(self) -> List[List[HybridBlock]]:
        """List the blocks with parameters by stage; the first is the stem.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            As in :meth:`Backbone.stages`.
        """
        return [[self.conv1, self.bn1]] + [[stage] for stage in self._stages]

    def stem(self, F, x: Tensor) -> Tensor:
        """Compute convolution and norm of the stem; see :meth:`.ResNet.stem`."""
        return self.bn1(self.conv1(x))


class ResNetV1Top(HybridBlock):
    """Stage 4 of a ResNet v1, the head of a C4 detector.

    (R, C, p, p) becomes (R, 2C, ceil(p / 2), ceil(p / 2)). C is 1024 for depth 50 and above, and
    256 for 18 and 34.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    variant : str
        "a", "b" or "d", as in :class:`ResNetV1`.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start each block as its shortcut.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        Depth or variant are unknown.

    Attributes
    ----------
    channels : int
        Channels of the output, 2C.
    """

    def __init__(
        self,
        depth: int,
        variant: str = "b",
        norm: Norm = FrozenBatchNorm,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        check_plan(depth, stages=4, out_stages=(4,))
        _check_variant(variant)
        super().__init__(**kwargs)
        self.channels = plan_stage(4, depth).out_channels
        with self.name_scope():
            self.layer4 = make_stage(4, depth, variant, norm, zero_gamma)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        return self.layer4(x)


def _check_variant(variant: str) -> None:
    """Raise InputError for a variant that is not "a", "b" or "d"."""
    if variant not in VARIANTS:
        raise InputError(f"ResNetV1 got variant {variant!r}; give 'a', 'b' or 'd'")


def _make_deep_stem(norm: Norm) -> nn.HybridSequential:
    """Make three 3x3 convolutions; the backbone's ``bn1`` is the norm after the last one."""
    half = STEM_CHANNELS // 2
    stem = nn.HybridSequential(prefix="conv1_")
    with stem.name_scope():
        stem.add(
            conv(half, kernel=3, stride=2, in_channels=3),
            norm(half),
            nn.Activation("relu"),
            conv(half, kernel=3, stride=1, in_channels=half),
            norm(half),
            nn.Activation("relu"),
            conv(STEM_CHANNELS, kernel=3, stride=1, in_channels=half),
        )
    return stem
