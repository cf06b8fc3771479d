from gluonnorm.deploy import DeployError
from gluonnorm.deploy.onnx.convert import CONVERTERS, convert_graph
from gluonnorm.deploy.onnx.onnx_graph import OnnxGraph

import mxnet as mx
import numpy as np
import pytest


def convert(symbol, rank=4):
    """Convert a symbol of the variable "data"."""
    names = [f"output{number}" for number in range(len(symbol.list_outputs()))]
    return convert_graph(symbol, {}, {"data": (2, 4, 6, 8)[:rank]}, names)


@pytest.fixture
def data():
    return mx.sym.var("data")


def test_operators_without_a_converter_are_named(data):
    symbol = mx.sym.sin(mx.sym.LRN(data + 1, nsize=3, name="local"), name="wave")
    with pytest.raises(DeployError) as error:
        convert(symbol)
    message = str(error.value)
    assert "2 operators of the network have no converter to ONNX" in message
    assert "LRN (of local), sin (of wave)" in message
    assert "format='mxnet'" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "make, named",
    [
        (
            lambda F, x: F.softmax(x, temperature=2.0, name="n"),
            "softmax of n .*temperature is '2.0'",
        ),
        (lambda F, x: F.topk(x, k=2, dtype="int32", name="n"), "topk of n .*dtype is 'int32'"),
        (lambda F, x: F.topk(x, k=2, ret_typ="mask", name="n"), "topk of n .*ret_typ is 'mask'"),
        (lambda F, x: F.topk(x, k=0, name="n"), "topk of n .*k is 0"),
        (lambda F, x: F.sum(x, axis=1, exclude=True, name="n"), "sum of n .*exclude is 'True'"),
        (lambda F, x: F.reshape(x, (0, -1), reverse=True, name="n"), "Reshape of n .*reverse"),
        (lambda F, x: F.squeeze(x, name="n"), "squeeze of n .*no axis"),
        (lambda F, x: F.contrib.arange_like(x, name="n"), "arange_like of n .*no axis"),
        (
            lambda F, x: F.contrib.arange_like(x, axis=0, start=3, name="n"),
            "arange_like of n .*start is '3",
        ),
        (lambda F, x: F.repeat(x, repeats=2, name="n"), "repeat of n .*no axis"),
        (lambda F, x: F.cast(x, dtype="int32", name="n"), "Cast of n .*dtype is 'int32'"),
        (
            lambda F, x: F.Pooling(x, kernel=(2, 2), pool_type="sum", name="n"),
            "Pooling of n .*pool_type is 'sum'",
        ),
        (
            lambda F, x: F.Pooling(x, kernel=(2, 2), pooling_convention="same", name="n"),
            "Pooling of n .*pooling_convention is 'same'",
        ),
        (
            lambda F, x: F.Pooling(
                x, kernel=(1, 1), stride=(2, 2), pooling_convention="full", name="n"
            ),
            "Pooling of n .*stride that skips",
        ),
        (
            lambda F, x: F.contrib.AdaptiveAvgPooling2D(x, output_size=3, name="n"),
            "AdaptiveAvgPooling2D of n .*output_size is 3",
        ),
        (
            lambda F, x: F.UpSampling(x, x, scale=2, sample_type="nearest", name="n"),
            "UpSampling of n .*2 inputs",
        ),
        (
            lambda F, x: F.LeakyReLU(x, act_type="selu", name="n"),
            "LeakyReLU of n .*act_type is 'selu'",
        ),
        (lambda F, x: F.take(x, x, mode="wrap", name="n"), "take of n .*mode is 'wrap'"),
        (
            lambda F, x: F.contrib.box_nms(x, topk=5, name="n"),
            "box_nms of n .*topk is '5'",
        ),
        (
            lambda F, x: F.contrib.box_nms(x, in_format="center", name="n"),
            "box_nms of n .*in_format is 'center'",
        ),
        (
            lambda F, x: F.BatchNorm(x, axis=-1, name="n"),
            "BatchNorm of n .*axis is '-1'",
        ),
    ],
)
def test_attributes_that_a_converter_does_not_know_are_named(data, make, named):
    with pytest.raises(DeployError, match=f"operator .*{named}.*format='mxnet'"):
        convert(make(mx.sym, data))


def test_hints_of_mxnet_are_no_attributes(data):
    with mx.AttrScope(lr_mult="2", ctx_group="first"):
        symbol = mx.sym.softmax(data, axis=1)
    assert [node.op_type for node in convert(symbol).nodes] == ["Softmax", "Identity"]


def test_a_value_that_is_an_output_twice_has_both_names(data):
    total = data + 1
    graph = convert(mx.sym.Group([total, total]))
    assert graph.outputs == ["output0", "output1"]
    assert [node.op_type for node in graph.nodes] == ["Add", "Identity", "Identity"]


def test_the_same_operator_on_the_same_inputs_is_computed_once():
    graph = OnnxGraph()
    first = graph.add("Slice", "data", graph.integers(0), graph.integers(2))
    assert graph.add("Slice", "data", graph.integers(0), graph.integers(2)) == first
    assert graph.add("Slice", "data", graph.integers(0), graph.integers(3)) != first
    filled = graph.add("ConstantOfShape", "shape", value=np.zeros(1, np.float32))
    assert graph.add("ConstantOfShape", "shape", value=np.zeros(1, np.float32)) == filled
    assert graph.add("ConstantOfShape", "shape", value=-np.ones(1, np.float32)) != filled
    assert graph.number(1) != graph.integer(1) != graph.integers(1)
    assert len(graph.nodes) == 4
    assert len(graph.constants) == 6


def test_every_value_is_made_once_and_before_it_is_read(data):
    first = mx.sym.softmax(data, name="twice")
    second = mx.sym.softmax(first, name="twice")
    graph = convert(mx.sym.Group([second, mx.sym.max(data), first]))
    known = {"data", *graph.constants}
    for node in graph.nodes:
        assert set(node.inputs) <= known
        assert not known & set(node.outputs)
        known |= set(node.outputs)
    assert set(graph.outputs) <= known


def test_there_are_converters_of_both_kinds_of_comparison():
    for name in ("equal", "not_equal", "greater", "greater_equal", "lesser", "lesser_equal"):
        assert {f"_{name}", f"_{name}_scalar", f"broadcast_{name}"} <= set(CONVERTERS)
