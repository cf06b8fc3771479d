"""The benchmark's process of onnxruntime, for ONNX files of this package and of torchvision."""

import os
from typing import Tuple

from benchmarks.onnx_detector import onnx_path, prepare_detector
from benchmarks.row_server import Facts, Run, Task, serve

import onnxruntime


def prepare(task: Task) -> Tuple[Run, Facts]:
    """Load an ONNX file in onnxruntime.

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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(
        onnx_path(task), options, providers=["CPUExecutionProvider"]
    )
    return prepare_detector(task, lambda image: session.run(None, {"data": image}))


if __name__ == "__main__":
    serve(prepare)
