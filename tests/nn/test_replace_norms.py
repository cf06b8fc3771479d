"""Norms of foreign networks are replaced, and the report says what each one kept."""

import functools

from gluonnorm.errors import InputError
from gluonnorm.nn import (
    BatchNorm,
    FrozenBatchNorm,
    GroupNorm,
    SwitchNorm,
    count_norms,
    make_norm,
    replace_norms,
)

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

NUM_NORMS = 20  # of Gluon's ResNet-18 v1


def randomize(net):
    """Give all norms of a network values that no layer starts with."""
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "beta", "running_mean", "running_var")):
            shape = parameter.shape
            parameter.set_data(nd.random.uniform(0.5, 1.5, shape=shape))


@pytest.fixture()
def resnet():
    net = vision.resnet18_v1().features[:8]
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 3, 64, 64)))
    randomize(net)
    return net


def test_frozen_batch_norms_compute_the_same_and_learn_nothing(resnet):
    images = nd.random.normal(shape=(2, 3, 64, 64))
    wanted = resnet(images).asnumpy()
    report = replace_norms(resnet, "frozen_bn")
    np.testing.assert_allclose(resnet(images).asnumpy(), wanted, rtol=1e-4, atol=1e-4)
    assert len(report) == NUM_NORMS == count_norms(resnet)
    for norm in report:
        assert norm.old == "BatchNorm" and norm.new == "FrozenBatchNorm"
        assert norm.kept == ("gamma", "beta", "running_mean", "running_var")
    assert report[0].layer == "1" and report[0].channels == 64
    assert report[1].layer == "4.0.body.1"
    assert str(report) == (
        "20 BatchNorm became FrozenBatchNorm; 20 kept their scale and shift, 20 their statistics"
    )
    learned = [p.name for p in resnet.collect_params().values() if p.grad_req != "null"]
    assert learned and all("conv" in name for name in learned)
    resnet.hybridize()
    np.testing.assert_allclose(resnet(images).asnumpy(), wanted, rtol=1e-4, atol=1e-4)


def test_group_norms_keep_scale_and_shift_alone(resnet):
    gamma = resnet[1].gamma.data().asnumpy()
    report = replace_norms(resnet, functools.partial(GroupNorm, num_groups=8))
    assert {norm.kept for norm in report} == {("gamma", "beta")}
    assert "20 kept their scale and shift, 0 their statistics" in str(report)
    assert isinstance(resnet[1], GroupNorm)
    np.testing.assert_array_equal(resnet[1].gamma.data().asnumpy(), gamma)
    assert resnet(nd.ones((1, 3, 64, 64))).shape == (1, 512, 2, 2)


def test_switch_norms_keep_the_statistics_as_well(resnet):
    report = replace_norms(resnet, "sn")
    assert len(report) == NUM_NORMS and len(report[0].kept) == 4
    assert isinstance(resnet[4][0].body[1], SwitchNorm)


def test_attributes_and_lists_of_the_parent_get_the_new_layer():
    class Parent(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm(in_channels=4)
            self.more = [nn.BatchNorm(in_channels=4)]
            self.register_child(self.more[0], "first")

        def hybrid_forward(self, F, x):
            return self.more[0](self.bn(x))

    net = Parent()
    net.initialize()
    net.more[0].gamma.set_data(nd.full((4,), 3))
    report = replace_norms(net, "frozen_bn")
    assert [norm.layer for norm in report] == ["bn", "first"]
    assert isinstance(net.bn, FrozenBatchNorm) and isinstance(net.more[0], FrozenBatchNorm)
    assert net(nd.ones((1, 4, 1, 1))).asnumpy() == pytest.approx(3, rel=1e-4)
    assert list(net._collect_params_with_prefix()) == [
        f"{layer}.{name}"
        for layer in ("bn", "first")
        for name in ("gamma", "beta", "running_mean", "running_var")
    ]


def test_a_shared_norm_stays_shared():
    shared = nn.BatchNorm(in_channels=4)
    net = nn.HybridSequential()
    net.add(shared, nn.Activation("relu"), shared)
    net.initialize()
    report = replace_norms(net, "frozen_bn")
    assert len(report) == 1 and net[0] is net[2]


def test_an_epsilon_that_differs_goes_into_the_variance():
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=3, epsilon=1e-2))
    net.initialize()
    net[0].running_var.set_data(nd.array([1e-3, 0.1, 2]))
    images = nd.random.normal(shape=(2, 3, 4, 4))
    wanted = net(images).asnumpy()
    replace_norms(net, "frozen_bn")
    assert net[0].running_var.data().asnumpy() == pytest.approx([0.01099, 0.10999, 2.00999])
    np.testing.assert_allclose(net(images).asnumpy(), wanted, rtol=1e-5)


