from collections import Counter

from gluonnorm.graph.conv_before_roi_align import convolve_before_roi_align
from gluonnorm.graph.fold import fold_graph
from gluonnorm.graph.nodes import Graph
from gluonnorm.graph.output_layers import float32_layers
from gluonnorm.graph.precision import to_bfloat16, to_int8
from gluonnorm.graph.trace import inference_block, trace

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

STRIDE = 8
IMAGE_SIZE = (56, 72)
CHANNELS = 16  # of the map
WIDTH = 8  # of a residual unit
OUT_CHANNELS = 32
# x1, y1, x2, y2 in pixels. The image is 72 pixels wide and 56 high.
ROIS = {
    "inside": (10, 12, 50, 40),
    "the image": (0, 0, 72, 56),
    "one cell of the map for each cell": (0, 0, 48, 48),
    "narrower than a cell of the map": (30, 20, 31, 52),
    "narrow at the far corner": (71, 55, 72, 56),
    "leaves by the left": (-30, 5, 20, 45),
    "leaves by all sides": (-40, -40, 120, 110),
    "outside": (200, 200, 240, 260),
    "far outside": (-1e4, -1e4, -1e4 + 32, -1e4 + 32),
}


class ResidualUnit(mx.gluon.HybridBlock):
    """The first residual unit of a ResNet's stage, with a shortcut of one convolution.

    ``kind`` is "v1a" (stride in the first convolution), "v1b" (in the second), "v1d" (in the
    second, and in an average pooling of the shortcut) or "v2" (as v1b, after norm and relu).
    """

    def __init__(self, kind, norm=nn.BatchNorm):
        super().__init__()
        first_stride = 2 if kind == "v1a" else 1
        shortcut_stride = 1 if kind == "v1d" else 2
        with self.name_scope():
            self.pre_norm = norm(in_channels=CHANNELS) if kind == "v2" else None
            self.body = nn.HybridSequential()
            self.body.add(
                nn.Conv2D(WIDTH, 1, first_stride, use_bias=False, in_channels=CHANNELS),
                norm(in_channels=WIDTH),
                nn.Activation("relu"),
                nn.Conv2D(WIDTH, 3, 2 // first_stride, 1, use_bias=False, in_channels=WIDTH),
                norm(in_channels=WIDTH),
                nn.Activation("relu"),
                nn.Conv2D(OUT_CHANNELS, 1, use_bias=False, in_channels=WIDTH),
                norm(in_channels=OUT_CHANNELS),
            )
            self.shortcut = nn.HybridSequential()
            if kind == "v1d":
                self.shortcut.add(nn.AvgPool2D(2, 2, ceil_mode=True, count_include_pad=False))
            self.shortcut.add(
                nn.Conv2D(OUT_CHANNELS, 1, shortcut_stride, use_bias=False, in_channels=CHANNELS),
                norm(in_channels=OUT_CHANNELS),
            )

    def hybrid_forward(self, F, x):
        if self.pre_norm is not None:
            x = F.Activation(self.pre_norm(x), act_type="relu")
        total = F.elemwise_add(self.body(x), self.shortcut(x))
        return F.Activation(total, act_type="relu")


class RoIHead(mx.gluon.HybridBlock):
    """A map, RoIAlign of ``ROIS``, and a head."""

    def __init__(self, head, grid=6, sample_ratio=2, aligned=False):
        super().__init__()
        self.settings = {
            "pooled_size": (grid, grid),
            "spatial_scale": 1 / STRIDE,
            "sample_ratio": sample_ratio,
            "aligned": aligned,
        }
        rows = [[0, *corners] for corners in ROIS.values()]
        with self.name_scope():
            self.features = nn.Conv2D(CHANNELS, STRIDE, STRIDE, in_channels=3, activation="relu")
            self.rois = self.params.get_constant("rois", np.array(rows, np.float32))
            self.head = head

    def hybrid_forward(self, F, x, rois):
        return self.head(F.contrib.ROIAlign(self.features(x), rois, **self.settings))


def roi_head(head, **settings):
    """Build a head's network, in which no parameter has the value that it begins with."""
    mx.random.seed(0)
    net = RoIHead(head, **settings)
    net.initialize(mx.init.Normal(0.4))
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            parameter.set_data(mx.nd.random.uniform(0.5, 2, parameter.shape))
        elif name.endswith(("beta", "running_mean", "bias")):
            parameter.set_data(mx.nd.random.normal(0, 1, parameter.shape))
    return net


def image(batch=1):
    mx.random.seed(1)
    return mx.nd.random.normal(shape=(batch, 3, *IMAGE_SIZE))


def run(symbol, values):
    return inference_block(symbol, values, mx.cpu())(image()).asnumpy()


def map_convolutions(symbol):
    """Count the convolutions that a RoIAlign reads, directly or in parts of their channels."""
    sources = set()
    for node in Graph.read(symbol).nodes():
        if node.op == "_contrib_ROIAlign":
            source = node.inputs[0][0]
            source = source.inputs[0][0] if source.op == "Reshape" else source
            sources.add(source)
    return len([source for source in sources if source.name.endswith("_of_map")])


UNITS = [("v1a", 2), ("v1a", 3), ("v1a", 0), ("v1b", 2), ("v1b", 0), ("v1d", 2), ("v1d", 3)]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind, sample_ratio", UNITS)
def test_the_unit_computes_the_same_of_every_roi(kind, sample_ratio, aligned):
    net = roi_head(ResidualUnit(kind), sample_ratio=sample_ratio, aligned=aligned)
    symbol, values = fold_graph(*trace(net))
    changed, changed_values = convolve_before_roi_align(symbol, values)
    assert map_convolutions(changed) == 2
    expected = run(symbol, values)
    got = run(changed, changed_values)
    np.testing.assert_allclose(expected, net(image()).asnumpy(), rtol=1e-4, atol=1e-4)
    # With adaptive samples, cells are a little narrower than they should be.
    tolerance = expected.std() * (2e-5 if sample_ratio else 2e-4)
    for name, roi, expected_roi in zip(ROIS, got, expected):
        np.testing.assert_allclose(roi, expected_roi, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("grid", [5, 7])
@pytest.mark.parametrize("kind", ["v1a", "v1b"])
def test_a_grid_of_any_size(kind, grid):
    symbol, values = fold_graph(*trace(roi_head(ResidualUnit(kind), grid=grid)))
    changed = convolve_before_roi_align(symbol, values)
    np.testing.assert_allclose(run(*changed), run(symbol, values), rtol=0, atol=2e-4)
    assert map_convolutions(changed[0]) == 2


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["v1b", "v1d"])
def test_a_convolution_that_widens_the_map_moves_in_float32_alone(kind, dtype):
    symbol, values = fold_graph(*trace(roi_head(ResidualUnit(kind))))
    changed, changed_values = convolve_before_roi_align(symbol, values, dtype)
    assert map_convolutions(changed) == 1
    np.testing.assert_allclose(run(changed, changed_values), run(symbol, values), rtol=0, atol=2e-4)


def rounding_error(symbol, values, dtype, exact):
    """Compute the root of the mean square of what a graph in another number type differs by."""
    if dtype == "int8":
        converted = to_int8(symbol, values, [image().asnumpy()])
    else:
        converted = to_bfloat16(symbol, values)
    return np.sqrt(np.mean((run(*converted) - exact) ** 2))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["v1a", "v1b", "v1d"])
