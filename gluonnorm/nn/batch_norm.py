"""Batch normalization: with live statistics, across GPUs, and with nothing that learns."""

from typing import Any, Dict, Optional

from gluonnorm.errors import InputError
from gluonnorm.types import Tensor

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock


class BatchNorm(mx.gluon.nn.BatchNorm):
    """Batch normalization (Ioffe and Szegedy, 2015, arXiv:1502.03167) over N, H and W.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``. In training, mean and variance are
    those of the batch. In inference, they are the stored running statistics.

    Parameters
    ----------
    in_channels : int
        Number of channels, C. 0 infers it from the first input.
    epsilon : float
        Added to the variance.
    momentum : float
        Fraction of the running statistics that is *kept* at each step, 0 to 1.
    use_global_stats : bool
        Use the stored statistics in training as well. gamma and beta still learn.
    center : bool
        False keeps beta at 0; beta then does not learn.
    scale : bool
        False keeps gamma at 1; gamma then does not learn.
    zero_gamma : bool
        Start gamma at 0. The last norm of a residual block may do so: the block then starts as
        its shortcut.
    **kwargs
        Arguments of Gluon's layer, such as ``prefix``.

    Attributes
    ----------
    used_in_heads : bool
        Whether neck and heads have this norm when the backbone has it, unless told otherwise.
        False, as in the published models.
    """

    used_in_heads: bool = False

    def __init__(
        self,
        in_channels: int = 0,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        use_global_stats: bool = False,
        center: bool = True,
        scale: bool = True,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            epsilon=epsilon,
            momentum=momentum,
            use_global_stats=use_global_stats,
            center=center,
            scale=scale,
            gamma_initializer=gamma_initializer(scale, zero_gamma),
            **kwargs,
        )


class SyncBatchNorm(mx.gluon.contrib.nn.SyncBatchNorm):
    """Batch normalization over a batch that is spread across the GPUs of one process.

    This is Gluon's own layer with the arguments that all norms share. It does not synchronize
    across processes, and it takes float32 only. In training, each of its GPUs must run it, because
    each waits for the others.

    Parameters
    ----------
    in_channels : int
        Number of channels, C. 0 infers it from the first input.
    num_devices : int, optional
        Number of GPUs that run the network together. None takes the GPUs that hold the layer's
        parameters when it runs or is traced; on CPUs each device is then on its own.
    epsilon, momentum, use_global_stats, center, scale, zero_gamma
        As in :class:`BatchNorm`.
    **kwargs
        Arguments of Gluon's layer, such as ``prefix``.

    Attributes
    ----------
    used_in_heads : bool
        Whether neck and heads have this norm when the backbone has it, unless told otherwise.
        True, as in the published models.
    """

    used_in_heads: bool = True

    def __init__(
        self,
        in_channels: int = 0,
        num_devices: Optional[int] = None,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        use_global_stats: bool = False,
        center: bool = True,
        scale: bool = True,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            # Gluon would take all visible GPUs, and wait for ever for those that the network is not
            # on. The number is known when the layer runs.
            num_devices=num_devices or 1,
            epsilon=epsilon,
            momentum=momentum,
            use_global_stats=use_global_stats,
            center=center,
            scale=scale,
            gamma_initializer=gamma_initializer(scale, zero_gamma),
            **kwargs,
        )
        self._num_devices = num_devices

    def hybrid_forward(
        self,
        F,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
    ) -> Tensor:
        num_devices = self._num_devices or max(1, self._count_gpus())
        settings: Dict[str, Any] = {**self._kwargs, "ndev": num_devices}
        # MXNet keeps the meeting point of a key for the life of the process, also if the network
        # moves to more or fewer GPUs.
        settings["key"] = f"{self.prefix}{num_devices}"
        return F.contrib.SyncBatchNorm(
            x, gamma, beta, running_mean, running_var, name="fwd", **settings
        )

    def _count_gpus(self) -> int:
        """Count the GPUs that hold the parameters; 0 before they are initialized."""
        # Shapes are inferred before that.
        if self.gamma._data is None and not self.gamma._deferred_init:
            return 0
        return sum(device.device_type == "gpu" for device in self.gamma.list_ctx())