def test_a_scale_that_is_fixed_remains_fixed():
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=4, scale=False, center=False))
    net.initialize()
    net[0].gamma.set_data(nd.full((4,), 7))  # the operator takes 1 in its place
    images = nd.random.normal(shape=(2, 4, 4, 4))
    wanted = net(images).asnumpy()
    for norm in ("frozen_bn", "bn"):
        replace_norms(net, norm)
        np.testing.assert_allclose(net(images).asnumpy(), wanted, rtol=1e-5)
    assert net[0].gamma.grad_req == "null"


def test_a_fixed_scale_counts_as_1_in_a_norm_that_reads_it():
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=4, scale=False, center=False))
    net.initialize()
    net[0].gamma.set_data(nd.full((4,), 7))
    replace_norms(net, functools.partial(GroupNorm, num_groups=2))
    assert net[0].gamma.grad_req == "null" == net[0].beta.grad_req
    assert net[0].gamma.data().asnumpy().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("norm", ["bn", "gn", "sn"])
@pytest.mark.parametrize(
    "make_old",
    [nn.InstanceNorm, nn.BatchNorm, GroupNorm, SwitchNorm, BatchNorm],
)
def test_what_does_not_learn_in_the_old_layer_does_not_in_the_new_one(make_old, norm):
    net = nn.HybridSequential()
    for center, scale in ((True, False), (False, True)):
        net.add(make_old(in_channels=32, center=center, scale=scale))
    net.initialize()
    replace_norms(net, norm)
    learning = [(layer.gamma.grad_req, layer.beta.grad_req) for layer in net]
    assert learning == [("null", "write"), ("write", "null")]


def test_an_instance_norm_of_the_image_stays_a_norm():
    net = nn.HybridSequential()
    net.add(nn.InstanceNorm(in_channels=3, center=False, scale=False))
    net.initialize()
    replace_norms(net, make_norm("gn", num_groups=3))
    assert isinstance(net[0], GroupNorm)


def test_a_network_without_values_gets_layers_of_its_channels():
    features = vision.mobilenet0_25().features[:6]
    report = replace_norms(features, make_norm("gn", num_groups=4))
    assert report[0].channels == 8 and {norm.kept for norm in report} == {()}
    features.initialize()
    assert features(nd.ones((1, 3, 32, 32))).shape[:2] == (1, 8)


def test_instance_norms_and_norms_of_this_package_are_replaced_too():
    net = nn.HybridSequential()
    net.add(nn.InstanceNorm(in_channels=4), nn.GroupNorm(2), BatchNorm(4), FrozenBatchNorm(4))
    net.initialize()
    report = replace_norms(net, "frozen_bn")
    assert [norm.old for norm in report] == ["InstanceNorm", "GroupNorm", "BatchNorm"] + [
        "FrozenBatchNorm"
    ]
    # Gluon's group norm has a scale for each of its two groups.
    assert [len(norm.kept) for norm in report] == [2, 0, 4, 4]
    assert net(nd.ones((1, 4, 2, 2))).shape == (1, 4, 2, 2)


@pytest.mark.parametrize(
    "make_net, norm, words",
    [
        (lambda: nn.BatchNorm(in_channels=4), "gn", "is itself a norm"),
        (
            lambda: in_sequence(nn.BatchNorm(in_channels=48)),
            "gn",
            "1 has 48 channels, .*group",
        ),
        (lambda: in_sequence(nn.BatchNorm(axis=3, in_channels=32)), "gn", "no norm over axis 1"),
        (lambda: in_sequence(nn.LayerNorm(in_channels=32)), "gn", "no norm over axis 1"),
        (lambda: in_sequence(nn.BatchNorm(in_channels=4)), "batch", "no norm is called 'batch'"),
    ],
)
def test_what_cannot_be_replaced_changes_nothing(make_net, norm, words):
    net = make_net()
    layers = list(net._children.values())
    with pytest.raises(InputError, match=words):
        replace_norms(net, norm)
    assert list(net._children.values()) == layers


def in_sequence(layer):
    """A network of a norm that can be replaced, and the given layer."""
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=32), layer)
    return net


def test_the_statistics_of_pixels_are_frozen_whatever_the_norm_is():
    features = vision.resnet18_v2().features
    report = replace_norms(features, "gn")
    assert [norm.new for norm in report][:2] == ["FrozenBatchNorm", "GroupNorm"]
    assert {norm.new for norm in report[1:]} == {"GroupNorm"}
    features.initialize()
    images = nd.random.normal(shape=(1, 3, 8, 8))
    assert features[0](images).asnumpy() == pytest.approx(images.asnumpy(), rel=1e-4)


def test_slices_of_one_network_get_names_of_their_own():
    features = vision.resnet18_v1().features
    parts = features[:7], features[7:8]
    for part in parts:
        replace_norms(part, "gn")
    names = [name for part in parts for name in part.collect_params()]
    assert len(names) == len(set(names))
    # The last stage takes no image, so its norms learn their channels from the first input.
    parts[1].initialize()
    assert parts[1](nd.ones((1, 256, 4, 4))).shape == (1, 512, 2, 2)


def test_a_network_without_norms_has_nothing_to_replace():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3))
    assert str(replace_norms(net, "gn")) == "no norms to replace" and count_norms(net) == 0
