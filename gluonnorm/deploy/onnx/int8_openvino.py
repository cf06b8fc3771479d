"""The files of OpenVINO in int8, made with nncf, its quantizer."""

import logging
import sys
from typing import AbstractSet, Dict, Iterable

from gluonnorm.deploy.onnx import nncf_without_telemetry  # noqa: F401
from gluonnorm.deploy.onnx.int8_openvino_check import check_files
from gluonnorm.deploy.onnx.openvino_files import is_narrow, written_files
from gluonnorm.deploy.onnx.shared_quantizers import share_quantizers

import nncf
import numpy as np
import openvino

# nncf imports this when it quantizes. Where nncf and OpenVINO do not fit together, this fails here,
# before the work begins.
from nncf.openvino.quantization import quantize_model  # noqa: F401
from openvino.passes import ConstantFolding, Manager


def make_files(
    content: bytes, dtype: str, narrow: AbstractSet[str], images: Iterable[np.ndarray]
) -> Dict[str, bytes]:
    """Make the int8 files of OpenVINO of a float32 ONNX file.

    Weights have a scale per channel. Activations have one scale each, from the means over the
    images of their least and greatest value.

    Parameters
    ----------
    content : bytes
        The ONNX file.
    dtype : str
        ``"int8"``.
    narrow : set of str
        The names of the ONNX nodes that compute in int8.
    images : iterable of numpy.ndarray
        Inputs of the network for calibration, (1, 3, h, w) float32 each. They are read several
        times.

    Returns
    -------
    dict of str to bytes
        The contents of the files, by the keys of their checksums.

    Raises
    ------
    DeployError
        OpenVINO finds something else with the files than with the ONNX file.
    """
    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(content)
    _fold_constants(model)
    kept_names = []
    for operation in model.get_ops():
        if not is_narrow(operation, narrow):
            kept_names.append(operation.get_friendly_name())
    quantized = nncf.quantize(
        model,
        nncf.Dataset(images),
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
        subset_size=sys.maxsize,  # all images
        ignored_scope=nncf.IgnoredScope(names=kept_names, validate=False),
    )
    share_quantizers(quantized)
    contents = written_files(quantized, dtype)
    check_files(content, contents, images)
    return contents


def _fold_constants(model: openvino.Model) -> None:
    """Compute what depends on no image, so that each bias is a constant, which nncf can correct.

    OpenVINO reads the bias of an ONNX node as a list that is brought to the rank of the output.
    """
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
