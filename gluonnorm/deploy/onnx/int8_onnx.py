"""ONNX files in int8, made with the quantizer of onnxruntime."""

import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import AbstractSet, Dict, Iterable, Iterator, Optional

from gluonnorm.deploy.bundle import DeployError

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnxruntime import quantization

INPUT = "data"
# Version 1.19, the last one for Python 3.8 and 3.9, demands an int8 range of every softmax.
OLDEST_VERSION = (1, 20)


class _ImageReader(quantization.CalibrationDataReader):
    """The inputs of a network, one by one, as the quantizer asks for them."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> Optional[Dict[str, np.ndarray]]:
        """Return the next image by the name of the input; None after the last one."""
        image = next(self._images, None)
        return None if image is None else {INPUT: image}


def make_files(
    content: bytes, dtype: str, narrow: AbstractSet[str], images: Iterable[np.ndarray]
) -> Dict[str, bytes]:
    """Make an int8 ONNX file of a float32 one.

    Weights have a scale per channel. Activations are uint8 and have one scale each, from their
    least and greatest value on the images.

    Parameters
    ----------
    content : bytes
        The float32 file.
    dtype : str
        ``"int8"``.
    narrow : set of str
        The names of the nodes that compute in int8.
    images : iterable of numpy.ndarray
        Inputs of the network for calibration, (1, 3, h, w) float32 each.

    Returns
    -------
    dict of str to bytes
        The content of the file, by the key of its checksum. ``onnx.checker`` has checked it.

    Raises
    ------
    DeployError
        onnxruntime is too old.
    """
    if tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) < OLDEST_VERSION:
        raise DeployError(
            f"onnxruntime {onnxruntime.__version__} cannot write detectors in int8; install 1.20 "
            "or later, which needs Python 3.10"
        )
    model = onnx.load_model_from_string(content)
    types = {node.op_type for node in model.graph.node if node.name in narrow}
    with tempfile.TemporaryDirectory() as folder, _no_advice():
        path = os.path.join(folder, "int8.onnx")
        # Of a model in memory, onnxruntime 1.19 loses the weights that it moves to a file.
        float_path = os.path.join(folder, "float32.onnx")
        Path(float_path).write_bytes(content)
        quantization.quantize_static(
            float_path,
            path,
            _ImageReader(images),
            op_types_to_quantize=sorted(types),
            nodes_to_quantize=sorted(narrow),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        quantized = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(quantized, metadata)
    onnx.checker.check_model(quantized)
    return {"onnx": quantized.SerializeToString()}


@contextmanager
def _no_advice() -> Iterator[None]:
    """Keep the quantizer from advising to fold norms first, because they are folded already."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
