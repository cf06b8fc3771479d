from gluonnorm.errors import InputError
from gluonnorm.nn import (
    NORM_NAMES,
    BatchNorm,
    FrozenBatchNorm,
    GroupNorm,
    SwitchNorm,
    SyncBatchNorm,
    make_norm,
    used_in_heads,
)

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from reference.step import run_recorded


def fill(layer):
    """Initialize a layer with random values; return them as float64 arrays by name."""
    layer.initialize()
    arrays = {}
    for name, parameter in layer._collect_params_with_prefix().items():
        low, high = (0.5, 2.0) if name in ("gamma", "running_var") else (-1.0, 1.0)
        parameter.set_data(nd.random.uniform(low, high, parameter.shape))
        arrays[name] = parameter.data().asnumpy().astype(np.float64)
    return arrays


def slow_affine(x, mean, var, gamma, beta, epsilon):
    """Batch norm with given statistics, channel by channel."""
    y = np.empty(x.shape, np.float64)
    for c in range(x.shape[1]):
        y[:, c] = (
            gamma[c] * (x[:, c].astype(np.float64) - mean[c]) / np.sqrt(var[c] + epsilon) + beta[c]
        )
    return y


def slow_group_norm(x, groups, gamma, beta, epsilon=1e-5):
    """Group norm, image by image and group by group."""
    size = x.shape[1] // groups
    y = np.empty(x.shape, np.float64)
    for n in range(x.shape[0]):
        for g in range(groups):
            part = x[n, g * size : (g + 1) * size].astype(np.float64)
            y[n, g * size : (g + 1) * size] = (part - part.mean()) / np.sqrt(part.var() + epsilon)
        y[n] = y[n] * gamma[:, None, None] + beta[:, None, None]
    return y


# ---- batch norm


def test_batch_norm_uses_batch_statistics_in_training_and_stored_ones_in_inference():
    layer = BatchNorm(6, momentum=0.75)
    a = fill(layer)
    x = nd.random.normal(2, 3, (4, 6, 5, 3))
    raw = x.asnumpy().astype(np.float64)
    mean, var = raw.mean((0, 2, 3)), raw.var((0, 2, 3))
    stored = slow_affine(raw, a["running_mean"], a["running_var"], a["gamma"], a["beta"], 1e-5)
    np.testing.assert_allclose(layer(x).asnumpy(), stored, rtol=1e-4, atol=1e-4)
    trained, _ = run_recorded(layer, x)
    np.testing.assert_allclose(
        trained, slow_affine(raw, mean, var, a["gamma"], a["beta"], 1e-5), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        layer.running_mean.data().asnumpy(), 0.75 * a["running_mean"] + 0.25 * mean, rtol=1e-4
    )


