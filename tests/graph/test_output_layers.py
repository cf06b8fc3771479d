from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import join_output_layers, output_layers
from gluonnorm.graph.trace import inference_block, trace

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from tiny_detector import images, tiny_detector

KINDS = {"fpn": 5 * 2 + 2, "c4": 2 + 2, "mask_fpn": 5 * 2 + 2 + 1, "mask_c4": 2 + 2 + 1}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("norm", ["frozen_bn", "gn", "sn"])
def test_they_are_scores_deltas_and_mask_logits(kind, norm):
    net = tiny_detector(kind, norm=norm)
    found = output_layers(Graph.read(fold_graph(*trace(net))[0]))
    assert len(found) == KINDS[kind]
    layers = [net.rpn.score, net.rpn.loc, net.predictor.score, net.predictor.loc]
    layers += [net.mask_head.score] if net.has_masks else []
    assert {node.inputs[1][0].name for node in found} == {layer.weight.name for layer in layers}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_joined_network_finds_the_same(kind):
    net = tiny_detector(kind)
    symbol, values = fold_graph(*trace(net))
    joined, joined_values = join_output_layers(symbol, values)
    for size in ((64, 96), (50, 70)):
        x = images(2, *size)
        for got, want in zip(
            inference_block(joined, joined_values, mx.cpu())(x),
            inference_block(symbol, values, mx.cpu())(x),
        ):
            np.testing.assert_allclose(
                got.asnumpy(), want.asnumpy(), rtol=1e-4, atol=1e-3
            )  # boxes are in pixels


@pytest.mark.parametrize("kind", list(KINDS))
def test_two_layers_become_one_of_sixteens(kind):
    symbol, values = join_output_layers(*fold_graph(*trace(tiny_detector(kind))))
    found = output_layers(Graph.read(symbol))
    has_masks = kind.startswith("mask")
    assert len(found) == (KINDS[kind] + has_masks) // 2
    joined = [node for node in found if "_and_" in node.name]
    assert len(joined) == len(found) - has_masks
    assert all(
        values[source.name].shape[0] % 16 == 0 for node in joined for source, _ in node.inputs[1:]
    )
    assert (
        len({node.inputs[1][0].name for node in joined}) == 2
    )  # of the RPN, whatever the levels, and of the box head
    assert set(values) == set(symbol.list_inputs()) - {"data"}


class Branches(mx.gluon.HybridBlock):
    """A layer, and others that read it."""

    def __init__(self, *others):
        super().__init__()
        with self.name_scope():
            self.first = nn.Conv2D(8, 3, in_channels=3)
            self.others = [layer() for layer in others]
        for layer in self.others:
            self.register_child(layer)

    def hybrid_forward(self, F, x):
        hidden = self.first(x)
        return [layer(hidden) for layer in self.others]


@pytest.mark.parametrize(
    "others",
    [
        [lambda: nn.Conv2D(4, 1, in_channels=8)],
        [lambda: nn.Conv2D(4, 1, in_channels=8), lambda: nn.Conv2D(4, 3, in_channels=8)],
        [lambda: nn.Conv2D(4, 3, in_channels=8), lambda: nn.Conv2D(4, 3, padding=1, in_channels=8)],
        [
            lambda: nn.Conv2D(4, 1, in_channels=8, groups=2),
            lambda: nn.Conv2D(4, 1, in_channels=8, groups=2),
        ],
        [
            lambda: nn.Conv2D(4, 1, in_channels=8, use_bias=False),
            lambda: nn.Conv2D(4, 1, in_channels=8, use_bias=False),
        ],
    ],
    ids=["one alone", "other kernels", "other padding", "groups", "no bias"],
)
def test_layers_that_do_not_match_stay(others):
    net = Branches(*others)
    net.initialize()
    symbol, values = trace(net)
    joined, kept = join_output_layers(symbol, values)
    assert joined.list_inputs() == symbol.list_inputs() and set(kept) == set(values)


def test_any_number_that_match_are_joined():
    net = Branches(
        *[lambda width=width: nn.Conv2D(width, 1, in_channels=8) for width in (3, 12, 1, 5)]
    )
    net.initialize(mx.init.Normal(1))
    symbol, values = join_output_layers(*trace(net))
    assert len(output_layers(Graph.read(symbol))) == 1
    x = mx.nd.random.normal(shape=(2, 3, 7, 9))
    for got, want in zip(inference_block(symbol, values, mx.cpu())(x), net(x)):
        assert got.shape == want.shape
        np.testing.assert_allclose(got.asnumpy(), want.asnumpy(), rtol=1e-4, atol=1e-5)
