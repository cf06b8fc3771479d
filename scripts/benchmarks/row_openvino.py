"""The benchmark's process of OpenVINO, for files of this package and of torchvision."""

import os
from pathlib import Path
from typing import Tuple

from benchmarks.onnx_detector import onnx_path, prepare_detector
from benchmarks.row_server import Facts, Run, Task, serve

import openvino

# Of an int8 file, OpenVINO computes in 8 bits what the file quantizes.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def prepare(task: Task) -> Tuple[Run, Facts]:
    """Load a file in OpenVINO.

    Parameters
    ----------
    task : dict
        ``folder`` and ``prefix`` of the file, ``dtype``, ``size`` and ``seed``. The file is
        OpenVINO's own in int8, else ONNX.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        The ``detections``.
    """
    path = onnx_path(task)
    if task["dtype"] == "int8":
        path = str(Path(path).with_suffix(".xml"))
    return prepare_network(openvino.Core().read_model(path), task)


def prepare_network(model: openvino.Model, task: Task) -> Tuple[Run, Facts]:
    """Compile a network for the task's type and this process's threads.

    Parameters
    ----------
    model : openvino.Model
        The network.
    task : dict
        ``dtype``, ``size`` and ``seed``.

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
    network = openvino.Core().compile_model(model, "CPU", settings)
    return prepare_detector(task, lambda image: list(network([image]).values()))


if __name__ == "__main__":
    serve(prepare)
