import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx


def counted(*shape):
    """An array whose elements are all different."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("axes", [(), (0, 2, 1), (2, 0, 1)])
def test_transpose(axes):
    assert_same_in_onnx(lambda F, x: F.transpose(x, axes), counted(2, 3, 4))


def test_swapped_axes():
    assert_same_in_onnx(lambda F, x: F.SwapAxis(x, dim1=1, dim2=2), counted(2, 3, 4, 5))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stack_and_concat(axis):
    assert_same_in_onnx(lambda F, a, b: F.stack(a, b, axis=axis), counted(2, 3), -counted(2, 3))
    assert_same_in_onnx(lambda F, a, b: F.concat(a, b, dim=axis), counted(2, 2), -counted(2, 2))


def test_concat_along_the_axis_of_channels_by_default():
    assert_same_in_onnx(lambda F, a, b: F.concat(a, b), counted(2, 3), -counted(2, 2))


@pytest.mark.parametrize("squeeze_axis", [False, True])
def test_split(squeeze_axis):
    assert_same_in_onnx(
        lambda F, x: list(F.split(x, num_outputs=3, axis=1, squeeze_axis=squeeze_axis)),
        counted(2, 3, 4),
        other_arrays=None if squeeze_axis else [counted(1, 6, 2)],
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_repeat(axis):
    assert_same_in_onnx(
        lambda F, x: F.repeat(x, repeats=3, axis=axis),
        counted(2, 1, 4),
        other_arrays=[counted(1, 3, 2)],
    )


def test_broadcast_like():
    assert_same_in_onnx(
        lambda F, x, like: F.broadcast_like(x, like),
        counted(2, 1, 1),
        counted(2, 3, 4),
        other_arrays=[counted(1, 3, 1), counted(5, 3, 2)],
    )


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_arange_like(axis):
    assert_same_in_onnx(
        lambda F, x: F.contrib.arange_like(x, axis=axis),
        counted(2, 3, 4),
        other_arrays=[counted(5, 1, 1)],
    )


@pytest.mark.parametrize("name", ["zeros_like", "ones_like"])
def test_constants_of_a_shape(name):
    assert_same_in_onnx(
        lambda F, x: getattr(F, name)(x), counted(2, 3), other_arrays=[counted(1, 4)]
    )
