"""OpenVINO as a run time, on the CPU."""

from typing import Any, Dict, Tuple, Type

from gluonnorm.deploy.backends.backend import Backend, Outputs, num_threads
from gluonnorm.deploy.backends.onnx_files import open_onnx_files, separate_candidates
from gluonnorm.deploy.bundle import Manifest

import numpy as np
import openvino

METADATA = "framework"  # where OpenVINO keeps the metadata of an ONNX file


class OpenVINOBackend:
    """An ONNX file in OpenVINO.

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
        # On processors with AMX, OpenVINO would compute in bfloat16.
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self.metadata: Dict[str, str] = {}
        if model.has_rt_info([METADATA]):
            for key, value in model.get_rt_info([METADATA]).value.items():
                self.metadata[key] = str(value)
        self.input_names = [value.get_any_name() for value in model.inputs]
        self.output_names = [value.get_any_name() for value in model.outputs]

    def run(self, pixels: np.ndarray) -> Outputs:
        """Run the network on a batch, see ``Backend.run``."""
        outputs = self._compiled({self.input_names[0]: pixels})
        arrays = [outputs[number] for number in range(len(self.output_names))]
        return separate_candidates(arrays, self.output_names)


def open_files(prefix: str, ctx: Any) -> Tuple[Backend, Manifest]:
    """Open the ONNX file of an export, see ``onnx_files.open_onnx_files``."""
    return open_onnx_files(prefix, ctx, OpenVINOBackend)
