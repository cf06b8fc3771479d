"""A check that OpenVINO finds with int8 files what it finds in float32."""

import tempfile
from pathlib import Path
from typing import Dict, Iterable, List, Sequence

from gluonnorm.deploy.backends.openvino_backend import OpenVINOBackend
from gluonnorm.deploy.bundle import DeployError
from gluonnorm.photos.boxes import box_iou

import numpy as np

# Of each image, so many detections are compared, the best ones. Images are taken until so many are
# compared in both directions.
NUM_COMPARED = 10
SAME_IOU = 0.5
# int8 has found more than two thirds again in every detector that was tried, also without training.
# Files that OpenVINO computes wrongly have found none.
LEAST_SHARE = 0.5


def check_files(content: bytes, contents: Dict[str, bytes], images: Iterable[np.ndarray]) -> None:
    """Run files in int8 and the file in float32 in OpenVINO, and compare what they find.

    Parameters
    ----------
    content : bytes
        The ONNX file in float32.
    contents : dict of str to bytes
        The files of OpenVINO in int8, by the keys of their checksums.
    images : iterable of numpy.ndarray
        Inputs of the network, (1, 3, h, w) float32 each. The first ones are used, until there is
        enough to compare.

    Raises
    ------
    DeployError
        More than half of the best detections of one have no counterpart in the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, file in {"onnx": content, **contents}.items():
            (Path(folder) / f"model.{name}").write_bytes(file)
        exact = OpenVINOBackend(str(Path(folder) / "model.onnx"))
        narrow = OpenVINOBackend(str(Path(folder) / "model.xml"))
    are_common: List[bool] = []
    for image in images:
        expected = exact.run(image).detections
        detections = narrow.run(image).detections
        are_common.extend(_are_found(expected, detections))
        are_common.extend(_are_found(detections, expected))
        if len(are_common) >= 2 * NUM_COMPARED:
            break
    num_common = sum(are_common)
    if num_common < LEAST_SHARE * len(are_common):
        raise DeployError(
            f"of the {len(are_common)} best detections in float32 and in int8, OpenVINO finds only "
            f"{num_common} in both; calibrate on other photos, or export in 'bfloat16', or with "
            "format 'onnx'"
        )


def _are_found(expected: Sequence[np.ndarray], detections: Sequence[np.ndarray]) -> List[bool]:
    """Tell which of the best detections of an image are among others too.

    Parameters
    ----------
    expected, detections : sequence of numpy.ndarray
        ids (1, D, 1), scores (1, D, 1), boxes (1, D, 4), best first and padded with -1.

    Returns
    -------
    list of bool
        For each of the best of ``expected``, whether one of ``detections`` has its class and
        nearly its box.
    """
    ids, _, boxes = (output[0, :NUM_COMPARED] for output in expected[:3])
    other_ids, _, other_boxes = (output[0] for output in detections[:3])
    same_place = box_iou(boxes, other_boxes) >= SAME_IOU
    same_class = ids == other_ids[:, 0]
    is_found = (same_place & same_class).any(axis=1)
    return list(is_found[ids[:, 0] >= 0])
