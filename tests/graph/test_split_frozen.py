from gluonnorm.backbones import FPN, ResNetV1
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.split_frozen import FrozenSplit, scale_weights
from gluonnorm.nn import BatchNorm, FrozenBatchNorm, freeze

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn


class Chain(mx.gluon.HybridBlock):
    """Layers one after the other; gives the input's double and what comes after each layer."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.HybridSequential()
        self.layers.add(*layers)

    def hybrid_forward(self, F, x):
        outputs = [2 * x]
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs


class Outputs(mx.gluon.HybridBlock):
    """A backbone as a block that returns a flat list."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def hybrid_forward(self, F, x):
        return list(self.backbone(x))


def fill(net, seed=0):
    """Random values, positive where a variance must be."""
    net.initialize(mx.init.Xavier(), force_reinit=True)
    rng = np.random.RandomState(seed)
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 2, parameter.shape)))
        elif name.endswith(("beta", "running_mean", "bias")):
            parameter.set_data(mx.nd.array(rng.normal(0, 0.5, parameter.shape)))


def answers(net, call, x):
    """Outputs, gradients of a loss of them by parameter, and the statistics after the step."""
    parameters = net.collect_params()
    for parameter in parameters.values():
        if parameter.grad_req != "null":
            parameter.zero_grad()
    with mx.autograd.record():
        outputs = call(x)
        loss = sum((output * output).mean() for output in outputs)
    if any(parameter.grad_req != "null" for parameter in parameters.values()):
        loss.backward()
    return (
        [output.asnumpy() for output in outputs],
        {name: p.grad().asnumpy() for name, p in parameters.items() if p.grad_req != "null"},
        {name: p.data().asnumpy() for name, p in parameters.items() if "running" in name},
    )


def assert_same(found, wanted):
    assert len(found[0]) == len(wanted[0]) and found[1].keys() == wanted[1].keys()
    pairs = [
        *zip(found[0], wanted[0]),
        *((found[part][name], wanted[part][name]) for part in (1, 2) for name in wanted[part]),
    ]
    for got, want in pairs:
        rounding = 1e-7 if want.dtype == np.float64 else 1e-4
        np.testing.assert_allclose(
            got, want, rtol=10 * rounding, atol=rounding * max(np.abs(want).max(), 1e-3)
        )


def check(net, x):
    """A split block gives what the block gives, and changes what it changes."""
    before = {name: p.data().copy() for name, p in net.collect_params().items()}
    wanted = answers(net, net, x)
    for name, parameter in net.collect_params().items():
        parameter.set_data(before[name])
    split = FrozenSplit(net)
    assert_same(answers(net, split, x), wanted)
    return split


def arguments(block):
    return set() if block is None else set(block.collect_params())


@pytest.mark.parametrize("pyramid", [False, True])
@pytest.mark.parametrize("norm", [FrozenBatchNorm, BatchNorm])
@pytest.mark.parametrize("stages", [0, 1, 2, 5])
def test_outputs_and_gradients_are_the_block_s(norm, stages, pyramid):
    backbone = ResNetV1(18, norm=norm)
    net = Outputs(FPN(backbone, 8) if pyramid else backbone)
    fill(net)
    backbone.freeze_at(stages)
    net.cast("float64")  # or rounding decides for some relus
    split = check(net, mx.nd.random.normal(shape=(2, 3, 64, 80), dtype="float64"))
    frozen = {
        name
        for stage in backbone.stages()[:stages]
        for block in stage
        for name in block.collect_params()
    }
    assert not frozen & arguments(split._trainable)
    assert set(net.collect_params()) == arguments(split._trainable) | arguments(split._frozen)
    other = mx.nd.random.normal(
        shape=(1, 3, 50, 34), dtype="float64"
    )  # the graphs are traced by now
    for got, want in zip(split(other), net(other)):
        np.testing.assert_allclose(got.asnumpy(), want.asnumpy(), rtol=1e-6, atol=1e-6)


