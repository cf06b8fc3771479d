import json
from collections import Counter

from gluonnorm.backbones import FPN, ResNetV1, ResNetV1Top, ResNetV2
from gluonnorm.errors import InputError
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.trace import trace
from gluonnorm.nn import (
    ConvNorm,
    FrozenBatchNorm,
    GroupNorm,
    Rescale,
    SwitchNorm,
    SyncBatchNorm,
    fold,
    make_norm,
)

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock, nn
from tiny_detector import images, tiny_detector


class Net(HybridBlock):
    """``layers`` by name and a function of (self, F, x) that says how they are wired."""

    def __init__(self, wiring, **layers):
        super().__init__()
        self._wiring = wiring
        with self.name_scope():
            for name, layer in layers.items():
                setattr(self, name, layer)

    def hybrid_forward(self, F, x):
        return self._wiring(self, F, x)


def filled(net):
    """The network with numbers everywhere that make a difference."""
    net.initialize(mx.init.Xavier(magnitude=2))
    net(mx.nd.zeros((1, 3, 32, 32)))
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
        elif not name.endswith("weight"):
            parameter.set_data(mx.nd.random.normal(0, 0.5, parameter.shape))
    return net


def outputs(net, x):
    found = net(x)
    return [value.asnumpy() for value in (found if isinstance(found, (list, tuple)) else [found])]


def operators(net):
    return Counter(node.op for node in Graph.read(trace(net)[0]).nodes())


def assert_folds(net, x=None, **counts):
    """The copy answers as the network does, and holds so many operators of some kinds."""
    x = mx.nd.random.normal(0, 1, (2, 3, 17, 23)) if x is None else x
    folded = fold(net)
    for found, expected in zip(outputs(folded, x), outputs(net, x)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    kinds = operators(folded)
    assert {name: kinds[name] for name in counts} == counts
    return folded


@pytest.mark.parametrize(
    "norm",
    [
        FrozenBatchNorm,
        SyncBatchNorm,
        make_norm("bn"),
        make_norm("global_bn"),
        make_norm("frozen_bn", epsilon=0),
        lambda channels: FrozenBatchNorm(channels, scale=False),
        lambda channels: FrozenBatchNorm(channels, center=False),
    ],
)
def test_a_norm_goes_into_the_convolution_before_it(norm):
    assert_folds(
        filled(ConvNorm(5, 3, 3, 2, norm)),
        BatchNorm=0,
        _contrib_SyncBatchNorm=0,
        Convolution=1,
        broadcast_add=0,
    )


def test_values_are_those_of_the_formula():
    net = filled(ConvNorm(4, 3, 1, norm=lambda channels: FrozenBatchNorm(channels, epsilon=0.1)))
    weight, gamma, beta, mean, var = (
        p.data().asnumpy().astype(np.float64) for p in net.collect_params().values()
    )
    scale = gamma / np.sqrt(var + 0.1)
    found = [p.data().asnumpy() for p in fold(net).collect_params().values()]
    np.testing.assert_array_equal(
        found[0], (weight * scale[:, None, None, None]).astype(np.float32)
    )
    np.testing.assert_array_equal(found[1], (beta - mean * scale).astype(np.float32))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Conv2D(6, 3, padding=1, groups=3, in_channels=3, use_bias=False),
        lambda: nn.Conv2D(6, 3, in_channels=3),
        lambda: nn.Conv2DTranspose(6, 2, 2, in_channels=3),
        lambda: nn.Conv2DTranspose(6, 2, 2, in_channels=3, use_bias=False),
        lambda: nn.Dense(6, in_units=3 * 17 * 23),
        lambda: nn.Dense(6, in_units=3 * 17 * 23, use_bias=False),
    ],
)
def test_other_layers_take_a_norm_in_as_well(layer):
    net = Net(lambda self, F, x: self.norm(self.layer(x)), layer=layer(), norm=FrozenBatchNorm(6))
    net.initialize(mx.init.Xavier())
    for name, parameter in net.collect_params().items():
        if not name.endswith("weight"):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    assert_folds(net, BatchNorm=0, broadcast_mul=0, broadcast_add=0)


