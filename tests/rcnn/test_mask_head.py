from gluonnorm.nn import NORM_NAMES, make_norm
from gluonnorm.rcnn.mask_head import MaskHead

import mxnet as mx
import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Caution using SyncBatchNorm")


def head_of(num_convs=2, norm=None, in_channels=32, classes=3):
    head = MaskHead(in_channels, 32, classes, num_convs, norm and make_norm(norm))
    head.initialize(mx.init.Normal(0.2))
    return head


def slow_deconv(x, weight, bias):
    """A 2x2 deconvolution with stride 2: the weight (in, out, 2, 2) turns each cell into four."""
    n, _, h, w = x.shape
    result = np.zeros((n, weight.shape[1], 2 * h, 2 * w))
    for i in range(2):
        for j in range(2):
            result[:, :, i::2, j::2] = np.einsum("nchw,co->nohw", x, weight[:, :, i, j])
    return result + bias[:, None, None]


def slow_conv(x, weight, bias):
    """3x3, tap by tap."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    h, w = x.shape[2:]
    return (
        sum(
            np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + h, j : j + w])
            for i in range(3)
            for j in range(3)
        )
        + bias[:, None, None]
    )


@pytest.mark.parametrize("num_convs", [0, 2])
def test_it_equals_its_layers_written_out(num_convs):
    head = head_of(num_convs)
    head.deconv.bias.set_data(mx.nd.random.normal(0, 1, (32,)))
    weights = {
        name: parameter.data().asnumpy()
        for name, parameter in head._collect_params_with_prefix().items()
    }
    x = mx.nd.random.normal(0, 1, (4, 32, 5, 6))
    hidden = x.asnumpy()
    for i in range(num_convs):  # every second child is the activation
        hidden = np.maximum(
            slow_conv(
                hidden, weights[f"convs.{2 * i}.conv.weight"], weights[f"convs.{2 * i}.conv.bias"]
            ),
            0,
        )
    hidden = np.maximum(slow_deconv(hidden, weights["deconv.weight"], weights["deconv.bias"]), 0)
    wanted = np.einsum("nchw,oc->nohw", hidden, weights["score.weight"][:, :, 0, 0])
    wanted += weights["score.bias"][:, None, None]
    assert wanted.shape == (4, 3, 10, 12)
    np.testing.assert_allclose(head(x).asnumpy(), wanted, rtol=1e-3, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("norm", [None, *NORM_NAMES])
def test_names_and_shapes_and_hybrid_equals_imperative(norm):
    head = head_of(4, norm)
    x = mx.nd.random.normal(0, 1, (3, 32, 4, 4))
    wanted = head(x)
    assert wanted.shape == (3, 3, 8, 8)
    names = set(head._collect_params_with_prefix())
    assert {f"convs.{i}.conv.weight" for i in (0, 2, 4, 6)} | {
        "deconv.weight",
        "deconv.bias",
        "score.weight",
        "score.bias",
    } <= names
    assert ("convs.0.conv.bias" in names) == (norm is None) and ("convs.6.norm.gamma" in names) == (
        norm is not None
    )
    head.hybridize()
    np.testing.assert_allclose(head(x).asnumpy(), wanted.asnumpy(), rtol=1e-4, atol=1e-4)


def test_without_convolutions_it_takes_any_width():
    head = head_of(0, in_channels=50)
    assert head.deconv.weight.shape == (50, 32, 2, 2) and head(mx.nd.ones((2, 50, 7, 7))).shape == (
        2,
        3,
        14,
        14,
    )
    assert not any(name.startswith("convs") for name in head._collect_params_with_prefix())
