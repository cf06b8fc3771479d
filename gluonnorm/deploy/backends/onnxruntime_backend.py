"""onnxruntime as a run time, on the CPU or on an NVIDIA GPU."""

import io
from contextlib import redirect_stdout
from functools import partial
from typing import Any, Dict, List, Optional, Tuple, Type

from gluonnorm._runtime import num_threads
from gluonnorm.deploy.backends.backend import Backend, Outputs, named_outputs
from gluonnorm.deploy.backends.graph_files import open_graph_files
from gluonnorm.deploy.bundle import OUTPUTS, DeployError, Manifest

import numpy as np
import onnxruntime

# onnxruntime's levels of messages. Its errors are raised as well.
WARNINGS, ERRORS, ONLY_FATAL = 2, 3, 4
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
CUDA_OPTIONS = {
    # By default a GPU rounds the factors of convolutions and matrix products to the 10 bits of
    # TF32. Boxes then differ from those of the CPU by up to a pixel, scores by up to
    # 0.03.
    "use_tf32": "0",
    # By default cuDNN tries every algorithm of every convolution for each new size of image. The
    # algorithms that it finds were no faster on an H100.
    "cudnn_conv_algo_search": "HEURISTIC",
}
LONGEST_REASON = 160  # characters
INSTALL_CUDA = "pip install 'gluonnorm[onnx-gpu]'"


class OnnxRuntimeBackend:
    """An ONNX file in onnxruntime.

    Parameters
    ----------
    path : str
        The file.
    gpu : int or None
        The number of the GPU; None is the CPU.

    Raises
    ------
    DeployError
        onnxruntime cannot use the GPU.
    """

    net = None
    # onnxruntime's own classes have no common base but this one.
    run_errors: Tuple[Type[Exception], ...] = (Exception,)

    def __init__(self, path: str, gpu: Optional[int] = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        options.log_severity_level = ONLY_FATAL
        if gpu is None:
            self._session = onnxruntime.InferenceSession(path, options, providers=[CPU])
        else:
            self._session = _session_on_gpu(path, options, gpu)
        self.metadata: Dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]
        self.has_masks = OUTPUTS[-1] in self.output_names

    def run(self, pixels: np.ndarray) -> Outputs:
        """Run the network on a batch, see ``Backend.run``."""
        arrays = self._session.run(None, {self.input_names[0]: pixels})
        return named_outputs(self.output_names, arrays)


def _session_on_gpu(
    path: str, options: onnxruntime.SessionOptions, gpu: int
) -> onnxruntime.InferenceSession:
    """Load a file on a GPU, or raise DeployError: onnxruntime itself would take the CPU."""
    available = onnxruntime.get_available_providers()
    if CUDA not in available:
        raise DeployError(
            f"gpu is {gpu}, and the installed onnxruntime {onnxruntime.__version__} runs on "
            f"{', '.join(available)} alone; pip uninstall onnxruntime, then {INSTALL_CUDA}: the "
            "packages onnxruntime and onnxruntime-gpu overwrite each other"
        )
    # The libraries of pip's packages are on no search path. This loads them, and prints which ones
    # are missing.
    messages = io.StringIO()
    with redirect_stdout(messages):
        onnxruntime.preload_dlls()
    providers: List[Any] = [(CUDA, {"device_id": str(gpu), **CUDA_OPTIONS}), CPU]
    # The provider of CUDA warns at every start of what is right here. Its errors say which library
    # it cannot load.
    onnxruntime.set_default_logger_severity(ERRORS)
    try:
        # With a fallback, an error on the GPU would make all later runs use the CPU.
        session = onnxruntime.InferenceSession(path, options, providers, enable_fallback=0)
    except (RuntimeError, ValueError) as error:
        raise _no_gpu(gpu, _end_of(str(error))) from error
    finally:
        onnxruntime.set_default_logger_severity(WARNINGS)
    if session.get_providers()[0] != CUDA:
        missing = messages.getvalue().splitlines() or ["the lines above say why"]
        raise _no_gpu(gpu, missing[0])
    return session


def _end_of(message: str) -> str:
    """Return the last words of a message of onnxruntime, which begins with places in its source."""
    text = " ".join(message.split())
    if len(text) <= LONGEST_REASON:
        return text
    return "... " + text[-LONGEST_REASON:].partition(" ")[2]


def _no_gpu(gpu: int, reason: str) -> DeployError:
    """Return the error of a GPU that cannot be used."""
    return DeployError(
        f"onnxruntime cannot use GPU {gpu} ({reason}); see whether nvidia-smi lists the GPU, and "
        f"install the libraries of CUDA and cuDNN with {INSTALL_CUDA}"
    )


def open_files(prefix: str, ctx: Any, gpu: Optional[int]) -> Tuple[Backend, Manifest]:
    """Open the ONNX file of an export, see ``graph_files.open_graph_files``."""
    return open_graph_files(prefix, ctx, "onnx", partial(OnnxRuntimeBackend, gpu=gpu))
