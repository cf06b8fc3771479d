"""winograd: the transforms of an axis, convolutions of RoIs in a graph, and others that remain."""

from gluonnorm.graph import winograd
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.trace import inference_block

import mxnet as mx
import numpy as np
import pytest

NUM_ROIS = winograd.LEAST_ROIS
CHANNELS = winograd.LEAST_CHANNELS
PLAIN = {"kernel": (3, 3), "pad": (1, 1)}


def graph_of_rois(grid=7, num_rois=NUM_ROIS, channels=CHANNELS, no_bias=False, **attrs):
    """Make a graph that convolves the cells of RoIs, and the values of its variables."""
    generator = np.random.default_rng(grid)
    attrs = {**PLAIN, "num_filter": channels + 32, **attrs}
    stem = mx.sym.Convolution(
        mx.sym.var("data"), mx.sym.var("stem"), kernel=(1, 1), num_filter=channels, no_bias=True
    )
    cells = mx.sym.contrib.ROIAlign(
        stem, mx.sym.var("rois"), pooled_size=(grid, grid), spatial_scale=1.0, sample_ratio=1
    )
    variables = [mx.sym.var("weight")] if no_bias else [mx.sym.var("weight"), mx.sym.var("bias")]
    symbol = mx.sym.Convolution(cells, *variables, no_bias=no_bias, name="layer", **attrs)
    height, width = attrs["kernel"]
    fan_in = channels // attrs.get("num_group", 1)
    corners = generator.uniform(0, 30, (num_rois, 2, 2)).cumsum(axis=1).reshape(num_rois, 4)
    arrays = {
        "stem": generator.normal(0, 1, (channels, 3, 1, 1)),
        "rois": np.concatenate([np.zeros((num_rois, 1)), corners], axis=1),
        "weight": generator.normal(
            0, (9 * fan_in) ** -0.5, (attrs["num_filter"], fan_in, height, width)
        ),
        "bias": generator.normal(0, 1, attrs["num_filter"]),
    }
    values = {name: mx.nd.array(arrays[name]) for name in symbol.list_inputs() if name in arrays}
    return symbol, values


def convolutions(symbol):
    """Count the convolutions of a graph."""
    return sum(node.op == "Convolution" for node in Graph.read(symbol).nodes())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 14, 15])
@pytest.mark.parametrize("divided", [winograd._tiles, winograd._equal_tiles])
def test_transforms_of_an_axis_are_a_filter(size, divided):
    generator = np.random.default_rng(size)
    cells = generator.normal(0, 1, size)
    kernel = generator.normal(0, 1, 3)
    transforms = divided(size)
    tiles_of_factor = len(transforms.inputs) // len(transforms.kernel)
    factors = np.repeat(transforms.kernel @ kernel, tiles_of_factor)
    found = transforms.results @ (transforms.inputs @ cells * factors)
    # NumPy turns the kernel around.
    np.testing.assert_allclose(found, np.convolve(cells, kernel[::-1])[1:-1], atol=1e-12)


def test_four_results_take_six_products():
    assert len(winograd._tiles(4).inputs) == 6
    assert len(winograd._tiles(7).inputs) == 11
    assert len(winograd._equal_tiles(7).inputs) == 12


@pytest.mark.parametrize("grid", [3, 4, 7, 14])
@pytest.mark.parametrize("no_bias", [False, True])
def test_a_convolution_of_rois_is_the_same(grid, no_bias):
    symbol, values = graph_of_rois(grid, no_bias=no_bias)
    changed, changed_values = winograd.multiply_less(symbol, values)
    assert convolutions(symbol) == 2
    assert convolutions(changed) == 1
    pixels = mx.nd.random.normal(shape=(1, 3, 40, 50))
    expected = inference_block(symbol, values, mx.cpu())(pixels).asnumpy()
    found = inference_block(changed, changed_values, mx.cpu())(pixels).asnumpy()
    assert expected.shape == (NUM_ROIS, CHANNELS + 32, grid, grid)
    assert expected.std() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_weights_keep_their_names_and_two_layers_share_the_matrices():
    symbol, values = graph_of_rois()
    _, one = winograd.multiply_less(symbol, values)
    weight = mx.sym.var("weight2")
    again = mx.sym.Convolution(symbol, weight, num_filter=CHANNELS, no_bias=True, **PLAIN)
    values["weight2"] = mx.nd.zeros((CHANNELS, CHANNELS + 32, 3, 3))
    changed, two = winograd.multiply_less(again, values)
    assert convolutions(changed) == 1
    assert set(two) == {*one, "weight2"}
    for name, value in values.items():
        assert two[name] is value


@pytest.mark.parametrize(
    "settings",
    [
        {"stride": (2, 2)},
        {"dilate": (2, 2)},
        {"pad": (0, 0)},
        {"kernel": (1, 1), "pad": (0, 0)},
        {"num_group": 2},
        {"channels": CHANNELS // 2},
        {"num_filter": CHANNELS - 1},
        {"num_rois": NUM_ROIS - 1},
    ],
)
def test_other_convolutions_of_rois_remain(settings):
    symbol, values = graph_of_rois(**settings)
    changed, changed_values = winograd.multiply_less(symbol, values)
    assert convolutions(changed) == 2
    assert changed_values == values


def test_a_weight_that_is_computed_remains():
    symbol, values = graph_of_rois()
    weight = mx.sym.var("weight2") * 2
    again = mx.sym.Convolution(symbol, weight, num_filter=CHANNELS, no_bias=True, **PLAIN)
    values["weight2"] = mx.nd.zeros((CHANNELS, CHANNELS + 32, 3, 3))
    changed, _ = winograd.multiply_less(again, values)
    assert convolutions(again) == 3
    assert convolutions(changed) == 2


def test_convolutions_of_maps_remain():
    weights = {"first": (CHANNELS, 3, 3, 3), "second": (CHANNELS, CHANNELS, 3, 3)}
    symbol = mx.sym.var("data")
    for name in weights:
        variable = mx.sym.var(name)
        symbol = mx.sym.Convolution(symbol, variable, num_filter=CHANNELS, no_bias=True, **PLAIN)
    values = {name: mx.nd.zeros(shape) for name, shape in weights.items()}
    changed, _ = winograd.multiply_less(symbol, values)
    assert convolutions(changed) == 2