def test_a_grouped_deconvolution_keeps_a_scale_and_shift_of_its_own():
    net = Net(
        lambda self, F, x: self.norm(self.layer(x)),
        layer=nn.Conv2DTranspose(6, 2, 2, groups=3, in_channels=3),
        norm=FrozenBatchNorm(6),
    )
    assert_folds(filled(net), BatchNorm=0, Convolution=1)


def test_a_convolution_that_someone_else_reads_keeps_its_weights():
    def wiring(self, F, x):
        y = self.conv(x)
        return self.norm(y), F.relu(y)

    net = filled(Net(wiring, conv=nn.Conv2D(4, 3, in_channels=3), norm=FrozenBatchNorm(4)))
    assert_folds(net, BatchNorm=0, Convolution=2)


def test_an_output_of_the_network_counts_as_a_reader():
    def wiring(self, F, x):
        y = self.conv(x)
        return y, self.norm(y)

    assert_folds(
        filled(Net(wiring, conv=nn.Conv2D(4, 3, in_channels=3), norm=FrozenBatchNorm(4))),
        Convolution=2,
    )


def test_a_layer_used_twice_goes_on_sharing_its_weights():
    net = filled(
        Net(
            lambda self, F, x: (self.layer(x), self.layer(2 * x)),
            layer=ConvNorm(4, 3, 3, norm=FrozenBatchNorm),
        )
    )
    assert len(assert_folds(net, Convolution=2).collect_params().keys()) == 2


def test_one_convolution_before_two_norms_becomes_two():
    def wiring(self, F, x):
        return self.first(self.conv(x)), self.second(self.conv(2 * x))

    net = filled(
        Net(
            wiring,
            conv=nn.Conv2D(4, 3, in_channels=3),
            first=FrozenBatchNorm(4),
            second=FrozenBatchNorm(4),
        )
    )
    assert len(assert_folds(net, BatchNorm=0, Convolution=2).collect_params().keys()) == 4


@pytest.mark.parametrize("direction", ["normalize", "denormalize"])
@pytest.mark.parametrize("padding, additions", [(1, 1), (0, 0)])
def test_rescale_goes_into_the_convolution_but_for_its_shift_where_that_pads(
    direction, padding, additions
):
    net = Net(
        lambda self, F, x: self.conv(self.rescale(x)),
        rescale=Rescale(direction),
        conv=nn.Conv2D(4, 3, padding=padding, in_channels=3),
    )
    x = mx.nd.random.uniform(0, 255, (1, 3, 9, 11)) if direction == "normalize" else None
    assert_folds(filled(net), x, Convolution=1, broadcast_add=additions, Concat=0, slice_axis=0)


def test_a_scale_before_two_convolutions_goes_into_both():
    def wiring(self, F, x):
        y = self.norm(x)
        return self.one(y), self.two(y)

    net = Net(
        wiring,
        norm=FrozenBatchNorm(3),
        one=nn.Conv2D(4, 3, in_channels=3),
        two=nn.Conv2D(4, 3, padding=1, in_channels=3, use_bias=False),
    )
    assert_folds(filled(net), BatchNorm=0, Convolution=2, broadcast_add=1)


def test_rescale_and_the_norm_on_the_image_become_one_addition():
    net = filled(ResNetV2(18, stages=1, rescale="denormalize"))
    net.bn_in.running_var.set_data(mx.nd.array([3000.0, 2900, 3100]))
    assert_folds(net, BatchNorm=0, broadcast_add=1, broadcast_mul=0)


def test_a_channel_without_scale_is_not_divided_by():
    net = filled(
        Net(
            lambda self, F, x: self.conv(self.norm(x)),
            norm=FrozenBatchNorm(3),
            conv=nn.Conv2D(4, 3, padding=1, in_channels=3),
        )
    )
    net.norm.gamma.set_data(mx.nd.array([0.0, 1, 2]))
    assert_folds(net, BatchNorm=0, Convolution=2)


def test_concatenated_scalars_that_are_no_rescale_stay():
    def wiring(self, F, x):
        first, second = (
            F.slice_axis(x, axis=1, begin=0, end=1),
            F.slice_axis(x, axis=1, begin=1, end=2),
        )
        return self.conv(F.concat(second * 2, first * 3, dim=1))

    assert_folds(filled(Net(wiring, conv=nn.Conv2D(4, 3, in_channels=2))), Concat=1)


