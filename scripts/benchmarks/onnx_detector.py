"""What the rows of onnxruntime and OpenVINO share. Their interpreters may lack MXNet and torch."""

from pathlib import Path
from typing import Callable, List, Tuple

from benchmarks.inputs import best_detections, network_inputs
from benchmarks.row_server import Facts, Run, Task

import numpy as np

# Runs a network on images, (B, 3, H, W), and returns ids, scores, boxes and perhaps more.
Network = Callable[[np.ndarray], List[np.ndarray]]


def onnx_path(task: Task) -> str:
    """Name the ONNX file of a task.

    Parameters
    ----------
    task : dict
        ``folder`` and ``prefix`` of the file.

    Returns
    -------
    str
        The path.
    """
    return str(Path(task["folder"], f"{task['prefix']}.onnx"))


def prepare_detector(task: Task, network: Network) -> Tuple[Run, Facts]:
    """Prepare the run of a detector on one image.

    Parameters
    ----------
    task : dict
        ``size`` and ``seed``.
    network : callable
        The detector. The file of this package gives rows for each image and pads them; that of
        torchvision gives the rows of its one image.

    Returns
    -------
    run : callable
        Runs the network.
    facts : dict
        The ``detections``.
    """
    image = network_inputs(1, task["size"], task["seed"])
    ids, scores, boxes = network(image)[:3]
    detections = best_detections(ids, scores, boxes.reshape(-1, 4))
    return lambda: network(image), {"detections": detections}
