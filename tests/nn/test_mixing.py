from gluonnorm.nn import (
    BatchNorm,
    ConvNorm,
    MixingWeights,
    SwitchNorm,
    format_mixing_weights,
    make_norm,
    mixing_weights,
)

import mxnet as mx
import numpy as np
from mxnet import nd


def network():
    net = mx.gluon.nn.HybridSequential()
    net.add(ConvNorm(4, 3, 1, norm=make_norm("sn")), BatchNorm(4), SwitchNorm(4, use_bn=False))
    net.initialize()
    net[0].norm.mean_weight.set_data(nd.array([0, np.log(2), np.log(5)]))
    net[0].norm.var_weight.set_data(nd.array([1000, 1000 + np.log(3), -1000]))
    return net


def test_weights_are_shares_by_layer_in_order():
    first, second = mixing_weights(network())
    assert (first.layer, second.layer) == ("0.norm", "2")
    assert list(first.mean) == ["in", "ln", "bn"] and list(second.mean) == ["in", "ln"]
    np.testing.assert_allclose(list(first.mean.values()), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)
    np.testing.assert_allclose(list(first.var.values()), [1 / 4, 3 / 4, 0], atol=1e-4)
    assert second.mean == second.var == {"in": 0.5, "ln": 0.5}


def test_a_norm_alone_and_a_network_without():
    layer = SwitchNorm(4)
    layer.initialize()
    assert [row.layer for row in mixing_weights(layer)] == [""]
    rows = mixing_weights(BatchNorm(4))
    assert rows == [] and format_mixing_weights(rows) == "no switchable norm in this network"


def test_the_table():
    rows = [
        MixingWeights(
            "layer1.0.bn1",
            {"in": 0.125, "ln": 0.25, "bn": 0.625},
            {"in": 0.25, "ln": 0.75, "bn": 0.0},
        ),
        MixingWeights("norm", {"in": 0.5, "ln": 0.5}, {"in": 0.5, "ln": 0.5}),
    ]
    lines = [line.split() for line in format_mixing_weights(rows).splitlines()]
    assert lines == [
        ["layer", "mean", "in", "mean", "ln", "mean", "bn", "var", "in", "var", "ln", "var", "bn"],
        ["layer1.0.bn1", "0.125", "0.250", "0.625", "0.250", "0.750", "0.000"],
        ["norm", "0.500", "0.500", "-", "0.500", "0.500", "-"],
        ["mean", "0.312", "0.375", "0.625", "0.375", "0.625", "0.000"],
    ]
    assert len({len(line) for line in format_mixing_weights(rows).splitlines()}) == 1


def test_layers_without_bn_only():
    rows = [MixingWeights("norm", {"in": 0.5, "ln": 0.5}, {"in": 0.5, "ln": 0.5})]
    last = format_mixing_weights(rows).splitlines()[-1]
    assert last.split() == ["mean", "0.500", "0.500", "-", "0.500", "0.500", "-"]
