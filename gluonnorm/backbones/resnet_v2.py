"""Pre-activation ResNet v2 (He et al., 2016, arXiv:1603.05027), layers as in Gluon's model zoo."""

from collections import Counter
from typing import Dict, List, Optional, Sequence, Tuple, Union

from gluonnorm.backbones.resnet import STEM_CHANNELS, ResNet, check_plan, conv, plan_stage
from gluonnorm.nn import FrozenBatchNorm, Norm
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn

# Gluon's names of the layers outside the stages.
GLUON_LAYERS = {
    "bn_in": "batchnorm0",
    "conv1": "conv0",
    "bn1": "batchnorm1",
    "bn_out": "batchnorm2",
}


class BasicBlockV2(HybridBlock):
    """Two 3x3 convolutions, with norm and relu before each: the block of ResNet-18 and 34.

    Parameters
    ----------
    width : int
        Channels of the convolutions and of the output.
    stride : int
        Stride of the first convolution.
    in_channels : int
        Channels of the input.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start the block as its shortcut.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.
    """

    def __init__(
        self, width: int, stride: int, in_channels: int, norm: Norm, zero_gamma: bool, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.bn1 = norm(in_channels)
            self.conv1 = conv(width, kernel=3, stride=stride, in_channels=in_channels)
            self.bn2 = norm(width, zero_gamma=zero_gamma)
            self.conv2 = conv(width, kernel=3, stride=1, in_channels=width)
            self.downsample = _make_downsample(width, stride, in_channels)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x
        x = F.Activation(self.bn1(x), act_type="relu")
        if self.downsample is not None:
            shortcut = self.downsample(x)
        x = self.conv1(x)
        x = self.conv2(F.Activation(self.bn2(x), act_type="relu"))
        return F.elemwise_add(x, shortcut)


class BottleneckV2(HybridBlock):
    """1x1, 3x3 and 1x1 convolution, with norm and relu before each: for depths 50 and above.

    Parameters
    ----------
    width : int
        Channels of the first two convolutions. The output has four times as many.
    stride : int
        Stride of the 3x3 convolution.
    in_channels : int
        Channels of the input.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start the block as its shortcut.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.
    """

    def __init__(
        self, width: int, stride: int, in_channels: int, norm: Norm, zero_gamma: bool, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        out_channels = 4 * width
        with self.name_scope():
            self.bn1 = norm(in_channels)
            self.conv1 = conv(width, kernel=1, stride=1, in_channels=in_channels)
            self.bn2 = norm(width)
            self.conv2 = conv(width, kernel=3, stride=stride, in_channels=width)
            self.bn3 = norm(width, zero_gamma=zero_gamma)
            self.conv3 = conv(out_channels, kernel=1, stride=1, in_channels=width)
            self.downsample = _make_downsample(out_channels, stride, in_channels)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        shortcut = x
        x = F.Activation(self.bn1(x), act_type="relu")
        if self.downsample is not None:
            shortcut = self.downsample(x)
        x = self.conv1(x)
        x = self.conv2(F.Activation(self.bn2(x), act_type="relu"))
        x = self.conv3(F.Activation(self.bn3(x), act_type="relu"))
        return F.elemwise_add(x, shortcut)


def _make_downsample(channels: int, stride: int, in_channels: int) -> Optional[nn.Conv2D]:
    """Make the shortcut of a block; None if it does not change the size of the map."""
    if stride == 1 and in_channels == channels:
        return None
    return conv(channels, kernel=1, stride=stride, in_channels=in_channels)


def make_stage(
    number: int, depth: int, norm: Norm, zero_gamma: bool = False
) -> nn.HybridSequential:
    """Make one stage of a ResNet v2 as a sequence of blocks.

    Parameters
    ----------
    number : int
        Number of the stage, 1 to 4. All stages but the first halve height and width.
    depth : int
        18, 34, 50, 101 or 152.
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
    block = BottleneckV2 if plan.has_bottlenecks else BasicBlockV2
    stage = nn.HybridSequential(prefix=f"layer{number}_")
    with stage.name_scope():
        stage.add(block(plan.width, plan.stride, plan.in_channels, norm, zero_gamma))
        for _ in range(1, plan.num_blocks):
            stage.add(block(plan.width, 1, plan.out_channels, norm, zero_gamma))
    return stage


class ResNetV2(ResNet):
    """ResNet v2 without its classifier.

    The maps of stages 1 to 3 are the sums that the next stage takes. The map of stage 4 has passed
    the last norm and relu.

    The first norm, on the image, has neither scale nor center. It is a frozen batch norm for every
    ``norm``: it holds the pixel statistics that the weights were trained with, and three channels
    cannot be divided into groups.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    norm : callable
        Makes the norm for a number of channels, as :func:`gluonnorm.nn.make_norm` returns it.
    stages : int
        How many of the four stages are built. 3 is for a C4 detector, whose head is
        :class:`ResNetV2Top`.
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
        Depth, stages or out_stages are not as described.
    """

    def __init__(
        self,
        depth: int,
        norm: Norm = FrozenBatchNorm,
        stages: int = 4,
        out_stages: Optional[Sequence[int]] = None,
        rescale: Optional[str] = None,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(depth, stages, out_stages, rescale, **kwargs)
        with self.name_scope():
            self.bn_in = FrozenBatchNorm(3, center=False, scale=False)
            self.conv1 = conv(STEM_CHANNELS, kernel=7, stride=2, in_channels=3)
            self.bn1 = norm(STEM_CHANNELS)
            self.maxpool = nn.MaxPool2D(3, strides=2, padding=1)
            for number in range(1, stages + 1):
                self.add_stage(make_stage(number, depth, norm, zero_gamma))
            self.bn_out: HybridBlock = norm(self.channels[-1]) if stages == 4 else None

    def stages(self) -> List[List[HybridBlock]]:
        """List the blocks with parameters by stage; the first is the stem.

        Returns
        -------
        list of list of mxnet.gluon.HybridBlock
            As in :meth:`Backbone.stages`. The norm after stage 4 belongs to stage 4.
        """
        stages = [[self.bn_in, self.conv1, self.bn1]] + [[stage] for stage in self._stages]
        if self.bn_out is not None:
            stages[-1].append(self.bn_out)
        return stages

    def stem(self, F, x: Tensor) -> Tensor:
        """Compute the norms and the convolution of the stem; see :meth:`.ResNet.stem`."""
        return self.bn1(self.conv1(self.bn_in(x)))

    def finish(self, F, x: Tensor) -> Tensor:
        """Compute the norm and relu after stage 4; see :meth:`.ResNet.finish`."""
        return F.Activation(self.bn_out(x), act_type="relu")


class ResNetV2Top(HybridBlock):
    """Stage 4 of a ResNet v2 with its last norm and relu, the head of a C4 detector.

    (R, C, p, p) becomes (R, 2C, ceil(p / 2), ceil(p / 2)). C is 1024 for depth 50 and above, and
    256 for 18 and 34.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    norm : callable
        Makes the norm for a number of channels.
    zero_gamma : bool
        Start each block as its shortcut.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        The depth is unknown.

    Attributes
    ----------
    channels : int
        Channels of the output, 2C.
    """

    def __init__(
        self, depth: int, norm: Norm = FrozenBatchNorm, zero_gamma: bool = False, **kwargs
    ) -> None:
        check_plan(depth, stages=4, out_stages=(4,))
        super().__init__(**kwargs)
        self.channels = plan_stage(4, depth).out_channels
        with self.name_scope():
            self.layer4 = make_stage(4, depth, norm, zero_gamma)
            self.bn_out = norm(self.channels)

    def hybrid_forward(self, F, x: Tensor) -> Tensor:
        return F.Activation(self.bn_out(self.layer4(x)), act_type="relu")


def mxnet_names(net: Union[ResNetV2, ResNetV2Top]) -> Dict[str, str]:
    """Map the structural names of a ResNet v2's parameters to those of Gluon's model zoo.

    Parameters
    ----------
    net : ResNetV2 or ResNetV2Top
        The backbone, or the head of a C4 detector.

    Returns
    -------
    dict of str to str
        Names in ``mxnet.gluon.model_zoo.vision.resnet*_v2`` without the prefix of the network, by
        structural name: "stage1_batchnorm0_gamma" for "layer1.0.bn1.gamma".
    """
    names: Dict[str, str] = {}
    gluon_layers = dict(GLUON_LAYERS)
    # Gluon numbers the convolutions and the norms of a stage in the order in which it makes them,
    # which is the order of the children here.
    counts: Dict[Tuple[str, str], int] = Counter()
    for name in net._collect_params_with_prefix():
        layer, _, parameter = name.rpartition(".")
        if layer not in gluon_layers:
            stage = layer[len("layer")]
            layer_type = "batchnorm" if ".bn" in layer else "conv"
            number = counts[stage, layer_type]
            counts[stage, layer_type] += 1
            gluon_layers[layer] = f"stage{stage}_{layer_type}{number}"
        names[name] = f"{gluon_layers[layer]}_{parameter}"
    return names
