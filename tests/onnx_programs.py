"""Graphs of MXNet run by onnxruntime after their conversion."""

from gluonnorm.deploy.onnx.convert import convert_graph

import mxnet as mx
import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed; pip install 'gluonnorm[onnx]'")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed; pip install 'gluonnorm[onnx]'"
)
# It imports onnx, so it comes after the check.
from gluonnorm.deploy.onnx.model_file import model_bytes  # noqa: E402


def onnx_program(symbol, values, input_shapes, load=None):
    """Convert a symbol, and load it in a run time.

    Parameters
    ----------
    symbol : mx.sym.Symbol
        The graph.
    values : dict of str to mx.nd.NDArray
        Values of its variables.
    input_shapes : dict of str to tuple of int
        A shape of each input. The program takes inputs of any lengths.
    load : callable or None
        :func:`session`, which is what None means, or :func:`openvino_program`.

    Returns
    -------
    callable
        Maps a dict of arrays by input name to the list of the outputs.
    """
    names = [f"output{number}" for number in range(len(symbol.list_outputs()))]
    graph = convert_graph(symbol, values, input_shapes, names)
    inputs = {}
    for name, shape in input_shapes.items():
        inputs[name] = [f"{name}_axis{axis}" for axis in range(len(shape))]
    _, shapes, _ = symbol.infer_shape(
        **input_shapes, **{name: value.shape for name, value in values.items()}
    )
    outputs = {}
    for name, shape in zip(names, shapes):
        outputs[name] = [f"{name}_axis{axis}" for axis in range(len(shape))]
    return (load or session)(model_bytes(graph, inputs, outputs, {}))


def session(content):
    """Load a model in onnxruntime with one thread.

    Parameters
    ----------
    content : bytes or str
        The content of the file, or its path.

    Returns
    -------
    callable
        Maps a dict of arrays by input name to the list of the outputs.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    loaded = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: loaded.run(None, inputs)


def openvino_program(content):
    """Load a model in OpenVINO with one thread, in float32.

    Parameters
    ----------
    content : bytes or str
        The content of the file, or its path.

    Returns
    -------
    callable
        As for :func:`session`.
    """
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", settings)
    return lambda inputs: list(compiled(inputs).values())


def assert_same_in_onnx(
    function, *arrays, weights=(), other_arrays=None, atol=1e-6, rtol=1e-6, load=None
):
    """Run a function of ``F`` in MXNet and, converted, in a run time, and compare the outputs.

    Parameters
    ----------
    function : callable
        Takes ``F``, the arrays and the weights, and returns an array or a list of several.
    *arrays : numpy.ndarray
        The inputs. The types become float32.
    weights : sequence of numpy.ndarray
        Further inputs, which are constants of the converted graph.
    other_arrays : sequence of numpy.ndarray or None
        Inputs of other lengths, on which the same converted graph is run too.
    atol, rtol : float
        The differences that are allowed.
    load : callable or None
        The run time, as for :func:`onnx_program`.
    """
    names = [f"input{number}" for number in range(len(arrays))]
    weight_names = [f"weight{number}" for number in range(len(weights))]
    variables = [mx.sym.var(name) for name in [*names, *weight_names]]
    outputs = function(mx.sym, *variables)
    symbol = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    values = {name: mx.nd.array(weight) for name, weight in zip(weight_names, weights)}
    shapes = {name: np.shape(array) for name, array in zip(names, arrays)}
    program = onnx_program(symbol, values, shapes, load)
    for inputs in [arrays] if other_arrays is None else [arrays, other_arrays]:
        ready = {name: np.asarray(array, np.float32) for name, array in zip(names, inputs)}
        expected = function(mx.nd, *map(mx.nd.array, ready.values()), *values.values())
        expected = expected if isinstance(expected, (list, tuple)) else [expected]
        found = program(ready)
        assert len(found) == len(expected)
        for output, wanted in zip(found, expected):
            assert output.shape == wanted.shape
            assert output.dtype == np.float32
            np.testing.assert_allclose(output, wanted.asnumpy(), rtol=rtol, atol=atol)
