from gluonnorm.nn import BatchNorm, GroupNorm, SwitchNorm, SyncBatchNorm, freeze, freeze_batch_norms

import mxnet as mx
import numpy as np
from mxnet import autograd, nd


def sequence():
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Conv2D(4, 3, in_channels=3),
        mx.gluon.nn.BatchNorm(in_channels=4),
        BatchNorm(4),
        SyncBatchNorm(4, num_devices=1),
        GroupNorm(4, num_groups=2),
        SwitchNorm(4),
    )
    net.initialize()
    return net


def step(net):
    x = nd.random.normal(2, 3, (2, 3, 8, 8))
    x.attach_grad()
    with autograd.record():
        net(x).sum().backward()
    mx.nd.waitall()
    return x.grad


def arrays(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def test_freeze_stops_gradients_and_statistics_but_not_the_gradient_of_the_input():
    net = sequence()
    freeze(net)
    net.hybridize()
    before = arrays(net)
    grad = step(net)
    assert {p.grad_req for p in net.collect_params().values()} == {"null"}
    assert np.abs(grad.asnumpy()).max() > 0
    for name, array in arrays(net).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_without_freeze_the_same_step_moves_statistics():
    net = sequence()
    before = arrays(net)
    step(net)
    after = arrays(net)
    for name in (
        "1.running_mean",
        "2.running_mean",
        "3.running_mean",
        "5.running_mean",
        "5.running_var",
    ):
        assert np.abs(after[name] - before[name]).max() > 0, name


def test_freeze_batch_norms_leaves_other_layers_alone():
    net = sequence()
    freeze_batch_norms(net)
    requests = {name: p.grad_req for name, p in net._collect_params_with_prefix().items()}
    learning = {name for name, request in requests.items() if request == "write"}
    assert learning == {
        "0.weight",
        "0.bias",
        "4.gamma",
        "4.beta",
        "5.gamma",
        "5.beta",
        "5.mean_weight",
        "5.var_weight",
    }
    before = arrays(net)
    step(net)
    for name, array in arrays(net).items():
        assert (array != before[name]).any() == name.startswith("5.running"), name
