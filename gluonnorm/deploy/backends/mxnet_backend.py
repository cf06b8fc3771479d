"""MXNet as a run time, for exported files and for a network in this process."""

from typing import Optional, Sequence, Tuple, Type, Union

from gluonnorm.deploy.backends.backend import Backend, Outputs
from gluonnorm.deploy.bundle import OUTPUTS, DeployError, Manifest
from gluonnorm.deploy.candidate_count import expose_candidate_count
from gluonnorm.deploy.exported_block import classic_arrays, load
from gluonnorm.deploy.weight_checks import require_finite_weights, require_float32_weights
from gluonnorm.graph.trace import contexts, hybridize_for_inference

import mxnet as mx
import numpy as np


class MXNetBackend:
    """A detector of MXNet, on the first of its contexts.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        The detector. It remains hybridized or not.

    Raises
    ------
    DeployError
        The network is not a detector, or a weight is not finite.
    """

    run_errors: Tuple[Type[Exception], ...] = (mx.MXNetError,)

    def __init__(self, net: mx.gluon.HybridBlock) -> None:
        self.net = net
        self._ctx = contexts(net)[0]
        with classic_arrays():
            self._graph, self._num_outputs = expose_candidate_count(net)
        self.has_masks = self._num_outputs == len(OUTPUTS)
        require_finite_weights(net)
        hybridize_for_inference(self._graph)

    def run(self, pixels: np.ndarray) -> Outputs:
        """Run the network on a batch, see ``Backend.run``."""
        # Inside of autograd.record(), norms would take the statistics of the photo, dropout would
        # drop values, and MXNet would keep every map for a backward pass.
        with classic_arrays(), mx.autograd.pause():
            outputs = self._graph(mx.nd.array(pixels, ctx=self._ctx))
            arrays = [output.asnumpy() for output in outputs]
        further = arrays[self._num_outputs :]
        return Outputs(arrays[: self._num_outputs], further[0] if further else None)


def backend_of_network(net: mx.gluon.HybridBlock) -> Backend:
    """Run a network of this process.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        A detector.

    Returns
    -------
    MXNetBackend
        The network.

    Raises
    ------
    DeployError
        As ``MXNetBackend``; or the weights are not float32.
    """
    # The weights of an exported network may be of other types, for which its graph has casts.
    require_float32_weights(net)
    return MXNetBackend(net)


def open_files(
    prefix: str, ctx: Union[None, mx.Context, Sequence[mx.Context]], gpu: Optional[int]
) -> Tuple[Backend, Manifest]:
    """Open the files of an export in MXNet's format.

    Parameters
    ----------
    prefix : str
        Path and first part of the files' names.
    ctx : mx.Context, sequence of mx.Context or None
        Where the parameters will be; None is ``gpu``.
    gpu : int or None
        The number of the GPU; None is the CPU.

    Returns
    -------
    backend : MXNetBackend
        The network.
    manifest : dict
        See ``export``.

    Raises
    ------
    DeployError
        As ``load`` and ``MXNetBackend``; or MXNet does not see the GPU.
    InputError
        As ``load``.
    """
    if gpu is not None:
        visible = mx.context.num_gpus()
        if gpu >= visible:
            raise DeployError(
                f"gpu is {gpu}, and MXNet {mx.__version__} sees {visible} GPUs; pip install "
                "'gluonnorm[cu112]' brings MXNet for GPUs up to compute capability 8.9, and "
                "backend='onnxruntime' runs ONNX files on newer ones"
            )
        ctx = mx.gpu(gpu)
    net, manifest = load(prefix, mx.cpu() if ctx is None else ctx)
    try:
        return MXNetBackend(net), manifest
    except DeployError as error:
        raise DeployError(f"{prefix}: {error}; export again") from error
