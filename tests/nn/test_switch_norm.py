import json
from pathlib import Path

from gluonnorm.nn import SwitchNorm, freeze, make_norm

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from reference.step import run_recorded

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "switch_norm_s0.npz"
AUTHORS = {"gamma": "weight", "beta": "bias"}  # their names for our parameters, where they differ
HYBRID = [None, {}, {"static_alloc": True, "static_shape": True}]


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def slow_switch_norm(x, a, epsilon=1e-5, training=True):
    """The authors' formula in float64, map by map; returns y and the statistics of the batch."""
    x = x.astype(np.float64)
    images, channels, pixels = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    mean_in, var_in = np.empty((images, channels)), np.zeros((images, channels))
    for n in range(images):
        for c in range(channels):
            mean_in[n, c] = x[n, c].mean()
            if pixels > 1:
                var_in[n, c] = x[n, c].var() * pixels / (pixels - 1)
    square = var_in + mean_in**2
    mean_ln, mean_bn = mean_in.mean(1, keepdims=True), mean_in.mean(0)
    var_ln, var_bn = square.mean(1, keepdims=True) - mean_ln**2, square.mean(0) - mean_bn**2
    means, variances = [mean_in, mean_ln], [var_in, var_ln]
    if len(a["mean_weight"]) == 3:
        means.append(mean_bn if training else a["running_mean"])
        variances.append(var_bn if training else a["running_var"])
    mean = sum(w * m for w, m in zip(softmax(a["mean_weight"]), means))
    var = sum(w * v for w, v in zip(softmax(a["var_weight"]), variances))
    y = (x - mean[:, :, None, None]) / np.sqrt(var[:, :, None, None] + epsilon)
    return y * a["gamma"][:, None, None] + a["beta"][:, None, None], mean_bn, var_bn


def fill(layer):
    """Initialize a layer with random values; return them as float64 arrays by name."""
    layer.initialize()
    arrays = {}
    for name, parameter in layer._collect_params_with_prefix().items():
        low, high = (0.5, 2.0) if name in ("gamma", "running_var") else (-1.0, 1.0)
        parameter.set_data(nd.random.uniform(low, high, parameter.shape))
        arrays[name] = parameter.data().asnumpy().astype(np.float64)
    return arrays


def values(layer):
    return {name: p.data().asnumpy() for name, p in layer._collect_params_with_prefix().items()}


def hybridize(layer, flags):
    if flags is not None:
        layer.hybridize(**flags)


# ---- the authors' module


