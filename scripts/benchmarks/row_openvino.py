"""The benchmark's process of OpenVINO, for ONNX files of this package and of torchvision."""

import os
from typing import Tuple

from benchmarks.onnx_detector import onnx_path, prepare_detector
from benchmarks.row_server import Facts, Run, Task, serve

import openvino

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def prepare(task: Task) -> Tuple[Run, Facts]:
    """Load an ONNX file in OpenVINO.

    Parameters
    ----------
    task : dict
        ``folder`` and ``prefix`` of the file, ``dtype``, ``size`` and ``seed``.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        The ``detections``.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[task["dtype"]],
        "INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"]),
        "PERFORMANCE_HINT": "LATENCY",
    }
    network = openvino.Core().compile_model(onnx_path(task), "CPU", settings)
    return prepare_detector(task, lambda image: list(network([image]).values()))


if __name__ == "__main__":
    serve(prepare)
