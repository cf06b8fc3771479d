"""Maps of any network, at layers that are named."""

from gluonnorm.backbones import FPN, TappedBackbone
from gluonnorm.errors import InputError
from gluonnorm.graph.split_frozen import FrozenSplit
from model_zoo.foreign_parts import initialize

import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo import resnet18_v1b
from mxnet import nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

SIDE = 64


def run_layers(features, last):
    """A slow reference: the maps after each layer of a sequence, by calling one after another."""
    x = nd.random.normal(shape=(2, 3, SIDE, SIDE), ctx=mx.cpu())
    maps, image = [], x
    for layer in list(features)[: last + 1]:
        x = layer(x)
        maps.append(x.asnumpy())
    return image, maps


@pytest.fixture()
def features():
    net = vision.resnet18_v1().features
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize("hybridized", [False, True])
def test_the_maps_are_the_outputs_of_the_tapped_layers(features, hybridized):
    image, maps = run_layers(features, last=7)
    backbone = TappedBackbone(features, taps=(4, "5", features[7]))
    assert backbone.strides == (4, 8, 32) and backbone.channels == (64, 128, 512)
    if hybridized:
        backbone.hybridize()
    for got, wanted in zip(backbone(image), (maps[4], maps[5], maps[7])):
        np.testing.assert_allclose(got.asnumpy(), wanted, rtol=1e-5, atol=1e-6)


def test_layers_within_layers_are_named_with_dots(features):
    image, maps = run_layers(features, last=6)
    backbone = TappedBackbone(features, taps=("4.0", "5.1.body.4", "6"))
    first = features[4][0](features[3](features[2](features[1](features[0](image)))))
    maps_of_taps = backbone(image)
    np.testing.assert_allclose(maps_of_taps[0].asnumpy(), first.asnumpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(maps_of_taps[2].asnumpy(), maps[6], rtol=1e-5, atol=1e-6)
    assert maps_of_taps[1].shape == (2, 128, SIDE // 8, SIDE // 8)


def test_a_network_with_its_layers_as_attributes_runs_its_own_way():
    net = resnet18_v1b(pretrained=False)
    net.initialize()
    image = nd.random.normal(shape=(1, 3, SIDE, SIDE))
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    wanted = []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        wanted.append(x.asnumpy())
    backbone = TappedBackbone(net, taps=("layer1", "layer2", "layer3", "layer4"))
    assert backbone.strides == (4, 8, 16, 32)
    for got, expected in zip(backbone(image), wanted):
        np.testing.assert_allclose(got.asnumpy(), expected, rtol=1e-5, atol=1e-6)
    names = backbone._collect_params_with_prefix()
    assert "features.layer4.1.bn2.gamma" in names
    assert not [name for name in names if ".fc" in name]


def test_what_no_map_depends_on_is_taken_off(features):
    backbone = TappedBackbone(features, taps=(4, 5))
    backbone.hybridize()
    maps = backbone(nd.zeros((1, 3, SIDE, SIDE)))
    assert [each.shape[1] for each in maps] == [64, 128]
    used = {name.split(".")[1] for name in backbone._collect_params_with_prefix()}
    assert used == {"0", "1", "4", "5"}


def test_a_pyramid_of_taps_trains_and_freezes(features):
    backbone = TappedBackbone(features, taps=(4, 5, 6, 7))
    net = FPN(backbone, channels=16)
    initialize(net)
    backbone.freeze_at(5)
    frozen = [name for name, p in net.collect_params().items() if p.grad_req == "null"]
    assert any("conv0" in name for name in frozen)
    run = FrozenSplit(net)
    with mx.autograd.record():
        loss = mx.nd.add_n(*(each.mean() for each in run(nd.ones((1, 3, SIDE, SIDE)))))
    loss.backward()
    assert float(features[6][0].body[0].weight.grad().norm().asscalar()) > 0


def test_open_shapes_are_settled_without_computing():
    features = vision.mobilenet0_25().features
    backbone = TappedBackbone(features, taps=(20, 32))
    assert all(0 not in p.shape for p in backbone.collect_params().values())


@pytest.mark.parametrize(
    "taps, words",
    [
        ((4, 20), "has no layer 20 to tap; its layers are 0, 1, 2"),
        (("layer1",), "has no layer 'layer1' to tap"),
        ((), "taps is \\(\\); give a sequence"),
        ("4", "taps is '4'; give a sequence"),
        ((7, 4), "strides \\(32, 4\\); name layers whose strides grow"),
        ((4, 4), "strides \\(4, 4\\); name layers"),
        ((4, 8), "stop before global pooling"),
        ((nn.Dense(3),), "is no layer of"),
    ],
)
def test_wrong_taps(features, taps, words):
    with pytest.raises(InputError, match=words):
        TappedBackbone(features, taps)


def test_maps_that_a_pyramid_cannot_add_up_are_refused():
    # Without padding, 512 pixels become 255, then 127, 63 and 31 cells: 2 * 63 are less than 127.
    features = vision.squeezenet1_1().features
    with pytest.raises(InputError, match="63 cells of stride 8 do not cover 127 of stride 4"):
        TappedBackbone(features, taps=(2, 5, 8))
    # The last two maps agree: 2 * 32 cells cover 63.
    features = nn.HybridSequential()
    for padding in (0, 0, 1):
        features.add(nn.Conv2D(4, 3, strides=2, padding=padding))
    backbone = TappedBackbone(features, taps=(1, 2))
    net = FPN(backbone, channels=8)
    initialize(net)
    image = nd.zeros((1, 3, 512, 512))
    assert [each.shape[2] for each in net(image)] == [127, 64, 32]


def test_layers_that_are_hybridized_on_their_own_are_refused(features):
    backbone = TappedBackbone(features, taps=(4, 5))
    features.hybridize()
    with pytest.raises(InputError, match="hybridize the backbone"):
        backbone(nd.zeros((1, 3, SIDE, SIDE)))
