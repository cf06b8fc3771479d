import json

from gluonnorm.deploy import load
from gluonnorm.graph.executor_safe import replace_shape_only_ops

import mxnet as mx
import numpy as np
import pytest
from tiny_detector import images
from tiny_export import exported

KINDS = ("fpn", "c4", "mask_fpn", "mask_c4")
SIZES = ((1, 64, 96), (2, 64, 96), (1, 128, 160), (2, 120, 90))


def module_of(prefix, shape):
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
    module = mx.mod.Module(symbol, data_names=["data"], label_names=None, context=mx.cpu())
    module.bind([("data", shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    return module


def assert_answers(module, net, x):
    expected = [output.asnumpy() for output in net(x)]
    assert (expected[1] > 0).sum() > 5  # there is something to compare
    for _ in range(2):  # the second run finds the first one's arrays in its memory
        module.forward(mx.io.DataBatch([x]))
        found = [output.asnumpy() for output in module.get_outputs()]
        assert len(found) == len(expected)
        for output, wanted in zip(found, expected):
            np.testing.assert_allclose(output, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_module_answers_like_the_block(kind, dtype, tmp_path):
    prefix = exported(tmp_path, kind, dtype)
    net = load(prefix)[0]
    for size in SIZES:
        x = images(*size)
        assert_answers(module_of(prefix, x.shape), net, x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_module_without_fusion_answers_like_the_plain_block(dtype, tmp_path, monkeypatch):
    prefix = exported(tmp_path, "mask_c4", dtype)
    net = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")
    monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")
    for size in SIZES:
        x = images(*size)
        assert_answers(module_of(prefix, x.shape), net, x)


@pytest.mark.parametrize("norm", ["gn", "sn", "sn_nobn"])
@pytest.mark.parametrize("kind", ["c4", "mask_fpn"])
def test_module_with_norms_of_the_image(kind, norm, tmp_path):
    prefix = exported(tmp_path, kind, norm=norm)
    for size in SIZES[1:3]:
        x = images(*size)
        assert_answers(module_of(prefix, x.shape), load(prefix)[0], x)


def test_one_module_for_several_sizes(tmp_path):
    prefix = exported(tmp_path, "mask_c4")
    module, net = module_of(prefix, (2, 3, 128, 160)), load(prefix)[0]
    for size in (*SIZES, SIZES[0]):
        x = images(*size)
        module.reshape([("data", x.shape)])
        assert_answers(module, net, x)


@pytest.mark.parametrize("kind", KINDS)
def test_no_operator_has_an_input_it_does_not_read(kind, tmp_path):
    graph = json.loads(open(exported(tmp_path, kind, norm="sn") + "-symbol.json").read())
    nodes, heads = graph["nodes"], {number for number, *_ in graph["heads"]}
    assert not {"zeros_like", "ones_like", "_contrib_arange_like"} & {node["op"] for node in nodes}
    for node in nodes:
        if (
            node["op"] == "reshape_like"
        ):  # of a norm, or of the masks, whose shape is that of an output
            assert "switchnorm" in node["name"].lower() or node["inputs"][1][0] in heads


def test_memory_that_has_become_a_layers_output():
    data = mx.sym.var("data")
    image = data + 0
    y = image
    for i in range(3):  # the second layer's output takes the place of image, in a layout of its own
        y = mx.sym.Convolution(
            y, kernel=(3, 3), pad=(1, 1), num_filter=16, no_bias=True, name=f"layer{i}"
        )
    symbol = replace_shape_only_ops(
        mx.sym.Group([mx.sym.sum(y), mx.sym.contrib.arange_like(image, axis=3) * 2])
    )
    executor = symbol.simple_bind(mx.cpu(), data=(1, 8, 16, 20), grad_req="null")
    executor.forward(is_train=False, data=mx.nd.ones((1, 8, 16, 20)))
    np.testing.assert_array_equal(executor.outputs[1].asnumpy(), np.arange(20) * 2)


def run(symbol, x):
    return (
        replace_shape_only_ops(symbol)
        .bind(mx.cpu(), {"data": mx.nd.array(x)})
        .forward()[0]
        .asnumpy()
    )


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_positions_along_an_axis(axis):
    x = np.random.default_rng(axis + 1).normal(0, 1, (2, 3, 5, 7))
    found = run(mx.sym.contrib.arange_like(mx.sym.var("data"), axis=axis), x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.arange(x.shape[axis]))


def test_positions_in_inputs_of_fewer_axes():
    data = mx.sym.var("data")
    line = mx.sym.contrib.arange_like(mx.sym.reshape(data, shape=(-1,)), axis=0)
    plane = mx.sym.contrib.arange_like(mx.sym.reshape(data, shape=(0, -1)), axis=1)
    both = mx.sym.concat(line, plane, dim=0)
    np.testing.assert_array_equal(run(both, np.zeros((2, 3, 2, 2))), [*range(24), *range(12)])


def test_zeros_and_ones_of_any_number():
    x = np.array([0, -0.0, 1, -3, np.nan, np.inf, -np.inf, 1e-45], np.float32).reshape(1, 1, 2, 4)
    np.testing.assert_array_equal(run(mx.sym.zeros_like(mx.sym.var("data")), x), np.zeros_like(x))
    np.testing.assert_array_equal(run(mx.sym.ones_like(mx.sym.var("data")), x), np.ones_like(x))


@pytest.mark.parametrize("settings", [{}, {"axis": 1, "start": 2}])
def test_positions_in_another_way(settings):
    with pytest.raises(ValueError, match="arange_like"):
        replace_shape_only_ops(mx.sym.contrib.arange_like(mx.sym.var("data"), **settings))
