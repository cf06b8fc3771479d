"""The files of OpenVINO (its "IR"), made of an ONNX file."""

import os
import tempfile
from typing import AbstractSet, Any, Dict, Iterable

from gluonnorm.errors import first_line

import numpy as np
import openvino

# Where a file keeps the type in which OpenVINO computes, and its names of the types.
PRECISION = ("gluonnorm", "precision")
PRECISIONS = {
    "float32": "f32",
    "bfloat16": "bf16",
    "int8": "f32",  # of what the file itself does not quantize
}
# What OpenVINO appends to the name of an ONNX node that it splits into a product and a sum.
PRODUCT = "/WithoutBiases"
# An operation with this mark computes in float32. OpenVINO obeys it in a model that it has read.
FLOAT32_MARK = "precise_0"


def make_files(
    content: bytes, dtype: str, narrow: AbstractSet[str], images: Iterable[np.ndarray]
) -> Dict[str, bytes]:
    """Make the files of OpenVINO of a float32 ONNX file.

    Parameters
    ----------
    content : bytes
        The ONNX file.
    dtype : str
        ``"float32"`` or ``"bfloat16"``.
    narrow : set of str
        The names of the ONNX nodes that compute in bfloat16.
    images : iterable of numpy.ndarray
        None are needed.

    Returns
    -------
    dict of str to bytes
        The contents of the files, by the keys of their checksums.
    """
    model = openvino.Core().read_model(content)
    if dtype == "bfloat16":
        for operation in model.get_ops():
            if _is_float32(operation) and not is_narrow(operation, narrow):
                operation.get_rt_info()[FLOAT32_MARK] = ""
    return written_files(model, dtype)


def _is_float32(operation: Any) -> bool:
    """Tell whether an operation computes float32 numbers.

    OpenVINO 2025 does not load a model with the mark on an operation of integers: it would leave
    int64 there and make int32 of what that is compared with.
    """
    types = {output.get_element_type() for output in operation.outputs()}
    return types == {openvino.Type.f32}


def is_narrow(operation: Any, narrow: AbstractSet[str]) -> bool:
    """Tell whether an operation is one of some ONNX nodes, or a part of one.

    Parameters
    ----------
    operation : openvino.Node
        The operation.
    narrow : set of str
        The names of the ONNX nodes.

    Returns
    -------
    bool
        Whether it is.
    """
    name = operation.get_friendly_name()
    product_name = name[: -len(PRODUCT)] if name.endswith(PRODUCT) else name
    return product_name in narrow


def written_files(model: openvino.Model, dtype: str) -> Dict[str, bytes]:
    """Write a model to the contents of OpenVINO's files.

    Parameters
    ----------
    model : openvino.Model
        The model. It gets a note of the type.
    dtype : str
        A key of ``PRECISIONS``.

    Returns
    -------
    dict of str to bytes
        The contents of the files, by the keys of their checksums.

    Raises
    ------
    OSError
        The temporary files could not be written.
    """
    model.set_rt_info(PRECISIONS[dtype], list(PRECISION))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.xml")
        try:
            openvino.save_model(model, path, compress_to_fp16=False)
            # On a full disk OpenVINO 2024 writes a part of a file without an error.
            openvino.Core().read_model(path)
        # Later versions raise the error of a C++ stream.
        except RuntimeError as error:
            raise OSError(first_line(error)) from error
        contents = {}
        for key, suffix in (("xml", ".xml"), ("bin", ".bin")):
            with open(os.path.join(folder, f"model{suffix}"), "rb") as file:
                contents[key] = file.read()
    return contents