def test_other_number_types_round_no_more_than_on_the_rois(kind, dtype):
    head = nn.HybridSequential()
    # The last layer of a graph remains float32, and here that is none of the unit.
    head.add(ResidualUnit(kind), nn.Conv2D(4, 1, in_channels=OUT_CHANNELS))
    symbol, values = fold_graph(*trace(roi_head(head)))
    exact = run(symbol, values)
    error_on_rois = rounding_error(symbol, values, dtype, exact)
    changed = convolve_before_roi_align(symbol, values, dtype)
    error = rounding_error(*changed, dtype, exact)
    assert 0 < error < 1.02 * error_on_rois


def test_what_only_roi_align_reads_remains_float32():
    symbol, values = fold_graph(*trace(roi_head(ResidualUnit("v1b"))))
    changed, changed_values = convolve_before_roi_align(symbol, values)
    kept = [node for node in float32_layers(Graph.read(changed)) if node.name.endswith("_of_map")]
    assert len(kept) == 2
    _, converted_values = to_bfloat16(changed, changed_values)
    for layer in kept:
        assert converted_values[layer.inputs[1][0].name].dtype == np.float32


def test_a_convolution_on_the_rois_samples_only_the_cells_that_it_reads():
    symbol, values = fold_graph(*trace(roi_head(ResidualUnit("v1b"))))
    changed, _ = convolve_before_roi_align(symbol, values, "int8")
    strides = Counter(
        node.attrs.get("stride") for node in Graph.read(changed).nodes() if node.op == "Convolution"
    )
    assert strides["(2, 2)"] == 1  # of the 3x3 convolution


