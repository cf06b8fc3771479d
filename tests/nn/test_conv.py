from gluonnorm.nn import ConvNorm, make_norm

import numpy as np
import pytest
from mxnet import nd


@pytest.mark.parametrize("kernel, stride, size", [(1, 1, (5, 8)), (3, 1, (5, 8)), (3, 2, (3, 4))])
def test_sizes(kernel, stride, size):
    layer = ConvNorm(6, 4, kernel, stride)
    layer.initialize()
    assert layer(nd.ones((2, 4, 5, 8))).shape == (2, 6) + size


def test_a_bias_only_where_no_norm_follows():
    assert set(ConvNorm(6, 4, 3)._collect_params_with_prefix()) == {"conv.weight", "conv.bias"}
    layer = ConvNorm(6, 4, 3, norm=make_norm("gn", num_groups=3))
    assert set(layer._collect_params_with_prefix()) == {"conv.weight", "norm.gamma", "norm.beta"}


def test_the_norm_sees_the_convolution():
    layer = ConvNorm(2, 3, 1, norm=make_norm("gn", num_groups=1))
    layer.initialize()
    x = nd.random.normal(shape=(1, 3, 4, 5))
    raw = np.einsum("oc,nchw->nohw", layer.conv.weight.data().asnumpy()[:, :, 0, 0], x.asnumpy())
    np.testing.assert_allclose(
        layer(x).asnumpy(), (raw - raw.mean()) / np.sqrt(raw.var() + 1e-5), rtol=1e-3, atol=1e-4
    )
