"""The file of an ONNX graph, written with the package ``onnx``."""

from typing import Any, Dict, Mapping, Sequence, Union

from gluonnorm import __version__
from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph, OnnxNode

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
# The version of the file format that came with this opset, which run times of that time read.
IR_VERSION = 8

# The lengths of the axes of an input or output: numbers, and names for those that vary.
Axes = Sequence[Union[int, str]]


def model_bytes(
    graph: OnnxGraph,
    inputs: Mapping[str, Axes],
    outputs: Mapping[str, Axes],
    metadata: Mapping[str, str],
) -> bytes:
    """Write an ONNX graph as the content of a file.

    Parameters
    ----------
    graph : OnnxGraph
        The graph.
    inputs, outputs : dict of str to sequence of int or str
        The axes of each input and output, all float32.
    metadata : dict of str to str
        What the file says about itself.

    Returns
    -------
    bytes
        The content of the file. ``onnx.checker`` has checked it.
    """
    constants = []
    for name, array in graph.constants.items():
        constants.append(numpy_helper.from_array(array, name))
    described = helper.make_graph(
        [_node(node) for node in graph.nodes],
        "gluonnorm",
        [_value(name, axes) for name, axes in inputs.items()],
        [_value(name, axes) for name, axes in outputs.items()],
        constants,
    )
    model = helper.make_model(
        described,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gluonnorm",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _node(node: OnnxNode) -> onnx.NodeProto:
    """Describe a node."""
    attributes: Dict[str, Any] = {}
    for name, value in node.attributes.items():
        if isinstance(value, np.ndarray):
            attributes[name] = numpy_helper.from_array(value)
        else:
            attributes[name] = value
    # A node has the name of its output, which is unique.
    return helper.make_node(
        node.op_type, node.inputs, node.outputs, name=node.outputs[0], **attributes
    )


def _value(name: str, axes: Axes) -> onnx.ValueInfoProto:
    """Describe an input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes))
