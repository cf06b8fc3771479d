import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx


def counted(*shape):
    """An array whose elements are all different."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    "shape",
    [
        (-1,),
        (0, -1),
        (0, 0, -1),
        (-1, 0, 0),
        (-2,),
        (0, -2),
        (-3, 0),
        (0, -3),
        (-3, -2),
        (-4, 2, -1, -2),
        (-4, -1, 2, 0, 0),
        (-4, 2, -1, -3),
        (0, -4, -1, 3, -4, 2, -1),
        (-3, -4, 2, -1),
        (1, -1, 1, 2),
    ],
)
def test_codes_of_reshape(shape):
    assert_same_in_onnx(
        lambda F, x: F.reshape(x, shape), counted(4, 3, 6), other_arrays=[counted(2, 6, 8)]
    )


def test_reshape_to_numbers():
    assert_same_in_onnx(lambda F, x: F.reshape(x, (2, 6)), counted(4, 3))


def test_reshape_like():
    assert_same_in_onnx(
        lambda F, x, like: F.reshape_like(x, like),
        counted(4, 6),
        counted(2, 3, 4),
        other_arrays=[counted(2, 9), counted(3, 3, 2)],
    )


@pytest.mark.parametrize(
    "span",
    [
        {"lhs_begin": 0, "lhs_end": 1, "rhs_begin": 0, "rhs_end": 2},
        {"lhs_begin": 0, "lhs_end": -1, "rhs_begin": 0, "rhs_end": -1},
    ],
)
def test_reshape_like_a_part_of_the_axes(span):
    assert_same_in_onnx(
        lambda F, x, like: F.reshape_like(x, like, **span),
        counted(6, 5),
        counted(2, 3, 7) if span["lhs_end"] == 1 else counted(6, 7),
        other_arrays=[counted(4, 2), counted(4, 1, 3) if span["lhs_end"] == 1 else counted(4, 3)],
    )


def test_flatten():
    assert_same_in_onnx(lambda F, x: F.flatten(x), counted(2, 3, 4, 5))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_expand_dims_and_squeeze(axis):
    assert_same_in_onnx(lambda F, x: F.expand_dims(x, axis=axis), counted(2, 3))
    assert_same_in_onnx(
        lambda F, x: F.expand_dims(x, axis=axis).squeeze(axis=axis) + 1, counted(2, 3)
    )


def test_squeeze_of_several_axes():
    assert_same_in_onnx(lambda F, x: F.squeeze(x, axis=(0, -1)), counted(1, 1, 3, 1))
