"""A form of quantized models that OpenVINO computes right."""

from typing import Any

import openvino

LAYER_TYPES = ("Convolution", "GroupConvolution", "MatMul")
QUANTIZER = "FakeQuantize"


def share_quantizers(model: openvino.Model) -> None:
    """Let all readers of a layer without bias read what is quantized for one of them.

    OpenVINO (2025.4 and 2026.4, for inputs of any size) moves the scale of such a layer into the
    quantizer behind it, and for the other readers into the layer itself. The quantizer then gets
    values with the scale and applies it again: what it gives is nearly 0. A layer that is only read
    by quantizers has its scale once. OpenVINO drops a bias of zeros, so such a layer has none
    either. A pyramid has such layers before it is trained: the RPN and RoIAlign read them.

    Parameters
    ----------
    model : openvino.Model
        The model. It is changed.
    """
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != QUANTIZER:
            continue
        source = operation.input_value(0)
        if not _is_bare_layer(source.get_node()):
            continue
        for reader in source.get_target_inputs():
            if reader.get_node().get_type_name() != QUANTIZER:
                reader.replace_source_output(operation.output(0))


def _is_bare_layer(operation: Any) -> bool:
    """Tell whether an operation is a layer without bias, or adds a bias of zeros to one."""
    if operation.get_type_name() == "Add":
        layer, bias = [operation.input_value(number).get_node() for number in range(2)]
        is_constant = bias.get_type_name() == "Constant"
        return is_constant and not bias.get_data().any() and layer.get_type_name() in LAYER_TYPES
    return operation.get_type_name() in LAYER_TYPES
