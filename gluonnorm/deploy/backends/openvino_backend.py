"""OpenVINO as a run time, on the CPU."""

from typing import Any, Dict, Optional, Tuple, Type

from gluonnorm._runtime import num_threads
from gluonnorm.deploy.backends.backend import Backend, Outputs, named_outputs
from gluonnorm.deploy.backends.graph_files import open_graph_files
from gluonnorm.deploy.bundle import OUTPUTS, Manifest, graph_path
from gluonnorm.deploy.onnx.openvino_files import PRECISION, PRECISIONS
from gluonnorm.errors import InputError

import numpy as np
import openvino

METADATA = "framework"  # where OpenVINO keeps the metadata of an ONNX file


class OpenVINOBackend:
    """A file of OpenVINO or ONNX in OpenVINO.

    Parameters
    ----------
    path : str
        The file.
    """

    net = None
    run_errors: Tuple[Type[Exception], ...] = (RuntimeError,)

    def __init__(self, path: str) -> None:
        core = openvino.Core()
        model = core.read_model(path)
        precision = PRECISIONS["float32"]
        if model.has_rt_info(list(PRECISION)):
            precision = model.get_rt_info(list(PRECISION)).astype(str)
        # By default, OpenVINO computes in bfloat16 on processors with AMX. It also binds its
        # threads to the first cores in every process, so two processes of one thread share a core.
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self.metadata: Dict[str, str] = {}
        if model.has_rt_info([METADATA]):
            for key, value in model.get_rt_info([METADATA]).value.items():
                self.metadata[key] = str(value)
        self.input_names = [_own_name(value) for value in model.inputs]
        self.output_names = [_own_name(value) for value in model.outputs]
        self.has_masks = OUTPUTS[-1] in self.output_names

    def run(self, pixels: np.ndarray) -> Outputs:
        """Run the network on a batch, see ``Backend.run``."""
        outputs = self._compiled({self.input_names[0]: pixels})
        arrays = [outputs[number] for number in range(len(self.output_names))]
        return named_outputs(self.output_names, arrays)


def _own_name(value: Any) -> str:
    """Return the name that the export gave to an input or output.

    OpenVINO 2024 adds the name of its operation, which is longer: it ends with "/" and a type.
    """
    return min(value.get_names(), key=len)


def open_files(prefix: str, ctx: Any, gpu: Optional[int]) -> Tuple[Backend, Manifest]:
    """Open the files of an export, see ``graph_files.open_graph_files``.

    Those of OpenVINO come first, because they may be in another type than the ONNX file.
    """
    if gpu is not None:
        raise InputError(
            f"gpu is {gpu} for OpenVINO, which runs on the CPU; leave it out, or give "
            "backend='onnxruntime' for an NVIDIA GPU"
        )
    format = "openvino" if graph_path(prefix, "openvino").is_file() else "onnx"
    return open_graph_files(prefix, ctx, format, OpenVINOBackend)