@pytest.mark.parametrize("flags", HYBRID)
@pytest.mark.parametrize("infers", [False, True])
@pytest.mark.parametrize("case", range(4))
def test_equals_the_authors_module(case, infers, flags):
    with np.load(GOLDEN) as file:
        golden = {name[2:]: file[name] for name in file if name.startswith(f"{case}_")}
    x = nd.array(golden["x"])
    layer = SwitchNorm(
        0 if infers else x.shape[1],
        use_bn=bool(golden["using_bn"]),
        momentum=float(golden["momentum"]),
    )
    layer.initialize()
    hybridize(layer, flags)
    layer(x)
    names = list(layer._collect_params_with_prefix())
    assert len(names) == (6 if golden["using_bn"] else 4)
    for name in names:
        getattr(layer, name).set_data(nd.array(golden["p_" + AUTHORS.get(name, name)]))
    got = {"eval": layer(x).asnumpy()}
    got["train"], got["dx"] = run_recorded(layer, x, nd.array(golden["g"]))
    for name in ("gamma", "mean_weight", "var_weight"):
        got["d" + AUTHORS.get(name, name)] = getattr(layer, name).grad().asnumpy()
    if golden["using_bn"]:
        got["running_mean"], got["running_var"] = (
            values(layer)[name] for name in ("running_mean", "running_var")
        )
    for name, array in got.items():
        np.testing.assert_allclose(array, golden[name], rtol=1e-6, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(layer.beta.grad().asnumpy(), golden["g"].sum((0, 2, 3)), atol=1e-5)


# ---- the formula


@pytest.mark.parametrize("flags", HYBRID[:2])
@pytest.mark.parametrize("use_bn", [True, False])
@pytest.mark.parametrize(
    "shape", [(2, 6, 5, 3), (1, 4, 7, 7), (3, 5, 1, 1), (1, 3, 1, 1), (2, 1, 2, 1), (1, 1, 1, 1)]
)
def test_equals_the_slow_formula_also_on_maps_of_one_pixel(shape, use_bn, flags):
    layer = SwitchNorm(shape[1], use_bn=use_bn)
    a = fill(layer)
    hybridize(layer, flags)
    x = nd.random.normal(2, 3, shape)
    expected, mean, var = slow_switch_norm(x.asnumpy(), a)
    # One image of one pixel and one channel leaves no variance but the stored one, and
    # 1 / sqrt(epsilon) as noise.
    np.testing.assert_allclose(run_recorded(layer, x)[0], expected, rtol=1e-3, atol=1e-4)
    assert np.isfinite(x.grad.asnumpy()).all()
    after = values(layer)
    assert all(np.isfinite(array).all() for array in after.values())
    stored = {**a, **{name: after[name] for name in after if "running" in name}}
    if use_bn:
        for kind, batch in (("running_mean", mean), ("running_var", var)):
            np.testing.assert_allclose(
                after[kind], 0.997 * a[kind] + 0.003 * batch, rtol=1e-5, atol=1e-6
            )
    expected = slow_switch_norm(x.asnumpy(), stored, training=False)[0]
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("use_bn", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 1, 1), (2, 3, 2, 2)])
def test_gradients_equal_differences(shape, use_bn):
    layer = SwitchNorm(shape[1], use_bn=use_bn)
    a = fill(layer)
    layer.hybridize()
    x, head = nd.random.normal(1, 2, shape), nd.random.normal(shape=shape)
    _, grad = run_recorded(layer, x, head)
    points = {"x": x.asnumpy().astype(np.float64), **a}
    got = {
        "x": grad,
        **{name: getattr(layer, name).grad().asnumpy() for name in a if "running" not in name},
    }
    for name, gradient in got.items():
        expected = np.empty(gradient.shape)
        for index in np.ndindex(*gradient.shape):
            both = []
            for step in (1e-5, -1e-5):
                moved = points[name].copy()
                moved[index] += step
                changed = {**points, name: moved}
                both.append((slow_switch_norm(changed["x"], changed)[0] * head.asnumpy()).sum())
            expected[index] = (both[0] - both[1]) / 2e-5
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-3, atol=1e-3 * max(1, np.abs(expected).max()), err_msg=name
        )


@pytest.mark.parametrize("use_bn", [True, False])
def test_constant_images_give_beta_and_finite_gradients(use_bn):
    layer = SwitchNorm(3, use_bn=use_bn)
    a = fill(layer)
    y, grad = run_recorded(layer, nd.full((2, 3, 4, 4), 2.5), nd.random.normal(shape=(2, 3, 4, 4)))
    np.testing.assert_allclose(y, np.broadcast_to(a["beta"][:, None, None], y.shape), atol=1e-6)
    for array in (
        grad,
        *values(layer).values(),
        layer.gamma.grad().asnumpy(),
        layer.var_weight.grad().asnumpy(),
    ):
        assert np.isfinite(array).all()


def test_stays_exact_on_large_maps_far_from_zero():
    layer = SwitchNorm(4)
    a = fill(layer)
    x = nd.random.normal(1000, 1, (2, 4, 100, 150))
    np.testing.assert_allclose(
        run_recorded(layer, x)[0], slow_switch_norm(x.asnumpy(), a)[0], atol=5e-4
    )


