from gluonnorm.nn import Rescale

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

MEAN = np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
STD = np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("hybrid", [False, True])
def test_both_directions_equal_the_formulas(hybrid):
    pixels = nd.random.uniform(0, 255, (2, 3, 5, 7))
    normalized = (pixels.asnumpy() / 255 - MEAN) / STD
    down, up = Rescale("normalize"), Rescale("denormalize")
    down.hybridize(hybrid)
    up.hybridize(hybrid)
    np.testing.assert_allclose(down(pixels).asnumpy(), normalized, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        up(nd.array(normalized)).asnumpy(), normalized * STD * 255 + MEAN * 255, rtol=1e-5
    )
    np.testing.assert_allclose(up(down(pixels)).asnumpy(), pixels.asnumpy(), rtol=1e-4, atol=1e-3)


def test_own_constants():
    layer = Rescale("normalize", mean=(1, 2, 3), std=(2, 4, 5))
    y = layer(nd.array([5, 10, 13]).reshape((1, 3, 1, 1)))
    np.testing.assert_array_equal(y.asnumpy().ravel(), [2, 2, 2])


def test_there_is_nothing_to_train_save_or_initialize(tmp_path):
    net = mx.gluon.nn.HybridSequential()
    net.add(Rescale("denormalize"), mx.gluon.nn.Conv2D(2, 1, in_channels=3))
    net.initialize()
    assert set(net._collect_params_with_prefix()) == {"1.weight", "1.bias"}
    path = str(tmp_path / "net.params")
    net.save_parameters(path)
    assert set(nd.load(path)) == {"1.weight", "1.bias"}
    plain = mx.gluon.nn.HybridSequential()
    plain.add(Rescale("normalize"), mx.gluon.nn.Conv2D(2, 1, in_channels=3))
    plain.load_parameters(path)
    np.testing.assert_array_equal(plain[1].weight.data().asnumpy(), net[1].weight.data().asnumpy())


@pytest.mark.parametrize("direction", ["normalize", "denormalize"])
def test_export_carries_the_constants_and_takes_other_sizes(tmp_path, direction):
    layer = Rescale(direction)
    layer.hybridize()
    layer(nd.ones((1, 3, 4, 4)))
    layer.export(str(tmp_path / "rescale"))
    loaded = mx.gluon.SymbolBlock.imports(str(tmp_path / "rescale-symbol.json"), ["data"])
    x = nd.random.normal(shape=(2, 3, 6, 5))
    np.testing.assert_array_equal(loaded(x).asnumpy(), layer(x).asnumpy())


@pytest.mark.parametrize("hybrid", [False, True])
def test_output_follows_the_type_and_the_context_of_the_input(hybrid):
    layer = Rescale("denormalize")
    layer.hybridize(hybrid)
    for context in (mx.cpu(0), mx.cpu(1)):
        y = layer(nd.ones((1, 3, 2, 2), ctx=context))
        assert y.context == context and y.dtype == np.float32
    layer.cast("float16")
    y = layer(nd.ones((1, 3, 2, 2), dtype="float16"))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.asnumpy()[0, :, 0, 0], ((1 * STD + MEAN) * 255).ravel(), rtol=1e-3)


def test_the_gradient_is_the_slope():
    x = nd.zeros((1, 3, 2, 2))
    x.attach_grad()
    with autograd.record():
        Rescale("denormalize")(x).backward()
    np.testing.assert_allclose(x.grad.asnumpy(), np.broadcast_to(STD * 255, x.shape), rtol=1e-6)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="direction 'up'; give one of .*denormalize"):
        Rescale("up")
    with pytest.raises(ValueError, match="three numbers"):
        Rescale("normalize", mean=(1, 2))
    with pytest.raises(ValueError, match="positive"):
        Rescale("normalize", std=(1, 0, 1))