@pytest.mark.parametrize("hybrid", [False, True])
def test_global_statistics_stay_while_gamma_and_beta_learn(hybrid):
    layer = make_norm("global_bn")(6)
    a = fill(layer)
    layer.hybridize(hybrid)
    x = nd.random.normal(2, 3, (4, 6, 5, 3))
    raw = x.asnumpy().astype(np.float64)
    head = nd.random.normal(shape=x.shape)
    y, grad = run_recorded(layer, x, head)
    np.testing.assert_allclose(
        y,
        slow_affine(raw, a["running_mean"], a["running_var"], a["gamma"], a["beta"], 1e-5),
        rtol=1e-4,
        atol=1e-4,
    )
    inverse = 1 / np.sqrt(a["running_var"] + 1e-5)
    np.testing.assert_allclose(
        grad, head.asnumpy() * (a["gamma"] * inverse)[:, None, None], rtol=1e-4, atol=1e-5
    )
    normalized = (raw - a["running_mean"][:, None, None]) * inverse[:, None, None]
    np.testing.assert_allclose(
        layer.gamma.grad().asnumpy(), (head.asnumpy() * normalized).sum((0, 2, 3)), rtol=1e-3
    )
    np.testing.assert_allclose(
        layer.beta.grad().asnumpy(), head.asnumpy().sum((0, 2, 3)), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_array_equal(layer.running_mean.data().asnumpy(), a["running_mean"])
    np.testing.assert_array_equal(layer.running_var.data().asnumpy(), a["running_var"])


# ---- frozen batch norm


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("epsilon", [0, 1e-5, 2e-5, 1e-2])
def test_frozen_batch_norm_is_the_same_affine_in_training_and_inference(epsilon, hybrid):
    layer = FrozenBatchNorm(6, epsilon=epsilon)
    a = fill(layer)
    layer.hybridize(hybrid)
    x = nd.random.normal(2, 3, (2, 6, 5, 3))
    expected = slow_affine(
        x.asnumpy(), a["running_mean"], a["running_var"], a["gamma"], a["beta"], epsilon
    )
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    y, grad = run_recorded(layer, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    slope = a["gamma"] / np.sqrt(a["running_var"] + epsilon)
    np.testing.assert_allclose(grad, np.broadcast_to(slope[:, None, None], x.shape), rtol=1e-4)
    for name, before in a.items():
        np.testing.assert_array_equal(getattr(layer, name).data().asnumpy(), before, err_msg=name)


def test_nothing_makes_a_frozen_batch_norm_learn():
    layer = FrozenBatchNorm(4)
    a = fill(layer)
    layer.collect_params().setattr("grad_req", "write")
    assert {p.grad_req for p in layer.collect_params().values()} == {"null"}
    trainer = mx.gluon.Trainer(layer.collect_params(), "sgd", {"learning_rate": 1.0, "wd": 0.1})
    run_recorded(layer, nd.random.normal(shape=(2, 4, 3, 3)))
    trainer.step(1)
    for name, before in a.items():
        np.testing.assert_array_equal(getattr(layer, name).data().asnumpy(), before, err_msg=name)


def test_frozen_batch_norm_without_scale_and_center():
    layer = FrozenBatchNorm(4, center=False, scale=False)
    a = fill(layer)
    x = nd.random.normal(shape=(2, 4, 3, 3))
    layer.beta.set_data(nd.zeros(4))
    expected = slow_affine(
        x.asnumpy(), a["running_mean"], a["running_var"], np.ones(4), np.zeros(4), 1e-5
    )
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_frozen_gamma_never_starts_at_zero():
    layer = FrozenBatchNorm(4, zero_gamma=True)
    layer.initialize()
    np.testing.assert_array_equal(layer.gamma.data().asnumpy(), np.ones(4))


def test_frozen_batch_norm_refuses_a_negative_epsilon():
    with pytest.raises(ValueError, match="epsilon -1e-05"):
        FrozenBatchNorm(4, epsilon=-1e-5)


# ---- group norm


@pytest.mark.parametrize(
    "shape, groups", [((2, 8, 5, 3), 4), ((1, 6, 1, 1), 3), ((3, 4, 7, 7), 1), ((2, 4, 2, 9), 4)]
)
@pytest.mark.parametrize("hybrid", [False, True])
def test_group_norm_equals_the_slow_one(shape, groups, hybrid):
    layer = GroupNorm(shape[1], num_groups=groups)
    a = fill(layer)
    layer.hybridize(hybrid)
    x = nd.random.normal(2, 3, shape)
    expected = slow_group_norm(x.asnumpy(), groups, a["gamma"], a["beta"])
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run_recorded(layer, x)[0], expected, rtol=1e-4, atol=1e-5)


def test_group_norm_gradients_equal_differences():
    groups, shape = 2, (2, 4, 3, 2)
    layer = GroupNorm(4, num_groups=groups)
    a = fill(layer)
    layer.hybridize()
    x, head = nd.random.normal(1, 2, shape), nd.random.normal(shape=shape)
    _, grad = run_recorded(layer, x, head)
    raw, weights = x.asnumpy().astype(np.float64), head.asnumpy().astype(np.float64)

    def loss(**changed):
        values = {"x": raw, "gamma": a["gamma"], "beta": a["beta"], **changed}
        return (
            slow_group_norm(values["x"], groups, values["gamma"], values["beta"]) * weights
        ).sum()

    for name, value, got in (
        ("x", raw, grad),
        ("gamma", a["gamma"], layer.gamma.grad().asnumpy()),
        ("beta", a["beta"], layer.beta.grad().asnumpy()),
    ):
        expected = np.empty_like(value)
        for index in np.ndindex(*value.shape):
            up, down = value.copy(), value.copy()
            up[index] += 1e-5
            down[index] -= 1e-5
            expected[index] = (loss(**{name: up}) - loss(**{name: down})) / 2e-5
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("flags", [None, {}, {"static_alloc": True, "static_shape": True}])
@pytest.mark.parametrize(
    "shape, groups",
    [
        ((1, 15, 5, 3), 3),
        ((3, 12, 3, 5), 3),
        ((3, 16, 3, 3), 2),
        ((1, 24, 3, 1), 2),
        ((3, 5, 3, 3), 5),
        ((3, 7, 1, 1), 1),
    ],
)
def test_group_norm_gradients_equal_the_formula_for_any_batch_and_odd_channels(
    shape, groups, flags
):
    layer = GroupNorm(shape[1], num_groups=groups)
    a = fill(layer)
    if flags is not None:
        layer.hybridize(**flags)
    for _ in range(2):  # with static_alloc the second call runs in the memory of the first
        x, head = nd.random.normal(5, 2, shape), nd.random.normal(shape=shape)
        y, grad = run_recorded(layer, x, head)
        raw, slope = x.asnumpy().astype(np.float64), head.asnumpy().astype(np.float64)
        np.testing.assert_allclose(
            y, slow_group_norm(raw, groups, a["gamma"], a["beta"]), rtol=1e-4, atol=1e-5
        )
        unit = slow_group_norm(raw, groups, np.ones(shape[1]), np.zeros(shape[1]))
        expected = np.empty(shape)
        size = shape[1] // groups
        for n in range(shape[0]):
            for g in range(groups):
                run = slice(g * size, (g + 1) * size)
                inner, z = slope[n, run] * a["gamma"][run, None, None], unit[n, run]
                std = np.sqrt(raw[n, run].var() + 1e-5)
                expected[n, run] = (inner - inner.mean() - z * (inner * z).mean()) / std
        np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            layer.gamma.grad().asnumpy(), (slope * unit).sum((0, 2, 3)), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(
            layer.beta.grad().asnumpy(), slope.sum((0, 2, 3)), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("inferred", [False, True])
def test_group_norm_behind_a_convolution_exports_and_takes_another_batch_and_size(
    tmp_path, inferred
):
    net = (
        mx.gluon.nn.HybridSequential()
    )  # oneDNN hands on 48 channels in a layout of its own, 15 it does not
    net.add(
        mx.gluon.nn.Conv2D(48, 3, in_channels=3),
        GroupNorm(0 if inferred else 48, num_groups=16),
        mx.gluon.nn.Activation("relu"),
        mx.gluon.nn.Conv2D(15, 1, in_channels=48),
        GroupNorm(0 if inferred else 15, num_groups=3),
    )
    net.initialize(mx.init.Normal(0.5))
    net.hybridize()
    net(nd.ones((1, 3, 8, 8)))
    net.export(str(tmp_path / "net"))
    loaded = mx.gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    for shape in [(1, 3, 13, 9), (3, 3, 7, 11)]:
        x = nd.random.normal(shape=shape)
        hidden = net[0](x).asnumpy()
        hidden = np.maximum(slow_group_norm(hidden, 16, np.ones(48), np.zeros(48)), 0)
        hidden = net[3](nd.array(hidden)).asnumpy()
        expected = slow_group_norm(hidden, 3, np.ones(15), np.zeros(15))
        np.testing.assert_allclose(loaded(x).asnumpy(), expected, rtol=1e-3, atol=1e-4)


def test_group_norm_stays_exact_on_large_maps_far_from_zero():
    layer = GroupNorm(4, num_groups=2)
    a = fill(layer)
    x = nd.random.normal(1000, 1, (1, 4, 200, 300))
    expected = slow_group_norm(x.asnumpy(), 2, a["gamma"], a["beta"])
    np.testing.assert_allclose(layer(x).asnumpy(), expected, atol=5e-4)


@pytest.mark.parametrize("hybrid", [False, True])
def test_group_norm_has_one_gamma_and_beta_a_channel_and_infers_their_number(hybrid):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(6, 1), GroupNorm(num_groups=2))
    net.initialize()
    net.hybridize(hybrid)
    x = nd.random.normal(shape=(1, 3, 4, 4))
    y = net(x).asnumpy()
    assert net[1].gamma.shape == net[1].beta.shape == (6,)
    expected = slow_group_norm(net[0](x).asnumpy(), 2, np.ones(6), np.zeros(6))
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)