def test_norms_of_the_image_follow_the_moved_convolutions():
    def norm(in_channels):
        return nn.InstanceNorm(in_channels=in_channels)

    symbol, values = fold_graph(*trace(roi_head(ResidualUnit("v1b", norm=norm))))
    changed, changed_values = convolve_before_roi_align(symbol, values)
    assert map_convolutions(changed) == 2
    inside = list(ROIS).index("narrow at the far corner")  # the others amplify rounding errors
    np.testing.assert_allclose(
        run(changed, changed_values)[:inside], run(symbol, values)[:inside], rtol=0, atol=1e-3
    )


def test_two_sizes_of_rois_share_a_map():
    unit = ResidualUnit("v1b")

    class TwoSizes(RoIHead):
        def hybrid_forward(self, F, x, rois):
            features = self.features(x)
            small = F.contrib.ROIAlign(features, rois, **self.settings)
            large = F.contrib.ROIAlign(features, rois, **{**self.settings, "pooled_size": (8, 8)})
            return F.concat(*[F.flatten(self.head(cells)) for cells in (small, large)], dim=1)

    mx.random.seed(0)
    net = TwoSizes(unit)
    net.initialize(mx.init.Normal(0.4))
    symbol, values = fold_graph(*trace(net))
    changed, changed_values = convolve_before_roi_align(symbol, values)
    assert map_convolutions(changed) == 2
    np.testing.assert_allclose(run(changed, changed_values), run(symbol, values), atol=2e-4)


def test_all_images_of_a_batch():
    net = roi_head(ResidualUnit("v1b"))
    rows = [[number % 2, *corners] for number, corners in enumerate(ROIS.values())]
    net.rois.set_data(mx.nd.array(rows))
    symbol, values = fold_graph(*trace(net))
    changed, changed_values = convolve_before_roi_align(symbol, values)
    got = inference_block(changed, changed_values, mx.cpu())(image(2)).asnumpy()
    expected = inference_block(symbol, values, mx.cpu())(image(2)).asnumpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)


class TwoReaders(mx.gluon.HybridBlock):
    """A 1x1 convolution and another layer that both read the cells of RoIs."""

    def __init__(self, other):
        super().__init__()
        with self.name_scope():
            self.conv = nn.Conv2D(4, 1, in_channels=CHANNELS)
            self.other = other

    def hybrid_forward(self, F, x):
        return F.concat(F.flatten(self.conv(x)), F.flatten(self.other(x)), dim=1)


OTHER_READERS = {
    "a relu": lambda: nn.Activation("relu"),
    "a 3x3 convolution": lambda: nn.Conv2D(4, 3, in_channels=CHANNELS),
    "a convolution that pads": lambda: nn.Conv2D(4, 1, padding=1, in_channels=CHANNELS),
    "a convolution in groups": lambda: nn.Conv2D(4, 1, groups=2, in_channels=CHANNELS),
    "unequal strides": lambda: nn.Conv2D(4, 1, strides=(1, 2), in_channels=CHANNELS),
    "a pooling alone": lambda: nn.AvgPool2D(2, 2),
    "a maximum": lambda: _pooled(nn.MaxPool2D(2, 2)),
    "windows that overlap": lambda: _pooled(nn.AvgPool2D(2, 1)),
    "windows beyond the grid": lambda: _pooled(nn.AvgPool2D(4, 4, ceil_mode=True)),
    "an average of all": lambda: _pooled(nn.GlobalAvgPool2D()),
}


def _pooled(pooling):
    layers = nn.HybridSequential()
    layers.add(pooling, nn.Conv2D(4, 1, in_channels=CHANNELS))
    return layers


def is_unchanged(symbol, values):
    changed, changed_values = convolve_before_roi_align(symbol, values)
    has_same_values = set(values) == set(changed_values)
    return has_same_values and Counter(node.op for node in Graph.read(changed).nodes()) == Counter(
        node.op for node in Graph.read(symbol).nodes()
    )


@pytest.mark.parametrize("reader", list(OTHER_READERS))
def test_other_readers_leave_the_graph_as_it_is(reader):
    assert is_unchanged(*fold_graph(*trace(roi_head(TwoReaders(OTHER_READERS[reader]())))))


def test_a_relu_in_front_leaves_the_graph_as_it_is():
    assert is_unchanged(*fold_graph(*trace(roi_head(ResidualUnit("v2")))))


def test_an_average_of_adaptive_samples_leaves_the_graph_as_it_is():
    head = roi_head(ResidualUnit("v1d"), sample_ratio=0)
    assert is_unchanged(*fold_graph(*trace(head)))


def test_rois_that_are_an_output_too_leave_the_graph_as_it_is():
    class Both(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2D(4, 1, in_channels=CHANNELS)

        def hybrid_forward(self, F, x):
            return [self.conv(x), x]

    assert is_unchanged(*trace(roi_head(Both())))
