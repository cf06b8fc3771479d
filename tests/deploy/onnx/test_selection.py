import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx


def counted(*shape):
    """An array whose elements are all different."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("begin, end", [(0, 1), (1, None), (-2, None), (0, -1), (1, 3)])
def test_slice_axis(axis, begin, end):
    assert_same_in_onnx(
        lambda F, x: F.slice_axis(x, axis=axis, begin=begin, end=end),
        counted(3, 4, 5),
        other_arrays=[counted(5, 3, 3)],
    )


@pytest.mark.parametrize(
    "bounds",
    [
        {"begin": (1, None), "end": (3, None)},
        {"begin": (0, None, 0), "end": (1, None, 1)},
        {"begin": (None, -2), "end": (None, None)},
        {"begin": (None, None), "end": (None, None), "step": (2, -1)},
        {"begin": (None, 3), "end": (None, 0), "step": (None, -2)},
    ],
)
def test_slice(bounds):
    assert_same_in_onnx(lambda F, x: F.slice(x, **bounds), counted(3, 4, 5))


@pytest.mark.parametrize("axes", [(), (0,), (1, 2), (-1,)])
def test_slice_like(axes):
    assert_same_in_onnx(
        lambda F, x, like: F.slice_like(x, like, axes=axes),
        counted(3, 4, 5),
        counted(2, 3, 4),
        other_arrays=[counted(2, 2, 2), counted(1, 2, 1)],
    )


@pytest.mark.parametrize("ret_typ", ["indices", "value", "both"])
@pytest.mark.parametrize("is_ascend", [False, True])
def test_top_k_of_different_numbers(ret_typ, is_ascend):
    rows = np.random.permutation(60).reshape(3, 20)
    assert_same_in_onnx(
        lambda F, x: F.topk(x, axis=1, k=7, ret_typ=ret_typ, is_ascend=is_ascend),
        rows,
        other_arrays=[np.random.permutation(7)[None]],
    )


def test_top_k_of_equal_numbers_gives_the_same_values():
    rows = np.random.randint(0, 4, (3, 20))
    assert_same_in_onnx(lambda F, x: F.topk(x, axis=1, k=7, ret_typ="value"), rows)


@pytest.mark.parametrize("axis", [0, 1])
def test_take_with_indices_beyond_the_ends(axis):
    assert_same_in_onnx(
        lambda F, data, indices: F.take(data, indices, axis=axis),
        counted(4, 5),
        [[0, 3, 9], [-3, 1, 2]],
        other_arrays=[counted(2, 3), np.array([[5]])],
    )


@pytest.mark.parametrize("num_coordinates", [1, 2, 3])
def test_gather_nd(num_coordinates):
    indices = np.random.randint(0, 2, (num_coordinates, 4, 3))
    assert_same_in_onnx(
        lambda F, data, indices: F.gather_nd(data, indices), counted(2, 3, 4), indices
    )
    line = indices[:, :, 0]
    assert_same_in_onnx(lambda F, data, indices: F.gather_nd(data, indices), counted(2, 3, 4), line)