def test_group_norm_in_float16_does_not_overflow():
    layer = GroupNorm(8, num_groups=2)
    a = fill(layer)
    layer.cast("float16")
    x = nd.random.normal(20, 2, (1, 8, 64, 64)).astype("float16")
    expected = slow_group_norm(x.asnumpy(), 2, a["gamma"], a["beta"])
    y = layer(x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.asnumpy().astype(np.float32), expected, atol=5e-3)
    layer.cast("float32")
    assert layer(x.astype("float32")).dtype == np.float32


@pytest.mark.parametrize("name", ["frozen_bn", "global_bn", "gn", "sn", "sn_nobn"])
def test_export_and_import_at_another_size(tmp_path, name):
    layer = make_norm(name)(64)
    fill(layer)
    layer.hybridize()
    layer(nd.ones((1, 64, 4, 4)))
    prefix = str(tmp_path / "norm")
    layer.export(prefix)
    loaded = mx.gluon.SymbolBlock.imports(
        prefix + "-symbol.json", ["data"], prefix + "-0000.params"
    )
    x = nd.random.normal(shape=(3, 64, 5, 7))
    np.testing.assert_allclose(loaded(x).asnumpy(), layer(x).asnumpy(), rtol=1e-5, atol=1e-6)


def test_group_norm_names_the_divisors_when_groups_do_not_fit():
    with pytest.raises(ValueError, match=r"12 channels into 32 .*\[1, 2, 3, 4, 6, 12\]"):
        GroupNorm(12)
    with pytest.raises(ValueError, match="num_groups 0"):
        GroupNorm(12, num_groups=0)