def test_float16_data_has_float32_statistics():
    layer = SwitchNorm(8)
    a = fill(layer)
    layer.cast("float16")
    assert {array.dtype for array in values(layer).values()} == {np.dtype("float32")}
    x = nd.random.normal(20, 2, (2, 8, 64, 64)).astype(
        "float16"
    )  # a map's sum, 81920, is beyond float16
    for training in (False, True):
        expected, mean, var = slow_switch_norm(x.asnumpy(), a, training=training)
        y = run_recorded(layer, x)[0] if training else layer(x).asnumpy()
        assert y.dtype == np.float16
        np.testing.assert_allclose(y.astype(np.float32), expected, rtol=2e-3, atol=5e-3)
    np.testing.assert_allclose(
        values(layer)["running_mean"],
        0.997 * a["running_mean"] + 0.003 * mean,
        rtol=1e-5,
        atol=1e-6,
    )
    layer.cast("float32")
    assert layer(x.astype("float32")).dtype == np.float32


# ---- training and inference


@pytest.mark.parametrize("flags", HYBRID)
def test_the_mode_decides_at_each_call_and_only_backward_moves_the_statistics(flags):
    layer = SwitchNorm(6, momentum=0.5)
    a = fill(layer)
    hybridize(layer, flags)
    for _ in range(3):
        x = nd.random.normal(2, 3, (2, 6, 5, 3))
        for training in (False, True, False):
            with autograd.train_mode() if training else autograd.predict_mode():
                y = layer(x).asnumpy()
            expected = slow_switch_norm(x.asnumpy(), a, training=training)[0]
            np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(values(layer)["running_var"], a["running_var"], rtol=1e-6)
        y = run_recorded(layer, x)[0]
        expected, mean, var = slow_switch_norm(x.asnumpy(), a)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
        a["running_mean"] = 0.5 * a["running_mean"] + 0.5 * mean
        a["running_var"] = 0.5 * a["running_var"] + 0.5 * var
    np.testing.assert_allclose(
        values(layer)["running_mean"], a["running_mean"], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(values(layer)["running_var"], a["running_var"], rtol=1e-5)


def test_statistics_move_where_only_gamma_learns():
    layer = SwitchNorm(4)
    a = fill(layer)
    with autograd.record():
        y = layer(nd.random.normal(5, 1, (2, 4, 3, 3)))
    y.backward()
    assert (values(layer)["running_mean"] != a["running_mean"]).all()


def test_chance_plays_no_part():
    layer = SwitchNorm(4)
    fill(layer)
    x = nd.random.normal(2, 3, (2, 4, 5, 3))
    outputs = []
    for seed in range(8):
        mx.random.seed(seed)
        with autograd.train_mode():
            outputs.append(layer(x).asnumpy())
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])


def test_several_devices_keep_statistics_of_their_own():
    contexts = [mx.cpu(0), mx.cpu(1)]
    layer = SwitchNorm(4, momentum=0.0)
    layer.initialize(ctx=contexts)
    for shift, context in enumerate(contexts):
        y, _ = run_recorded(layer, nd.random.normal(10 * shift, 1, (2, 4, 8, 8), ctx=context))
        np.testing.assert_allclose(
            layer.running_mean.data(context).asnumpy(), np.full(4, 10 * shift), atol=1
        )


@pytest.mark.parametrize("name", ["sn", "sn_nobn"])
@pytest.mark.parametrize("frozen", [False, True])
def test_export_and_import_at_another_size(tmp_path, name, frozen):
    layer = make_norm(name)(6)
    fill(layer)
    if frozen:
        freeze(layer)
    layer.hybridize()
    layer(nd.ones((1, 6, 4, 4)))
    prefix = str(tmp_path / "norm")
    layer.export(prefix)
    loaded = mx.gluon.SymbolBlock.imports(
        prefix + "-symbol.json", ["data"], prefix + "-0000.params"
    )
    x = nd.random.normal(shape=(3, 6, 5, 7))
    np.testing.assert_array_equal(loaded(x).asnumpy(), layer(x).asnumpy())


def test_no_batch_norm_goes_to_cudnn():
    """cuDNN would store twice the variance: it multiplies by n / (n - 1), and n is 2."""
    graph = json.loads(SwitchNorm(4)(mx.sym.var("data")).tojson())
    batch_norms = [node for node in graph["nodes"] if node["op"] == "BatchNorm"]
    assert [node["attrs"]["cudnn_off"] for node in batch_norms] == ["True"]


