"""The benchmark's process of an ONNX file in int8, quantized by nncf as users of OpenVINO do it."""

from typing import Tuple

from benchmarks.inputs import CALIBRATION_PHOTOS, network_inputs
from benchmarks.onnx_detector import onnx_path
from benchmarks.row_openvino import prepare_network
from benchmarks.row_server import Facts, Run, Task, serve

import nncf
import openvino


def prepare(task: Task) -> Tuple[Run, Facts]:
    """Quantize an ONNX file and load it in OpenVINO.

    Parameters
    ----------
    task : dict
        ``folder`` and ``prefix`` of the file, ``size`` and ``seed``.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        The ``detections``.
    """
    images = network_inputs(CALIBRATION_PHOTOS, task["size"], task["seed"] + 1)
    batches = [image[None] for image in images]
    model = openvino.Core().read_model(onnx_path(task))
    quantized = nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
    return prepare_network(quantized, {**task, "dtype": "int8"})


if __name__ == "__main__":
    serve(prepare)
