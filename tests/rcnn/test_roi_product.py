"""RoIAlign as a product is compared with MXNet's own operator, one call for each level."""

import ctypes

from gluonnorm.convention import CONVENTIONS, BoxConvention
from gluonnorm.rcnn import roi_product as module
from gluonnorm.rcnn.roi_align import roi_align
from gluonnorm.rcnn.roi_product import roi_product, rows_of_cells

import mxnet as mx
import numpy as np
import pytest
from mxnet.base import _LIB
from reference.boxes import random_boxes

MODERN = BoxConvention()
LEGACY = BoxConvention(roi_aligned=False)
PYRAMID = (4, 8, 16, 32)
HEIGHT = 320
WIDTH = 480
ODD_ROIS = [
    [-1, -1, -1, -1],
    [0, 0, 0, 0],
    [-50, -60, 600, 500],
    [5, 5, 3, 3],
    [20, 9, 20, 40],
    [-3000, -3000, -2000, -2000],
    [700, 20, 900, 300],
    [479.999, 319.999, 480, 320],
    [-3.9, -4.1, 20, 30],
    [470, 300, 484, 324.5],
    [0, 100, 480, 104],
]


def make_maps(strides, num_images=2, channels=3):
    rng = np.random.default_rng(0)
    maps = []
    for stride in strides:
        shape = (num_images, channels, -(-HEIGHT // stride), -(-WIDTH // stride))
        maps.append(mx.nd.array(rng.normal(size=shape)))
    return maps


def make_rois(num_images=2):
    rng = np.random.default_rng(1)
    rois = [np.concatenate([ODD_ROIS, random_boxes(rng, 40, WIDTH)]) for _ in range(num_images)]
    return mx.nd.array(rois)


class Sampler(mx.gluon.HybridBlock):
    def __init__(self, sample, *settings):
        super().__init__()
        self.sample = sample
        self.settings = settings

    def hybrid_forward(self, F, rois, *maps):
        inputs = [maps, rois]
        if self.sample is roi_product:
            inputs.insert(1, rows_of_cells(F, maps))
        return self.sample(F, *inputs, *self.settings)


def run(block, rois, maps):
    """Return the samples, and the gradients of a weighted sum of them by map."""
    for level in maps:
        level.attach_grad()
    with mx.autograd.record():
        result = block(rois, *maps)
    rng = np.random.default_rng(2)
    result.backward(mx.nd.array(rng.normal(size=result.shape)))
    return [array.asnumpy() for array in (result, *(level.grad for level in maps))]


def assert_all_close(results, expected):
    for got, want in zip(results, expected):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("samples", [2, 3, 0])
@pytest.mark.parametrize("convention", [MODERN, LEGACY])
@pytest.mark.parametrize("strides", [PYRAMID, (16,)])
def test_values_and_gradients_equal_the_operator(strides, convention, samples):
    rois, maps = make_rois(), make_maps(strides)
    settings = (strides, 3, samples, convention)
    expected = run(Sampler(roi_align, *settings), rois, maps)
    block = Sampler(roi_product, *settings)
    assert_all_close(run(block, rois, maps), expected)
    block.hybridize()
    assert_all_close(run(block, rois, maps), expected)


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_each_convention_chooses_its_levels(name):
    rois, maps = make_rois(1), make_maps(PYRAMID, 1, channels=1)
    settings = (PYRAMID, 2, 2, CONVENTIONS[name])
    expected = run(Sampler(roi_align, *settings), rois, maps)
    assert_all_close(run(Sampler(roi_product, *settings), rois, maps), expected)


def test_a_sample_exactly_at_the_reach_counts_as_in_the_operator():
    """A cell outside of the map is read, and nothing beyond it."""
    maps = [mx.nd.ones((1, 1, 4, 4))]
    # With one sample in the only cell, the sample is at the center of the RoI.
    centers = [-1.0, -1.01, 4.0, 4.01, 3.5]
    rois = mx.nd.array([[[16 * x - 16, 16, 16 * x + 16, 48] for x in centers]])
    settings = ((16,), 1, 1, LEGACY)
    expected = run(Sampler(roi_align, *settings), rois, maps)
    results = run(Sampler(roi_product, *settings), rois, maps)
    np.testing.assert_array_equal(results[0], expected[0])
    np.testing.assert_array_equal(results[0].ravel(), [1, 0, 1, 0, 1])


def test_any_cpu_device():
    rois, maps = make_rois(), make_maps((16,))
    block = Sampler(roi_product, (16,), 3, 2, MODERN)
    expected = run(block, rois, maps)
    device = mx.cpu(1)
    results = run(block, rois.as_in_context(device), [maps[0].as_in_context(device)])
    for got, want in zip(results, expected):
        np.testing.assert_array_equal(got, want)


def test_threads_change_no_bit():
    rois, maps = make_rois(), make_maps(PYRAMID, channels=32)
    block = Sampler(roi_product, PYRAMID, 7, 2, MODERN)
    results = []
    try:
        for threads in (1, 3, 3):
            _LIB.MXSetNumOMPThreads(ctypes.c_int(threads))
            results.append(run(block, rois, maps))
    finally:
        _LIB.MXSetNumOMPThreads(ctypes.c_int(1))
    for other in results[1:]:
        for first, again in zip(results[0], other):
            np.testing.assert_array_equal(first, again)


def test_a_matrix_that_mxnet_refuses_is_split(monkeypatch):
    rois, maps = make_rois(), make_maps(PYRAMID)
    block = Sampler(roi_product, PYRAMID, 3, 2, MODERN)
    expected = run(block, rois, maps)
    num_cells = sum(level.shape[2] * level.shape[3] for level in maps)
    monkeypatch.setattr(module, "LARGEST_MATRIX", 4 * 9 * num_cells)
    results = run(block, rois, maps)
    assert_all_close(results, expected)


def test_a_gradient_is_added_where_the_map_asks_for_it():
    rois, maps = make_rois(), make_maps((16,))
    block = Sampler(roi_product, (16,), 3, 2, MODERN)
    _, once = run(block, rois, maps)
    maps[0].attach_grad(grad_req="add")
    for _ in range(2):
        with mx.autograd.record():
            result = block(rois, *maps)
        weights = np.random.default_rng(2).normal(size=result.shape)
        result.backward(mx.nd.array(weights))
    np.testing.assert_allclose(maps[0].grad.asnumpy(), 2 * once, rtol=1e-5, atol=1e-5)


class SamplerAndConv(Sampler):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.before = mx.gluon.nn.Conv2D(32, 3, padding=1, in_channels=16)
        self.after = mx.gluon.nn.Conv2D(32, 3, padding=1, in_channels=32)

    def hybrid_forward(self, F, rois, *maps):
        maps = [self.before(level) for level in maps]
        return self.after(super().hybrid_forward(F, rois, *maps))


@pytest.mark.parametrize("strides", [PYRAMID, (16,)])
def test_it_stands_between_convolutions(strides):
    """oneDNN gives their outputs and gradients layouts of its own."""
    rois, maps = make_rois(), make_maps(strides, channels=16)
    settings = (strides, 4, 2, MODERN)
    expected_block, block = (SamplerAndConv(f, *settings) for f in (roi_align, roi_product))
    for either in (expected_block, block):
        mx.random.seed(0)
        either.initialize(mx.init.Xavier())
    expected = run(expected_block, rois, maps)
    assert_all_close(run(block, rois, maps), expected)
    block.hybridize()
    for _ in range(3):
        assert_all_close(run(block, rois, maps), expected)


def test_a_hybridized_block_takes_maps_of_any_size():
    block = Sampler(roi_product, (16,), 3, 2, MODERN)
    block.hybridize()
    rois = mx.nd.array([[[0, 0, 60, 40]]])
    for side in (8, 5):
        maps = [mx.nd.random.normal(shape=(1, 2, side, side))]
        expected = run(Sampler(roi_align, (16,), 3, 2, MODERN), rois, maps)
        assert_all_close(run(block, rois, maps), expected)
