from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.norm_after_conv import has_bias, is_only_reader, match_channel_norm
from gluonnorm.nn import BatchNorm, FrozenBatchNorm, GroupNorm

import mxnet as mx
import pytest


def graph_of(block):
    return Graph.read(block(mx.sym.var("data")))


@pytest.mark.parametrize("scale", [True, False])
def test_a_batch_norm_is_taken_apart(scale):
    layer = FrozenBatchNorm(4, epsilon=0.5, scale=scale)
    graph = graph_of(layer)
    norm = match_channel_norm(graph.outputs[0][0])
    assert norm.data[0].name == "data" and norm.uses_gamma == scale
    assert float(norm.epsilon) == 0.5
    arrays = [layer.gamma, layer.beta, layer.running_mean, layer.running_var]
    assert [node.name for node in norm.arrays] == [parameter.name for parameter in arrays]


def test_mxnets_defaults_are_those_of_an_operator_without_attributes():
    symbol = mx.sym.BatchNorm(mx.sym.var("data"))
    norm = match_channel_norm(Graph.read(symbol).outputs[0][0])
    assert float(norm.epsilon) == 1e-3 and not norm.uses_gamma


@pytest.mark.parametrize("layer", [GroupNorm(4, num_groups=2), mx.gluon.nn.BatchNorm(axis=2)])
def test_other_nodes_do_not_match(layer):
    for node in graph_of(layer).nodes():
        assert match_channel_norm(node) is None


def test_an_output_and_a_further_node_are_readers():
    data = mx.sym.var("data")
    convolution = mx.sym.Convolution(data, kernel=(1, 1), num_filter=4)
    norm = mx.sym.BatchNorm(convolution)
    for outputs, expected in (
        ([norm], True),
        ([norm, convolution], False),
        ([norm, mx.sym.relu(convolution)], False),
    ):
        graph = Graph.read(mx.sym.Group(outputs))
        node, _ = graph.outputs[0]
        assert is_only_reader(node, node.inputs[0][0], graph.readers()) == expected


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("make", [mx.gluon.nn.Conv2D, mx.gluon.nn.Conv2DTranspose])
def test_bias_of_a_layer(make, use_bias):
    layer = make(4, 1, in_channels=3, use_bias=use_bias)
    assert has_bias(graph_of(layer).outputs[0][0]) == use_bias


def test_a_deconvolution_has_no_bias_by_default():
    symbol = mx.sym.Deconvolution(mx.sym.var("data"), kernel=(1, 1), num_filter=4)
    assert not has_bias(Graph.read(symbol).outputs[0][0])


def test_live_norms_match_as_well():
    assert match_channel_norm(graph_of(BatchNorm(4)).outputs[0][0]) is not None
