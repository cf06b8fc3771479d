"""Running a function of ``F`` in both ways that MXNet has."""
import mxnet as mx
import numpy as np


def _arrays(result):
    return [array.asnumpy() for array in (result if isinstance(result, (list, tuple)) else [result])]


def imperative(function, *arrays):
    """``function(F, *tensors)`` on NDArrays: a list of NumPy arrays."""
    return _arrays(function(mx.nd, *(mx.nd.array(array, dtype=np.float32) for array in arrays)))


def symbolic(function, *arrays):
    """The same as a traced graph."""
    names = [f"input{i}" for i in range(len(arrays))]
    result = function(mx.sym, *(mx.sym.var(name) for name in names))
    graph = mx.sym.Group(list(result)) if isinstance(result, (list, tuple)) else result
    inputs = {name: mx.nd.array(array, dtype=np.float32) for name, array in zip(names, arrays)}
    wanted = graph.list_inputs()  # a graph may leave some input unread
    return _arrays(graph.eval(**{name: value for name, value in inputs.items() if name in wanted}))


def both(function, *arrays):
    """The imperative result, after checking that the traced graph gives the same."""
    first, second = imperative(function, *arrays), symbolic(function, *arrays)
    assert len(first) == len(second)
    for one, other in zip(first, second):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    return first
