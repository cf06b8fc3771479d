from gluonnorm.ops.pad import pad_to_multiple

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock
from reference.graph import both

COLOR = (1.5, -2.0, 0.0)


class Padding(HybridBlock):
    def hybrid_forward(self, F, x):
        return pad_to_multiple(F, x, 32, COLOR)


def picture(height, width, batch=2):
    return np.random.default_rng(height).normal(size=(batch, 3, height, width)).astype(np.float32)


def slow_pad(images, multiple, color):
    batch, channels, height, width = images.shape
    result = np.empty(
        (batch, channels, height + -height % multiple, width + -width % multiple), np.float32
    )
    result[:] = np.reshape(color, (1, 3, 1, 1))
    result[:, :, :height, :width] = images
    return result


@pytest.mark.parametrize("multiple", [1, 2, 7, 16, 32])
@pytest.mark.parametrize("color", [(0.0, 0.0, 0.0), COLOR])
def test_every_size_equals_a_frame_filled_with_the_color(multiple, color):
    for side in range(1, 71):
        image = picture(side, 71 - side, batch=1)
        found = pad_to_multiple(mx.nd, mx.nd.array(image), multiple, color).asnumpy()
        np.testing.assert_array_equal(found, slow_pad(image, multiple, color))


@pytest.mark.parametrize("size", [(1, 1), (64, 32), (33, 64), (63, 31), (1, 70)])
@pytest.mark.parametrize("color", [(0.0, 0.0, 0.0), COLOR])
def test_a_traced_graph_gives_the_same(size, color):
    image = picture(*size)
    (found,) = both(lambda F, x: pad_to_multiple(F, x, 32, color), image)
    np.testing.assert_array_equal(found, slow_pad(image, 32, color))


def test_one_graph_serves_every_size():
    block = Padding()
    block.hybridize(static_alloc=True)
    for size in ((40, 50), (32, 64), (1, 1), (70, 33)):
        image = picture(*size)
        np.testing.assert_array_equal(
            block(mx.nd.array(image)).asnumpy(), slow_pad(image, 32, COLOR)
        )


def test_multiple_1_returns_the_image_itself():
    image = mx.nd.ones((1, 3, 5, 7))
    assert pad_to_multiple(mx.nd, image, 1, COLOR) is image


def test_the_gradient_is_that_of_the_image_alone():
    image, weights = mx.nd.array(picture(5, 6)), mx.nd.array(picture(8, 8))
    image.attach_grad()
    with mx.autograd.record():
        loss = (pad_to_multiple(mx.nd, image, 8, COLOR) * weights).sum()
    loss.backward()
    np.testing.assert_array_equal(image.grad.asnumpy(), weights.asnumpy()[:, :, :5, :6])