@pytest.mark.parametrize(
    "net, left",
    [
        (lambda: FPN(ResNetV1(18), 16, FrozenBatchNorm), 0),
        (lambda: ResNetV1(50, "d", rescale="normalize"), 0),
        (lambda: ResNetV2(18), 8 + 1),
    ],
)  # a scale and shift a block, and bn_out
def test_backbones_have_no_batch_norm_left(net, left):
    net = filled(net())
    folded = assert_folds(net, mx.nd.random.normal(0, 1, (1, 3, 65, 97)), BatchNorm=0)
    depthwise = [
        node
        for node in Graph.read(trace(folded)[0]).nodes()
        if node.op == "Convolution" and node.attrs.get("num_group", "1") != "1"
    ]
    assert len(depthwise) == left


def test_a_head_of_stage_4():
    assert_folds(
        filled_head(ResNetV1Top(18)), mx.nd.random.normal(0, 1, (3, 256, 7, 7)), BatchNorm=0
    )


def filled_head(net):
    net.initialize(mx.init.Xavier())
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "beta", "running_mean", "running_var")):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    return net


@pytest.mark.parametrize("norm", [GroupNorm, SwitchNorm, make_norm("sn_nobn")])
def test_norms_that_look_at_the_image_stay(norm):
    net = filled(
        Net(
            lambda self, F, x: self.two(self.one(x)),
            one=ConvNorm(32, 3, 3, norm=norm),
            two=ConvNorm(4, 32, 3, norm=FrozenBatchNorm),
        )
    )
    assert_folds(net, Dropout=0)


def test_the_network_stays_as_it_was():
    net = filled(ConvNorm(4, 3, 3, norm=SwitchNorm))
    net.hybridize()
    before = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    fold(net)
    assert net._active and not net.norm.use_global_stats
    for name, parameter in net.collect_params().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[name])


@pytest.mark.parametrize("kind", ["fpn", "c4", "mask_fpn", "mask_c4"])
def test_a_folded_detector_is_a_detector(kind):
    net = tiny_detector(kind, norm="frozen_bn", rescale="normalize")
    folded = fold(net)
    assert (folded.spec, folded.classes, folded.config, folded.preprocess, folded.has_masks) == (
        net.spec,
        net.classes,
        net.config,
        net.preprocess,
        net.has_masks,
    )
    x = images(2, 64, 96) * 50 + 120
    found, expected = outputs(folded, x), outputs(net, x)
    assert (expected[0] >= 0).sum() > 10
    np.testing.assert_array_equal(found[0], expected[0])
    for one, other, atol in zip(found[1:], expected[1:], (1e-5, 1e-2, 1e-4)):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def test_hybridized_reshaped_and_folded_again():
    net = filled(FPN(ResNetV1(18), 16, FrozenBatchNorm))
    folded = fold(net)
    folded.hybridize(static_alloc=True, static_shape=True)
    again = fold(folded)
    for shape in ((1, 3, 64, 96), (2, 3, 33, 40)):
        x = mx.nd.random.normal(0, 1, shape)
        for one, two, expected in zip(outputs(folded, x), outputs(again, x), outputs(net, x)):
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_nothing_of_the_copy_learns():
    folded = fold(filled(ConvNorm(4, 3, 3, norm=make_norm("bn"))))
    assert {parameter.grad_req for parameter in folded.collect_params().values()} == {"null"}


def test_a_network_without_weights_is_refused():
    with pytest.raises(InputError, match="weight has no values; load weights or initialize"):
        fold(ConvNorm(4, 3, 3, norm=FrozenBatchNorm))


def test_shapes_that_wait_for_an_input_are_settled():
    net = Net(
        lambda self, F, x: self.norm(self.conv(x)), conv=nn.Conv2D(4, 3), norm=FrozenBatchNorm()
    )
    net.initialize()
    assert_folds(net, BatchNorm=0)


def test_a_graph_read_and_written_is_the_same_and_names_are_its_own():
    symbol, values = trace(filled(FPN(ResNetV1(18), 16)))
    written = Graph.read(symbol).symbol()
    assert written.list_inputs() == symbol.list_inputs()
    names = [node["name"] for node in json.loads(written.tojson())["nodes"]]
    assert len(set(names)) == len(names)
