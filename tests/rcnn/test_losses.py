from gluonnorm.rcnn.losses import binary_cross_entropy, cross_entropy, per_image, smooth_l1

import mxnet as mx
import numpy as np
import pytest
import reference.losses as slow
from reference.graph import both


@pytest.mark.parametrize("beta", [1.0, 1 / 9])
def test_smooth_l1_and_its_slope(beta):
    values = np.concatenate([np.linspace(-3, 3, 41), [0, beta / 2, beta, -beta]]).astype(np.float32)
    (result,) = both(lambda F, x: smooth_l1(F, x, beta), values)
    np.testing.assert_allclose(result, slow.smooth_l1(values, beta), rtol=1e-5, atol=1e-6)
    x = mx.nd.array(values)
    x.attach_grad()
    with mx.autograd.record():
        loss = smooth_l1(mx.nd, x, beta)
    loss.backward()
    np.testing.assert_allclose(x.grad.asnumpy(), np.clip(values / beta, -1, 1), atol=1e-5)


def test_binary_cross_entropy():
    logits = np.float32([-6, -1, 0, 0.5, 7, 3])
    targets = np.float32([0, 1, 1, 0, 1, 0])
    (result,) = both(binary_cross_entropy, logits, targets)
    np.testing.assert_allclose(
        result, slow.binary_cross_entropy(logits, targets), rtol=1e-5, atol=1e-6
    )


def test_binary_cross_entropy_of_huge_logits():
    (result,) = both(binary_cross_entropy, [1e4, -1e4, 1e4, -1e4], [1, 0, 0, 1])
    np.testing.assert_allclose(result, [0, 0, 1e4, 1e4])


def test_cross_entropy():
    logits = np.random.default_rng(0).normal(0, 2, (2, 5, 4)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 4, (2, 5))
    (result,) = both(cross_entropy, logits, labels)
    wanted = slow.cross_entropy(logits.reshape(-1, 4), labels.reshape(-1)).reshape(2, 5)
    np.testing.assert_allclose(result, wanted, rtol=1e-5)


def test_cross_entropy_of_huge_logits():
    (result,) = both(cross_entropy, [[1e4, 0], [1e4, 0]], [0, 1])
    np.testing.assert_allclose(result, [0, 1e4], atol=1e-5)


def test_per_image_divides_by_what_counts():
    values, weights, count = (
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [[1, 1, 0, 0], [0, 0, 0, 0]],
        [[1, 1, 1, 0], [0, 0, 0, 0]],
    )
    (result,) = both(per_image, values, weights, count)
    np.testing.assert_allclose(result, [1, 0])  # (1 + 2) / 3, and nothing over nothing is 0
