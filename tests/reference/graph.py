"""Run a function of ``F`` in both ways that MXNet has: imperatively, and as a traced graph."""

import mxnet as mx
import numpy as np


def imperative(function, *arrays):
    """Call ``function(F, *tensors)`` on NDArrays; return a list of NumPy arrays."""
    tensors = [mx.nd.array(array, dtype=np.float32) for array in arrays]
    return _to_numpy(function(mx.nd, *tensors))


def symbolic(function, *arrays):
    """Trace ``function(F, *tensors)`` and run the graph; return a list of NumPy arrays."""
    names = [f"input{number}" for number in range(len(arrays))]
    outputs = function(mx.sym, *[mx.sym.var(name) for name in names])
    graph = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    # A graph may leave an input unread, and MXNet does not accept values for it.
    inputs_read = graph.list_inputs()
    inputs = {}
    for name, array in zip(names, arrays):
        if name in inputs_read:
            inputs[name] = mx.nd.array(array, dtype=np.float32)
    return _to_numpy(graph.eval(**inputs))


def both(function, *arrays):
    """Return the imperative result, after checking that the traced graph gives the same."""
    imperative_outputs = imperative(function, *arrays)
    symbolic_outputs = symbolic(function, *arrays)
    assert len(imperative_outputs) == len(symbolic_outputs)
    for expected, output in zip(imperative_outputs, symbolic_outputs):
        np.testing.assert_allclose(output, expected, rtol=1e-6, atol=1e-6)
    return imperative_outputs


def _to_numpy(outputs):
    """Convert one array, or a list or tuple of them, to a list of NumPy arrays."""
    if not isinstance(outputs, (list, tuple)):
        outputs = [outputs]
    return [output.asnumpy() for output in outputs]
