import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("axis", [None, 1, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(name, axis, keepdims):
    settings = {} if axis is None else {"axis": axis}
    assert_same_in_onnx(
        lambda F, x: getattr(F, name)(x, keepdims=keepdims, **settings),
        np.random.rand(2, 3, 4),
        other_arrays=[np.random.rand(3, 1, 5)],
        rtol=1e-5,
    )


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax(axis):
    assert_same_in_onnx(lambda F, x: F.softmax(x, axis=axis), np.random.normal(0, 5, (2, 3, 4)))


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_products_of_matrices(transpose_a, transpose_b):
    left = np.random.rand(2, 3, 5, 4) if transpose_a else np.random.rand(2, 3, 4, 5)
    right = np.random.rand(2, 3, 6, 5) if transpose_b else np.random.rand(2, 3, 5, 6)
    assert_same_in_onnx(
        lambda F, a, b: F.linalg.gemm2(a, b, transpose_a=transpose_a, transpose_b=transpose_b),
        left,
        right,
        rtol=1e-5,
    )


def test_diagonals():
    assert_same_in_onnx(
        lambda F, x: F.linalg.extractdiag(x),
        np.random.rand(2, 3, 4, 4),
        other_arrays=[np.random.rand(1, 2, 1, 1)],
    )
