from gluonnorm.nn import make_norm
from gluonnorm.rcnn import BoxPredictor, ConvFCHead, Res5Head, TwoFCHead

import mxnet as mx
import numpy as np
import pytest


def features(channels=6, size=4):
    return mx.nd.random.normal(0, 1, (3, channels, size, size))


def values(block):
    return {
        name: parameter.data().asnumpy()
        for name, parameter in block._collect_params_with_prefix().items()
    }


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def test_two_fc_equals_two_matrix_products():
    head = TwoFCHead(6, 4, channels=10)
    head.initialize()
    head.fc1.bias.set_data(mx.nd.arange(10))
    x, weights = features(), values(head)
    hidden = np.maximum(dense(x.asnumpy().reshape(3, -1), weights, "fc1"), 0)
    np.testing.assert_allclose(
        head(x).asnumpy(), np.maximum(dense(hidden, weights, "fc2"), 0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("norm", [None, "gn"])
def test_conv_fc_equals_its_layers(norm):
    head = ConvFCHead(6, 4, norm and make_norm(norm), num_convs=2, conv_channels=32, channels=10)
    head.initialize()
    names = head._collect_params_with_prefix()
    assert ("convs.0.conv.bias" in names) == (norm is None)
    x = features()
    hidden = x
    for i in (0, 2):  # every other is the activation
        hidden = mx.nd.relu(head.convs[i](hidden))
    assert hidden.shape == (3, 32, 4, 4)
    wanted = np.maximum(dense(hidden.asnumpy().reshape(3, -1), values(head), "fc1"), 0)
    np.testing.assert_allclose(head(x).asnumpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [5, 6])
def test_two_fc_may_first_halve_the_map(size):
    """An average over 3x3 cells at every second cell; zeros beyond the border count."""
    head, x = TwoFCHead(6, size, channels=10, pool=True), features(size=size)
    head.initialize()
    plain = np.pad(x.asnumpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    pooled = np.array(
        [
            [plain[:, :, i : i + 3, j : j + 3].sum(axis=(2, 3)) / 9 for j in range(0, size, 2)]
            for i in range(0, size, 2)
        ]
    ).transpose(2, 3, 0, 1)
    assert pooled.shape == (3, 6, 3, 3) and head.fc1.weight.shape == (10, 6 * 9)
    weights = values(head)
    hidden = np.maximum(dense(pooled.reshape(3, -1), weights, "fc1"), 0)
    np.testing.assert_allclose(
        head(x).asnumpy(), np.maximum(dense(hidden, weights, "fc2"), 0), rtol=1e-4, atol=1e-5
    )
    assert head.shared(x) is x and head.shared_stride == 1  # a mask head reads the entire map


def test_res5_shares_the_stage_and_its_head_is_the_mean():
    stage = mx.gluon.nn.Conv2D(5, 1, strides=2, in_channels=6)
    head = Res5Head(stage, 5)
    head.initialize()
    x = features()
    np.testing.assert_array_equal(head.shared(x).asnumpy(), stage(x).asnumpy())
    wanted = stage(x).asnumpy().mean(axis=(2, 3))
    np.testing.assert_allclose(
        head.features(head.shared(x)).asnumpy(), wanted, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(head(x).asnumpy(), wanted, rtol=1e-4, atol=1e-6)
    assert head.channels == 5
    assert head.shared(x).shape[2] * head.shared_stride == x.shape[2] and head.shared_stride == 2


def test_predictor_has_background_and_four_deltas_a_class():
    predictor = BoxPredictor(10, 3)
    predictor.initialize()
    x, weights = mx.nd.random.normal(0, 1, (7, 10)), values(predictor)
    logits, deltas = predictor(x)
    assert logits.shape == (7, 4) and deltas.shape == (7, 12)
    np.testing.assert_allclose(
        logits.asnumpy(), dense(x.asnumpy(), weights, "score"), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        deltas.asnumpy(), dense(x.asnumpy(), weights, "loc"), rtol=1e-4, atol=1e-6
    )
