from gluonnorm.backbones import FPN, ResNetV1
from gluonnorm.nn import FrozenBatchNorm, make_norm

import numpy as np
import pytest
from mxnet import autograd, nd


@pytest.fixture(scope="module")
def backbone():
    net = ResNetV1(18)
    net.initialize()
    return net


def pyramid(backbone, extra="pool", norm=None, channels=8):
    net = FPN(backbone, channels=channels, norm=norm, extra=extra)
    for name, parameter in net._collect_params_with_prefix().items():
        if not name.startswith("backbone."):
            parameter.initialize()
    return net


def slow_conv(x, conv, stride=1):
    """A "same" convolution with bias, tap by tap."""
    weight, bias = conv.weight.data().asnumpy(), conv.bias.data().asnumpy()
    k = weight.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    h, w = -(-x.shape[2] // stride), -(-x.shape[3] // stride)
    y = np.zeros((x.shape[0], weight.shape[0], h, w))
    for i in range(k):
        for j in range(k):
            part = padded[
                :, :, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride
            ]
            y += np.einsum("oc,nchw->nohw", weight[:, :, i, j], part)
    return y + bias[:, None, None]


def slow_fpn(net, features):
    """The pyramid of ``net`` from the maps of its backbone."""
    total, outputs = None, []
    for level in (5, 4, 3, 2):
        lateral = slow_conv(features[level - 2], getattr(net, f"lateral{level}").conv)
        if total is not None:
            h, w = lateral.shape[2:]
            lateral = lateral + total.repeat(2, axis=2).repeat(2, axis=3)[:, :, :h, :w]
        elif hasattr(net, "output6"):
            extra = slow_conv(lateral, net.output6.conv, 2)
        total = lateral
        outputs.insert(0, slow_conv(total, getattr(net, f"output{level}").conv))
    return outputs + [extra if hasattr(net, "output6") else outputs[-1][:, :, ::2, ::2]]


@pytest.mark.parametrize("extra", ["pool", "conv"])
@pytest.mark.parametrize("size", [(64, 96), (67, 90), (33, 17)])
def test_maps_equal_the_slow_pyramid(backbone, extra, size):
    net = pyramid(backbone, extra)
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith("conv.bias"):
            parameter.set_data(nd.random.normal(shape=parameter.shape))
    net.hybridize()
    x = nd.random.normal(shape=(2, 3) + size)
    maps = net(x)
    wanted = slow_fpn(net, [m.asnumpy().astype(np.float64) for m in net.backbone(x)])
    assert len(maps) == len(wanted) == 5
    for got, slow, stride, channels in zip(maps, wanted, net.strides, net.channels):
        assert got.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))
        np.testing.assert_allclose(got.asnumpy(), slow, rtol=1e-3, atol=1e-4 * slow.std())


def test_it_states_five_levels_of_equal_width():
    net = FPN(ResNetV1(50))
    assert (net.strides, net.channels) == ((4, 8, 16, 32, 64), (256,) * 5)
    assert net.stages() == net.backbone.stages()


@pytest.mark.parametrize("extra", ["pool", "conv"])
@pytest.mark.parametrize("name", [None, "gn", "bn", "frozen_bn", "sn", "sn_nobn"])
def test_hybrid_equals_imperative(backbone, extra, name):
    net = pyramid(backbone, extra, norm=None if name is None else make_norm(name), channels=32)
    x = nd.random.normal(shape=(2, 3, 49, 70))
    imperative = [m.asnumpy() for m in net(x)]
    net.hybridize()
    for got, wanted in zip(net(x), imperative):
        np.testing.assert_allclose(got.asnumpy(), wanted, rtol=1e-3, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("extra, levels", [("pool", "2345"), ("conv", "23456")])
def test_children_are_named_by_level_and_a_norm_replaces_the_bias(backbone, extra, levels):
    layers = [f"lateral{n}" for n in "2345"] + [f"output{n}" for n in levels]

    def own(net):
        return {
            name for name in net._collect_params_with_prefix() if not name.startswith("backbone.")
        }

    assert own(pyramid(backbone, extra)) == {
        f"{layer}.conv.{p}" for layer in layers for p in ("weight", "bias")
    }
    assert own(pyramid(backbone, extra, make_norm("gn", num_groups=4))) == {
        f"{layer}.{p}" for layer in layers for p in ("conv.weight", "norm.gamma", "norm.beta")
    }


def test_with_a_frozen_backbone_the_pyramid_alone_learns():
    net = FPN(ResNetV1(18), channels=8)
    net.initialize()
    net.freeze_at(5)
    with autograd.record():
        maps = net(nd.random.normal(shape=(1, 3, 64, 64)))
    autograd.backward(maps)
    for name, parameter in net._collect_params_with_prefix().items():
        if name.startswith("backbone."):
            assert parameter.grad_req == "null", name
        else:
            assert np.abs(parameter.grad().asnumpy()).max() > 0, name


def test_initial_weights_are_uniform_within_xavier_s_bound_by_fan_in():
    weight = FPN(ResNetV1(50)).output3.conv.weight
    weight.initialize()
    bound = np.sqrt(3 / (256 * 9))
    values = np.abs(weight.data().asnumpy())
    assert 0.99 * bound < values.max() <= bound * (1 + 1e-6)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="extra 'none'; give one of .*pool"):
        FPN(ResNetV1(18), extra="none")
    with pytest.raises(ValueError, match=r"strides \(4, 16\); each must be twice"):
        FPN(ResNetV1(18, norm=FrozenBatchNorm, stages=3, out_stages=(1, 3)))