# ---- make_norm


def test_every_norm_has_the_shared_call_shape_and_parameter_names():
    for name in NORM_NAMES:
        norm = make_norm(name)
        for settings in ({}, {"center": False}, {"scale": False}, {"zero_gamma": True}):
            layer = norm(32, **settings)
            layer.initialize()
            x = nd.random.normal(shape=(2, 32, 3, 3))
            assert layer(x).shape == x.shape
            names = {"gamma", "beta"}
            names |= {"mean_weight", "var_weight"} if name in ("sn", "sn_nobn") else set()
            names |= {"running_mean", "running_var"} if name not in ("gn", "sn_nobn") else set()
            assert set(layer._collect_params_with_prefix()) == names
            starts_at_zero = "zero_gamma" in settings and name != "frozen_bn"
            np.testing.assert_array_equal(
                layer.gamma.data().asnumpy(), np.full(32, 0.0 if starts_at_zero else 1.0)
            )
            learns = name != "frozen_bn"
            assert (layer.gamma.grad_req == "write") == (learns and settings.get("scale", True))
            assert (layer.beta.grad_req == "write") == (learns and settings.get("center", True))


def test_sync_batch_norm_is_batch_norm_on_one_device():
    sync, plain = SyncBatchNorm(6, num_devices=1), BatchNorm(6)
    plain.initialize()
    for name, array in fill(sync).items():
        getattr(plain, name).set_data(nd.array(array))
    x = nd.random.normal(2, 3, (4, 6, 5, 3))
    np.testing.assert_allclose(
        run_recorded(sync, x)[0], run_recorded(plain, x)[0], rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(sync(x).asnumpy(), plain(x).asnumpy(), rtol=1e-2, atol=1e-2)


def sync_attributes(layer):
    """The attributes of the synchronizing operator in the graph of a layer."""
    nodes = layer(mx.sym.var("data")).attr_dict().values()
    return next(attributes for attributes in nodes if "ndev" in attributes)


@pytest.mark.parametrize(
    "devices, count",
    [
        ([mx.gpu(1)], 1),
        ([mx.gpu(0), mx.gpu(3)], 2),
        ([mx.cpu()], 1),
        ([mx.cpu(0), mx.cpu(1)], 1),
        (None, 1),
    ],
)
def test_sync_batch_norm_waits_for_the_gpus_of_its_network_alone(devices, count, monkeypatch):
    # Each of "ndev" devices waits for the others, so a GPU that is visible but does not hold the
    # network would be waited for without an end.
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 8)
    layer = make_norm("sync_bn")(0)
    if devices is not None:
        layer.initialize(ctx=devices)
    attributes = sync_attributes(layer)
    assert attributes["ndev"] == str(count)
    moved = sync_attributes(SyncBatchNorm(num_devices=3, prefix=layer.prefix))
    assert moved["ndev"] == "3" and moved["key"] != attributes["key"]


def test_make_norm_makes_switchable_norms_with_and_without_bn():
    for name, count in (("sn", 3), ("sn_nobn", 2)):
        layer = make_norm(name, momentum=0.9, epsilon=1e-3)(4)
        assert type(layer) is SwitchNorm and layer.mean_weight.shape == layer.var_weight.shape == (
            count,
        )
        assert (layer._momentum, layer._epsilon) == (0.9, 1e-3)


def test_make_norm_passes_settings_on():
    x = nd.random.normal(2, 3, (2, 8, 5, 3))
    layer = make_norm("gn", num_groups=4, epsilon=0.5)(8)
    layer.initialize()
    np.testing.assert_allclose(
        layer(x).asnumpy(),
        slow_group_norm(x.asnumpy(), 4, np.ones(8), np.zeros(8), 0.5),
        rtol=1e-4,
        atol=1e-5,
    )


def test_make_norm_explains_wrong_names_and_settings():
    with pytest.raises(
        InputError,
        match="called 'frozenbn'; give one of frozen_bn, global_bn, bn, sync_bn, gn, sn, "
        # A norm that another test gave as a callable may follow.
        "sn_nobn.*; did you mean frozen_bn",
    ):
        make_norm("frozenbn")
    with pytest.raises(
        InputError,
        match=r"called 'xyz'; give one of .*, sn_nobn.*\. A norm of your own .*--plugin MODULE$",
    ):
        make_norm("xyz")
    with pytest.raises(InputError, match="'gn' has no setting momentum; it has: .*num_groups"):
        make_norm("gn", momentum=0.9)


def test_each_norm_says_whether_heads_use_it():
    assert [name for name in NORM_NAMES if used_in_heads(name)] == [
        "sync_bn",
        "gn",
        "sn",
        "sn_nobn",
    ]
    with pytest.raises(InputError, match="called 'xyz'"):
        used_in_heads("xyz")
