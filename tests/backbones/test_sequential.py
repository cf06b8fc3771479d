from gluonnorm.backbones import SequentialBackbone, split_features

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision


def test_forum_split_of_resnet50_v2():
    net = vision.resnet50_v2()
    backbone, head = split_features(net.features, 8, 11)
    assert (backbone.strides, backbone.channels) == ((16,), (1024,))
    net.initialize()
    backbone.hybridize()
    head.hybridize()
    x = nd.random.normal(shape=(2, 3, 64, 80))
    maps = backbone(x)
    assert len(maps) == 1 and maps[0].shape == (2, 1024, 4, 5)
    np.testing.assert_allclose(
        head(maps[0]).asnumpy(), net.features[:11](x).asnumpy(), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    "make, stop, stride, channels",
    [
        (vision.mobilenet1_0, 69, 16, 512),
        (vision.vgg11, 16, 16, 512),
        (vision.squeezenet1_1, 8, 8, 256),
    ],
)
def test_strides_and_channels_of_other_networks_are_measured(make, stop, stride, channels):
    features = make().features
    backbone, head = split_features(features, stop)
    assert (backbone.strides, backbone.channels) == ((stride,), (channels,))
    assert len(head) == len(features) - stop


def test_stated_values_are_taken_as_they_are():
    backbone = SequentialBackbone(vision.resnet18_v2().features[:8], stride=16, channels=256)
    assert (backbone.strides, backbone.channels) == ((16,), (256,))


def test_frozen_norms_keep_their_statistics_while_convolutions_learn():
    features = vision.resnet18_v2().features
    backbone, head = split_features(features, 8, 11, freeze_norms=True)
    features.initialize()
    backbone.hybridize()
    x = nd.random.normal(2, 3, (2, 3, 32, 32))
    with autograd.record():
        y = head(backbone(x)[0])
    y.backward()
    nd.waitall()
    for block in (backbone, head):
        for name, parameter in block._collect_params_with_prefix().items():
            if name.endswith("running_mean"):
                assert np.abs(parameter.data().asnumpy()).max() == 0, name
            learns = not name.endswith(("gamma", "beta", "running_mean", "running_var"))
            assert (parameter.grad_req == "write") == learns, name


def test_freeze_at_counts_layers():
    backbone, _ = split_features(vision.resnet18_v2().features, 8)
    backbone.freeze_at(6)
    for name, parameter in backbone._collect_params_with_prefix().items():
        index = int(name.split(".")[1])
        if index < 6:
            assert parameter.grad_req == "null", name
        elif name.endswith("weight"):
            assert parameter.grad_req == "write", name
    with pytest.raises(ValueError, match="0 to 8"):
        backbone.freeze_at(9)


@pytest.mark.parametrize("stop, end", [(0, 3), (5, 5), (8, 99)])
def test_a_split_outside_the_sequence_is_refused(stop, end):
    with pytest.raises(ValueError, match=f"stop {stop} and end {end} for 13 layers"):
        split_features(vision.resnet18_v2().features, stop, end)


def test_layers_that_make_no_map_are_refused():
    with pytest.raises(ValueError, match="stop before global pooling"):
        SequentialBackbone(vision.resnet18_v2().features[:12])
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, 3))
    with pytest.raises(ValueError, match="stride must be an integer"):
        SequentialBackbone(net)


def test_weights_of_a_split_are_those_of_the_network():
    net = vision.resnet18_v2()
    backbone, head = split_features(net.features, 8, 11)
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 3, 32, 32)))
    assert backbone.features[1].weight is net.features[1].weight
    assert head[0][0].conv1.weight is net.features[8][0].conv1.weight