class FrozenBatchNorm(HybridBlock):
    """Batch normalization in which nothing learns: a fixed scale and shift for each channel.

    ``y = gamma * (x - running_mean) / sqrt(running_var + epsilon) + beta``, in training and in
    inference. The four arrays come from a checkpoint and never change. Their ``grad_req`` is
    "null" and remains so, even after ``collect_params().setattr("grad_req", "write")``.
    Gradients flow through to x.

    Parameters
    ----------
    in_channels : int
        Number of channels, C. 0 infers it from the first input.
    epsilon : float
        Added to the variance; 0 or more. It belongs to the checkpoint. Most were trained with
        1e-5. It is 0 if the stored variance includes it, or if the statistics were merged into
        gamma and beta.
    center : bool
        Ignored; all norms have this argument. beta is 0 until a checkpoint sets it.
    scale : bool
        False makes the layer use 1 in place of gamma.
    zero_gamma : bool
        Ignored; all norms have this argument. A gamma frozen at 0 would remove its branch for
        good.
    **kwargs
        Arguments of ``HybridBlock``, such as ``prefix``.

    Raises
    ------
    InputError
        ``epsilon`` is negative.

    Attributes
    ----------
    used_in_heads : bool
        Whether neck and heads have this norm when the backbone has it, unless told otherwise.
        False, as in the published models.

    Examples
    --------
    >>> norm = FrozenBatchNorm(64)
    >>> norm.initialize()
    >>> norm(mx.nd.ones((1, 64, 8, 8))).shape
    (1, 64, 8, 8)
    """

    used_in_heads: bool = False

    def __init__(
        self,
        in_channels: int = 0,
        epsilon: float = 1e-5,
        center: bool = True,
        scale: bool = True,
        zero_gamma: bool = False,
        **kwargs,
    ) -> None:
        if epsilon < 0:
            raise InputError(f"FrozenBatchNorm got epsilon {epsilon}; give 0 or a positive number")
        super().__init__(**kwargs)
        self._attributes = {"eps": epsilon, "fix_gamma": not scale, "use_global_stats": True}
        self.gamma = _constant(self, "gamma", in_channels, "ones")
        self.beta = _constant(self, "beta", in_channels, "zeros")
        self.running_mean = _constant(self, "running_mean", in_channels, "zeros")
        self.running_var = _constant(self, "running_var", in_channels, "ones")

    def cast(self, dtype) -> None:
        """Cast the layer to another number type.

        Parameters
        ----------
        dtype : str or numpy.dtype
            Type of the data. The arrays of the layer take it too, except that they remain float32
            for float16 data, like those of Gluon's own layer.
        """
        is_float16 = np.dtype(dtype) == np.float16
        super().cast("float32" if is_float16 else dtype)

    def hybrid_forward(
        self,
        F,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
    ) -> Tensor:
        # oneDNN has a fast kernel for the BatchNorm operator and fuses it with convolutions. It
        # does neither for a multiplication and an addition.
        return F.BatchNorm(
            x, gamma, beta, running_mean, running_var, name="fwd", **self._attributes
        )


def gamma_initializer(scale: bool, zero_gamma: bool) -> str:
    """Choose the initial value of a norm's gamma.

    Parameters
    ----------
    scale : bool
        Whether gamma learns. A gamma that does not learn is always 1.
    zero_gamma : bool
        Whether a gamma that learns starts at 0.

    Returns
    -------
    str
        Name of a Gluon initializer, "zeros" or "ones".
    """
    return "zeros" if scale and zero_gamma else "ones"


def _constant(block: HybridBlock, name: str, channels: int, init: str) -> mx.gluon.Parameter:
    """Add an array (channels,) that is saved and loaded but cannot be made to learn."""
    return block.params.get(
        name, shape=(channels,), init=init, allow_deferred_init=True, differentiable=False
    )