def test_values_count_that_come_after_the_split():
    net = Chain(nn.Conv2D(4, 3, in_channels=3), FrozenBatchNorm(4))
    fill(net)
    x, split = mx.nd.random.normal(shape=(2, 3, 9, 9)), FrozenSplit(net)
    first = split(x)[2].asnumpy()
    fill(net, seed=1)
    assert not np.allclose(split(x)[2].asnumpy(), first)
    np.testing.assert_allclose(split(x)[2].asnumpy(), net(x)[2].asnumpy(), rtol=1e-4, atol=1e-5)


def test_statistics_move_although_nothing_before_them_learns():
    conv, norm = nn.Conv2D(4, 3, in_channels=3), BatchNorm(4)
    net = Chain(conv, norm, nn.Conv2D(2, 3, in_channels=4))
    fill(net)
    freeze(conv)
    before = norm.running_mean.data().asnumpy()
    check(net, mx.nd.random.normal(shape=(2, 3, 9, 9)))
    assert np.abs(norm.running_mean.data().asnumpy() - before).max() > 1e-3


def test_inference_is_inference():
    net = Chain(nn.Conv2D(4, 3, in_channels=3), BatchNorm(4))
    fill(net)
    x = mx.nd.random.normal(shape=(2, 3, 9, 9))
    for got, want in zip(FrozenSplit(net)(x), net(x)):
        np.testing.assert_allclose(got.asnumpy(), want.asnumpy(), rtol=1e-4, atol=1e-5)


def operators(net):
    """Of the graph with scaled weights."""
    graph = Graph.read(mx.sym.Group(list(net(mx.sym.var("data")))))
    scale_weights(graph, {name for name, p in net.collect_params().items() if p.grad_req != "null"})
    return [node.op for node in graph.nodes()]


def frozen(**settings):
    layer = BatchNorm(4, use_global_stats=True, **settings)
    freeze(layer)
    return layer


class Norm(mx.gluon.HybridBlock):
    """A convolution and a norm of it alone."""

    def __init__(self, norm, **settings):
        super().__init__()
        self.conv, self.norm = nn.Conv2D(4, 3, in_channels=3, **settings), norm

    def hybrid_forward(self, F, x):
        return [self.norm(self.conv(x))]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "norm",
    [
        lambda: FrozenBatchNorm(4),
        lambda: FrozenBatchNorm(4, scale=False, epsilon=0.1),
        frozen,
        lambda: frozen(scale=False),
    ],
    ids=["frozen", "without scale", "of Gluon", "of Gluon without scale"],
)
def test_a_frozen_norm_goes_into_the_weights(norm, bias):
    net = Norm(norm(), use_bias=bias, strides=2, padding=1)
    fill(net)
    assert "BatchNorm" not in operators(net)
    check(net, mx.nd.random.normal(shape=(2, 3, 9, 9)))


@pytest.mark.parametrize(
    "norm",
    [lambda: BatchNorm(4), lambda: BatchNorm(4, use_global_stats=True)],
    ids=["batch", "learning"],
)
def test_a_norm_that_learns_stays(norm):
    net = Norm(norm())
    fill(net)
    assert "BatchNorm" in operators(net)


def test_a_frozen_norm_after_a_frozen_norm_goes_into_the_weights_too():
    net = mx.gluon.nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=3), FrozenBatchNorm(4), FrozenBatchNorm(4))
    fill(net)
    net[0].weight.grad_req = "write"
    net.cast("float64")
    graph = Graph.read(net(mx.sym.var("data")))
    scale_weights(graph, {net[0].weight.name, net[0].bias.name})
    assert "BatchNorm" not in [node.op for node in graph.nodes()]
    x = mx.nd.random.normal(shape=(2, 3, 9, 9), dtype="float64")
    values = {name: parameter.data() for name, parameter in net.collect_params().items()}
    scaled = graph.symbol().bind(mx.cpu(), {**values, "data": x}).forward()[0]
    np.testing.assert_allclose(scaled.asnumpy(), net(x).asnumpy(), rtol=1e-6, atol=1e-6)


def test_a_norm_stays_where_others_read_the_convolution():
    net = Chain(nn.Conv2D(4, 3, in_channels=3), FrozenBatchNorm(4))
    fill(net)
    assert "BatchNorm" in operators(net)
