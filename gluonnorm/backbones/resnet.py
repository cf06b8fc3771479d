"""What ResNet v1 and v2 share: the plan of stages, the convolution, and the pass through them."""

from typing import List, NamedTuple, Optional, Sequence

from gluonnorm.backbones.base import Backbone
from gluonnorm.errors import InputError
from gluonnorm.nn import Rescale
from gluonnorm.types import Tensor

from mxnet.gluon import HybridBlock, nn
from mxnet.initializer import MSRAPrelu

# Number of blocks in stages 1 to 4, by depth.
BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STEM_CHANNELS = 64
STAGE_WIDTHS = (64, 128, 256, 512)  # channels of the 3x3 convolutions of stages 1 to 4
STAGE_STRIDES = (4, 8, 16, 32)  # strides of the maps after stages 1 to 4, in pixels of the image


class StagePlan(NamedTuple):
    """Sizes of one stage of a ResNet.

    Attributes
    ----------
    num_blocks : int
        How many residual blocks it has.
    width : int
        Channels of its 3x3 convolutions.
    in_channels, out_channels : int
        Channels of its input and of its output.
    stride : int
        Stride of its first block, 1 or 2.
    has_bottlenecks : bool
        True if its blocks are bottlenecks (depth 50 and above), False if they are basic blocks.
    """

    num_blocks: int
    width: int
    in_channels: int
    out_channels: int
    stride: int
    has_bottlenecks: bool


def plan_stage(number: int, depth: int) -> StagePlan:
    """Look up the sizes of one stage of a ResNet.

    Parameters
    ----------
    number : int
        Number of the stage, 1 to 4.
    depth : int
        18, 34, 50, 101 or 152.

    Returns
    -------
    StagePlan
        The sizes.

    Examples
    --------
    >>> plan_stage(2, depth=50).in_channels, plan_stage(2, depth=50).out_channels
    (256, 512)
    """
    has_bottlenecks = depth >= 50
    # A bottleneck's output is four times wider than its 3x3 convolution.
    expansion = 4 if has_bottlenecks else 1
    width = STAGE_WIDTHS[number - 1]
    in_channels = STEM_CHANNELS if number == 1 else STAGE_WIDTHS[number - 2] * expansion
    return StagePlan(
        num_blocks=BLOCKS_PER_STAGE[depth][number - 1],
        width=width,
        in_channels=in_channels,
        out_channels=width * expansion,
        stride=1 if number == 1 else 2,
        has_bottlenecks=has_bottlenecks,
    )


def check_plan(depth: int, stages: int, out_stages: Sequence[int]) -> None:
    """Check the depth of a ResNet, how many stages it has, and which of them it returns.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    stages : int
        How many stages are built, 1 to 4.
    out_stages : sequence of int
        Numbers of the stages whose output is returned: ascending, from 1 on, ending with
        ``stages``.

    Raises
    ------
    InputError
        One of them is not as described.
    """
    if depth not in BLOCKS_PER_STAGE:
        raise InputError(f"ResNet got depth {depth!r}; give one of {tuple(BLOCKS_PER_STAGE)}")
    if stages not in (1, 2, 3, 4):
        raise InputError(f"ResNet got stages {stages!r}; give 1 to 4")
    ascends = bool(out_stages) and list(out_stages) == sorted(set(out_stages))
    if not ascends or out_stages[0] < 1 or out_stages[-1] != stages:
        raise InputError(
            f"ResNet got out_stages {tuple(out_stages)!r} of {stages} stages; give ascending "
            f"numbers from 1 that end with {stages}, or build fewer stages"
        )


def conv(channels: int, kernel: int, stride: int, in_channels: int) -> nn.Conv2D:
    """Make a convolution without bias, with "same" padding.

    Parameters
    ----------
    channels : int
        Number of output channels.
    kernel : int
        Side of the kernel in pixels; odd.
    stride : int
        Step of the convolution in pixels.
    in_channels : int
        Number of input channels.

    Returns
    -------
    mxnet.gluon.nn.Conv2D
        A convolution that is initialized by its fan-out (He et al., 2015, arXiv:1502.01852).
    """
    return nn.Conv2D(
        channels,
        kernel_size=kernel,
        strides=stride,
        padding=kernel // 2,
        in_channels=in_channels,
        use_bias=False,
        weight_initializer=MSRAPrelu(factor_type="out", slope=0),
    )


class ResNet(Backbone):
    """Base of ResNet v1 and v2 without classifier: stem, stages, and the maps that are returned.

    A subclass creates ``maxpool`` and the layers of its stem, adds the stages one by one, and
    defines :meth:`stem`.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    stages : int
        How many of the four stages are built.
    out_stages : sequence of int, optional
        Numbers of the stages whose output is returned, ascending. None returns all that are built.
    rescale : str, optional
        "normalize" or "denormalize" puts a :class:`gluonnorm.nn.Rescale` in front.
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
        stages: int,
        out_stages: Optional[Sequence[int]],
        rescale: Optional[str],
        **kwargs,
    ) -> None:
        if out_stages is None:
            out_stages = range(1, stages + 1)
        out_stages = tuple(out_stages)
        check_plan(depth, stages, out_stages)
        super().__init__(
            strides=[STAGE_STRIDES[number - 1] for number in out_stages],
            channels=[plan_stage(number, depth).out_channels for number in out_stages],
            **kwargs,
        )
        self._out_stages = out_stages
        self._stages: List[HybridBlock] = []
        with self.name_scope():
            self.rescale = None if rescale is None else Rescale(rescale)

    def add_stage(self, stage: HybridBlock) -> None:
        """Add the next stage, as the child ``layer1``, ``layer2`` and so on.

        Parameters
        ----------
        stage : mxnet.gluon.HybridBlock
            The blocks of the stage.
        """
        self._stages.append(stage)
        setattr(self, f"layer{len(self._stages)}", stage)

    def stem(self, F, x: Tensor) -> Tensor:
        """Compute the stem: the layers before the first relu.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        x : Tensor
            Images (N, 3, H, W).

        Returns
        -------
        Tensor
            (N, 64, ceil(H / 2), ceil(W / 2)).
        """
        raise NotImplementedError

    def finish(self, F, x: Tensor) -> Tensor:
        """Compute what follows stage 4; nothing unless a subclass defines it.

        Parameters
        ----------
        F : module
            ``mxnet.ndarray`` or ``mxnet.symbol``.
        x : Tensor
            Output of stage 4, (N, C, H, W).

        Returns
        -------
        Tensor
            (N, C, H, W).
        """
        return x

    def hybrid_forward(self, F, x: Tensor) -> List[Tensor]:
        if self.rescale is not None:
            x = self.rescale(x)
        x = F.Activation(self.stem(F, x), act_type="relu")
        x = self.maxpool(x)
        maps = []
        for number, stage in enumerate(self._stages, start=1):
            x = stage(x)
            if number == len(STAGE_WIDTHS):
                x = self.finish(F, x)
            if number in self._out_stages:
                maps.append(x)
        return maps
