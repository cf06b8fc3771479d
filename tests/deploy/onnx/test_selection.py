from gluonnorm.deploy.onnx.convert import convert_graph
from gluonnorm.ops.select import gather

import mxnet as mx
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


@pytest.mark.parametrize("trailing", [(), (4,), (2, 3)])
def test_rows_of_each_image(trailing):
    def draw(images, rows, count):
        indices = np.random.randint(0, rows, (images, count))
        return [np.random.normal(size=(images, rows, *trailing)), indices]

    assert_same_in_onnx(
        lambda F, data, indices: gather(F, data, indices),
        *draw(3, 7, 5),
        other_arrays=draw(2, 4, 9),
    )


def test_rows_are_selected_by_one_operator():
    symbol = gather(mx.sym, mx.sym.var("data"), mx.sym.var("indices"))
    shapes = {"data": (3, 7, 4), "indices": (3, 5)}
    graph = convert_graph(symbol, {}, shapes, ["rows"])
    kinds = [node.op_type for node in graph.nodes]
    assert kinds == ["Cast", "Unsqueeze", "GatherND", "Identity"]


def test_coordinates_that_are_stacked_otherwise():
    # The rows are those of the transposed place.
    def pick(F, data, indices):
        image = F.contrib.arange_like(indices, axis=0).reshape((-1, 1))
        return F.gather_nd(data, F.stack(indices, F.broadcast_like(image, indices), axis=0))

    assert_same_in_onnx(pick, np.random.normal(size=(4, 4)), np.random.randint(0, 4, (3, 2)))


def test_the_length_of_a_slice_needs_no_slice():
    line = mx.sym.slice_axis(mx.sym.var("data"), axis=1, begin=0, end=1)
    symbol = mx.sym.contrib.arange_like(line, axis=2)
    graph = convert_graph(symbol, {}, {"data": (2, 3, 4, 5)}, ["places"])
    assert "Slice" not in [node.op_type for node in graph.nodes]
    assert_same_in_onnx(
        lambda F, x: F.contrib.arange_like(F.slice_axis(x, axis=1, begin=1, end=3), axis=1),
        np.zeros((2, 5)),
    )
