from types import SimpleNamespace

from gluonnorm.graph.recalibrate import has_live_norms
from gluonnorm.nn import (
    BatchNorm,
    FrozenBatchNorm,
    SwitchNorm,
    SyncBatchNorm,
    freeze,
    make_norm,
    recalibrate,
)

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd


def chain(*layers, **flags):
    """The layers one after the other, with random parameters."""
    net = mx.gluon.nn.HybridSequential()
    net.add(*layers)
    net.initialize()
    for name, parameter in net._collect_params_with_prefix().items():
        if parameter.shape and 0 not in parameter.shape:
            low, high = (0.5, 2.0) if name.endswith(("gamma", "running_var")) else (-1.0, 1.0)
            parameter.set_data(nd.random.uniform(low, high, parameter.shape))
    if flags:
        net.hybridize(**flags)
    return net


def values(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def images(count, shape=(2, 3, 6, 5)):
    return [nd.random.normal(1 + index, 2, shape) for index in range(count)]


def slow_convolution(a, x):  # 1x1
    return np.einsum("oc,nchw->nohw", a["weight"][:, :, 0, 0], x) + a["bias"][:, None, None]


def slow_batch_norm(a, x):
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    y = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    return y * a["gamma"][:, None, None] + a["beta"][:, None, None], mean, var


def slow_switch_norm(a, x):
    mean_in, var_in = x.mean((2, 3)), x.var((2, 3), ddof=1)
    means = [mean_in, mean_in.mean(1, keepdims=True), mean_in.mean(0)]
    variances = [
        var_in,
        var_in.mean(1, keepdims=True) + mean_in.var(1, keepdims=True),
        var_in.mean(0) + mean_in.var(0),
    ]
    weights = [np.exp(a[name]) / np.exp(a[name]).sum() for name in ("mean_weight", "var_weight")]
    mean, var = (
        sum(w * part for w, part in zip(*both)) for both in zip(weights, (means, variances))
    )
    y = (x - mean[:, :, None, None]) / np.sqrt(var[:, :, None, None] + 1e-5)
    return y * a["gamma"][:, None, None] + a["beta"][:, None, None], means[2], variances[2]


def expected_statistics(batches, statistics):
    """Mean and variance of each layer from exact averages over the batches."""
    moments = [
        [(mean, var + mean**2) for mean, var in statistics(x.asnumpy().astype(np.float64))]
        for x in batches
    ]
    result = []
    for index in range(len(moments[0])):
        mean, square = (
            np.mean([batch[index][part] for batch in moments], axis=0) for part in (0, 1)
        )
        result.append((mean, square - mean**2))
    return result


def check(net, names, expected):
    assert len(names) == len(expected)
    for name, (mean, var) in zip(names, expected):
        np.testing.assert_allclose(values(net)[name + ".running_mean"], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(values(net)[name + ".running_var"], var, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "flags", [{}, {"active": True}, {"static_alloc": True, "static_shape": True}]
)
def test_statistics_are_exact_averages_behind_layers_in_training_mode(flags):
    conv = mx.gluon.nn.Conv2D
    net = chain(
        conv(4, 1, in_channels=3),
        BatchNorm(4),
        conv(5, 1, in_channels=4),
        SwitchNorm(5),
        conv(4, 1, in_channels=5),
        mx.gluon.nn.BatchNorm(in_channels=4),
        **flags,
    )
    before = values(net)
    a = {
        index: {
            name[2:]: array.astype(np.float64)
            for name, array in before.items()
            if name[0] == str(index)
        }
        for index in range(6)
    }

    def statistics(x):
        x, *first = slow_batch_norm(a[1], slow_convolution(a[0], x))
        x, *second = slow_switch_norm(a[3], slow_convolution(a[2], x))
        _, *third = slow_batch_norm(a[5], slow_convolution(a[4], x))
        return first, second, third

    batches = images(3) + images(2, (4, 3, 3, 7))
    x = batches[0]
    net(x)
    assert recalibrate(net, iter(batches)) == ["1", "3", "5"]
    check(net, ["1", "3", "5"], expected_statistics(batches, statistics))
    after = values(net)
    for name in before:
        if "running" not in name:
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert net._active == bool(flags) and net[1]._active == bool(flags)
    again = chain(
        conv(4, 1, in_channels=3),
        BatchNorm(4),
        conv(5, 1, in_channels=4),
        SwitchNorm(5),
        conv(4, 1, in_channels=5),
        mx.gluon.nn.BatchNorm(in_channels=4),
    )
    for name, parameter in again._collect_params_with_prefix().items():
        parameter.set_data(nd.array(after[name]))
    np.testing.assert_allclose(
        net(x).asnumpy(), again(x).asnumpy(), rtol=1e-4, atol=1e-5
    )  # the new ones are in use


def test_batches_with_images_and_no_more_of_them_than_asked_for():
    net, twin = chain(BatchNorm(3)), chain(BatchNorm(3))
    batches = images(5)
    stream = iter([SimpleNamespace(images=x) for x in batches])
    recalibrate(net, stream, num_batches=3)
    recalibrate(twin, batches[:3])
    np.testing.assert_array_equal(values(net)["0.running_mean"], values(twin)["0.running_mean"])
    expected = np.mean([x.asnumpy().mean((0, 2, 3)) for x in batches[:3]], axis=0)
    np.testing.assert_allclose(values(net)["0.running_mean"], expected, rtol=1e-5)


@pytest.mark.parametrize("use_bn", [True, False])
def test_frozen_layers_stay_and_are_used_as_they_are(use_bn):
    frozen_sn, frozen_bn = SwitchNorm(3, use_bn=use_bn), BatchNorm(3)
    net = chain(
        FrozenBatchNorm(3),
        make_norm("global_bn")(3),
        frozen_sn,
        frozen_bn,
        make_norm("gn", num_groups=3)(3),
        BatchNorm(3),
    )
    freeze(frozen_sn)
    freeze(frozen_bn)
    before = values(net)
    batches = images(3)
    assert recalibrate(net, batches) == ["5"]
    after = values(net)
    for name in before:
        assert name.startswith("5.running") or (after[name] == before[name]).all(), name
    inputs = []
    for x in batches:
        for index in range(5):  # in inference: nothing before the last layer has two modes
            x = net[index](x)
        inputs.append(x)
    check(
        net, ["5"], expected_statistics(inputs, lambda x: [(x.mean((0, 2, 3)), x.var((0, 2, 3)))])
    )


def test_a_network_without_live_norms_reads_no_batch():
    net = chain(FrozenBatchNorm(3), SwitchNorm(3, use_bn=False))
    stream = iter(images(2))
    assert recalibrate(net, stream) == []
    assert len(list(stream)) == 2


def test_nothing_to_go_by_is_refused_and_changes_nothing():
    net = chain(BatchNorm(3), SwitchNorm(3))
    before = values(net)
    stream = iter(images(1))
    next(stream)
    with pytest.raises(ValueError, match="no batch for 2 norms"):
        recalibrate(net, stream)
    with pytest.raises(ValueError, match="num_batches 0"):
        recalibrate(net, images(1), num_batches=0)
    broken = images(2)
    broken[1][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="2 norms are not finite"):
        recalibrate(net, broken)
    for name, array in values(net).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_shapes_that_wait_for_the_first_batch_and_several_devices():
    contexts = [mx.cpu(0), mx.cpu(1)]
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(4, 1), BatchNorm(), SwitchNorm())
    net.initialize(ctx=contexts)
    net.hybridize()
    batches = images(2)
    assert recalibrate(net, batches) == ["1", "2"]
    net[0].bias.set_data(nd.zeros(4))
    inputs = [net[0](x) for x in batches]
    check(
        net, ["1"], expected_statistics(inputs, lambda x: [(x.mean((0, 2, 3)), x.var((0, 2, 3)))])
    )
    for layer in (net[1], net[2]):
        one, other = (layer.running_var.data(context).asnumpy() for context in contexts)
        np.testing.assert_array_equal(one, other)


def test_a_layer_that_stands_in_two_places_averages_over_both():
    class Twice(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.norm = BatchNorm(3)

        def hybrid_forward(self, F, x):
            return [self.norm(x), (self.norm(x * 3 + 5),)]

    net = Twice()
    net.initialize()
    (x,) = images(1)
    assert recalibrate(net, [x]) == ["norm"]
    raw = x.asnumpy()
    mean = np.mean([y.mean((0, 2, 3)) for y in (raw, raw * 3 + 5)], axis=0)
    square = np.mean([(y**2).mean((0, 2, 3)) for y in (raw, raw * 3 + 5)], axis=0)
    np.testing.assert_allclose(values(net)["norm.running_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(values(net)["norm.running_var"], square - mean**2, rtol=1e-4)


def test_a_synchronized_norm_does_not_wait_for_other_devices():
    net = chain(SyncBatchNorm(3, num_devices=4), BatchNorm(3))
    batches = images(2)
    assert recalibrate(net, batches) == ["0", "1"]
    check(
        net, ["0"], expected_statistics(batches, lambda x: [(x.mean((0, 2, 3)), x.var((0, 2, 3)))])
    )


@pytest.mark.parametrize("name", ["bn", "sn"])
def test_half_precision_data_and_imported_networks(tmp_path, name):
    net = chain(make_norm(name)(3))
    net.cast("float16")
    batches = [x.astype("float16") for x in images(2)]
    assert recalibrate(net, batches) == ["0"]
    mean = np.mean([x.asnumpy().astype(np.float64).mean((0, 2, 3)) for x in batches], axis=0)
    np.testing.assert_allclose(values(net)["0.running_mean"], mean, rtol=1e-5)
    net.cast("float32")
    net.hybridize()
    net(images(1)[0])
    net.export(str(tmp_path / "net"))
    files = str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    loaded = mx.gluon.SymbolBlock.imports(*files)
    batches = images(3)
    assert len(recalibrate(loaded, batches)) == 1
    recalibrate(net, batches)
    np.testing.assert_allclose(
        loaded(batches[0]).asnumpy(), net(batches[0]).asnumpy(), rtol=1e-5, atol=1e-6
    )


def test_inference_then_agrees_with_training_on_the_one_batch():
    net = chain(mx.gluon.nn.Conv2D(4, 1, in_channels=3), SwitchNorm(4), BatchNorm(4), SwitchNorm(4))
    (x,) = images(1)
    with autograd.train_mode():
        trained = net(x).asnumpy()
    assert np.abs(net(x).asnumpy() - trained).max() > 0.1
    recalibrate(net, [x])
    np.testing.assert_allclose(net(x).asnumpy(), trained, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name, live",
    [
        ("bn", True),
        ("sync_bn", True),
        ("sn", True),
        ("sn_nobn", False),
        ("gn", False),
        ("global_bn", False),
        ("frozen_bn", False),
    ],
)
def test_live_norms_are_recognized(name, live):
    norm = make_norm(name)(32)
    norm.initialize()
    assert has_live_norms(norm) == live
    freeze(norm)
    assert not has_live_norms(norm)