# ---- parameters


def test_parameters_start_as_documented():
    layer = SwitchNorm(5, zero_gamma=True)
    layer.initialize()
    start = {
        "gamma": np.zeros(5),
        "beta": np.zeros(5),
        "mean_weight": np.ones(3),
        "var_weight": np.ones(3),
        "running_mean": np.zeros(5),
        "running_var": np.ones(5),
    }
    got = values(layer)
    assert set(got) == set(start)
    for name, array in start.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    assert {
        name for name, p in layer._collect_params_with_prefix().items() if p.grad_req == "null"
    } == {"running_mean", "running_var"}
    layer = SwitchNorm(5, use_bn=False)
    layer.initialize()
    assert {name: array.shape for name, array in values(layer).items()} == {
        "gamma": (5,),
        "beta": (5,),
        "mean_weight": (2,),
        "var_weight": (2,),
    }


def test_parameters_keep_their_start_under_a_random_initializer():
    layer = SwitchNorm(5)
    layer.initialize(mx.init.Normal(3))
    np.testing.assert_array_equal(values(layer)["mean_weight"], np.ones(3))
    np.testing.assert_array_equal(values(layer)["var_weight"], np.ones(3))
    np.testing.assert_array_equal(values(layer)["gamma"], np.ones(5))


@pytest.mark.parametrize("name", ["sn", "sn_nobn"])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("flags", HYBRID[:2])
def test_channels_are_inferred(name, frozen, flags):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(6, 1), make_norm(name)())
    net.initialize()
    if frozen:
        freeze(net)
    hybridize(net, flags)
    x = nd.random.normal(shape=(2, 3, 4, 4))
    y = net(x).asnumpy()
    assert net[1].gamma.shape == net[1].beta.shape == (6,)
    assert name == "sn_nobn" or net[1].running_mean.shape == net[1].running_var.shape == (6,)
    expected = slow_switch_norm(net[0](x).asnumpy(), values(net[1]), training=False)[0]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="momentum 1.5; give .* 0 to 1"):
        SwitchNorm(4, momentum=1.5)
    with pytest.raises(ValueError, match="epsilon 0; give a positive"):
        SwitchNorm(4, epsilon=0)


# ---- frozen


@pytest.mark.parametrize("flags", HYBRID)
def test_frozen_means_no_gradient_and_stored_statistics(flags):
    layer = SwitchNorm(6)
    a = fill(layer)
    freeze(layer)
    hybridize(layer, flags)
    assert {p.grad_req for p in layer.collect_params().values()} == {"null"}
    x, head = nd.random.normal(2, 3, (2, 6, 5, 3)), nd.random.normal(shape=(2, 6, 5, 3))
    expected = slow_switch_norm(x.asnumpy(), a, training=False)[0]
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    y, grad = run_recorded(layer, x, head)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    for name, before in a.items():
        np.testing.assert_array_equal(values(layer)[name], before, err_msg=name)
    raw = x.asnumpy().astype(np.float64)
    for index in [
        (0, 0, 0, 0),
        (1, 3, 2, 1),
        (0, 5, 4, 2),
    ]:  # the slope of the same function, IN and LN included
        both = []
        for step in (1e-5, -1e-5):
            moved = raw.copy()
            moved[index] += step
            both.append((slow_switch_norm(moved, a, training=False)[0] * head.asnumpy()).sum())
        np.testing.assert_allclose(grad[index], (both[0] - both[1]) / 2e-5, rtol=1e-3, atol=1e-4)


def test_freezing_takes_effect_on_a_network_that_is_hybridized_anew():
    layer = SwitchNorm(6)
    a = fill(layer)
    layer.hybridize()
    x = nd.random.normal(2, 3, (2, 6, 5, 3))
    layer(x)
    freeze(layer)
    layer.hybridize()
    y, _ = run_recorded(layer, x)
    np.testing.assert_allclose(
        y, slow_switch_norm(x.asnumpy(), a, training=False)[0], rtol=1e-4, atol=1e-5
    )
