"""onnxruntime as a run time, on the CPU."""

from typing import Any, Dict, Tuple, Type

from gluonnorm.deploy.backends.backend import Backend, Outputs, named_outputs, num_threads
from gluonnorm.deploy.backends.graph_files import open_graph_files
from gluonnorm.deploy.bundle import OUTPUTS, Manifest

import numpy as np
import onnxruntime

ONLY_FATAL = 4  # onnxruntime's level of messages; its other errors are raised as well


class OnnxRuntimeBackend:
    """An ONNX file in onnxruntime.

    Parameters
    ----------
    path : str
        The file.
    """

    net = None
    # onnxruntime's own classes have no common base but this one.
    run_errors: Tuple[Type[Exception], ...] = (Exception,)

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        options.log_severity_level = ONLY_FATAL
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.metadata: Dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]
        self.has_masks = OUTPUTS[-1] in self.output_names

    def run(self, pixels: np.ndarray) -> Outputs:
        """Run the network on a batch, see ``Backend.run``."""
        arrays = self._session.run(None, {self.input_names[0]: pixels})
        return named_outputs(self.output_names, arrays)


def open_files(prefix: str, ctx: Any) -> Tuple[Backend, Manifest]:
    """Open the ONNX file of an export, see ``graph_files.open_graph_files``."""
    return open_graph_files(prefix, ctx, "onnx", OnnxRuntimeBackend)
