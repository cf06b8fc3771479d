import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx, openvino_program, session


def normal(*shape):
    """Draw numbers around 0."""
    return np.random.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": (1, 1)},
        {"kernel": (3, 3), "pad": (1, 1)},
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "dilate": (1, 1)},
        {"kernel": (3, 2), "stride": (2, 1), "pad": (0, 1), "dilate": (2, 1)},
        {"kernel": (3, 3), "num_group": 2},
    ],
)
@pytest.mark.parametrize("no_bias", [False, True])
def test_convolution(settings, no_bias):
    weight = normal(6, 4 // settings.get("num_group", 1), *settings["kernel"])
    weights = [weight] if no_bias else [weight, normal(6)]
    assert_same_in_onnx(
        lambda F, x, *weights: F.Convolution(
            x, *weights, num_filter=6, no_bias=no_bias, **settings
        ),
        normal(2, 4, 7, 9),
        weights=weights,
        other_arrays=[normal(1, 4, 12, 6)],
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": (2, 2), "stride": (2, 2)},
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "adj": (1, 1)},
        {"kernel": (4, 4), "stride": (2, 2), "pad": (1, 1), "num_group": 2},
    ],
)
@pytest.mark.parametrize("no_bias", [False, True])
def test_deconvolution(settings, no_bias):
    groups = settings.get("num_group", 1)
    weight = normal(4, 6 // groups, *settings["kernel"])
    weights = [weight] if no_bias else [weight, normal(6)]
    assert_same_in_onnx(
        lambda F, x, *weights: F.Deconvolution(
            x, *weights, num_filter=6, no_bias=no_bias, **settings
        ),
        normal(2, 4, 5, 3),
        weights=weights,
        other_arrays=[normal(1, 4, 1, 2)],
        atol=1e-5,
    )


@pytest.mark.parametrize("shape", [(3, 8), (3, 2, 4), (3, 2, 2, 2)])
@pytest.mark.parametrize("no_bias", [False, True])
def test_fully_connected(shape, no_bias):
    weights = [normal(5, 8)] if no_bias else [normal(5, 8), normal(5)]
    assert_same_in_onnx(
        lambda F, x, *weights: F.FullyConnected(x, *weights, num_hidden=5, no_bias=no_bias),
        normal(*shape),
        weights=weights,
        atol=1e-5,
    )


@pytest.mark.parametrize("no_bias", [False, True])
def test_fully_connected_over_the_last_axis(no_bias):
    weights = [normal(5, 4)] if no_bias else [normal(5, 4), normal(5)]
    assert_same_in_onnx(
        lambda F, x, *weights: F.FullyConnected(
            x, *weights, num_hidden=5, no_bias=no_bias, flatten=False
        ),
        normal(3, 2, 4),
        weights=weights,
        atol=1e-5,
    )


@pytest.mark.parametrize("pool_type", ["max", "avg"])
@pytest.mark.parametrize("convention", ["valid", "full"])
@pytest.mark.parametrize(
    "window",
    [
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)},
        {"kernel": (2, 2), "stride": (2, 2)},
        {"kernel": (3, 2), "stride": (1, 1), "pad": (1, 0)},
        {"kernel": (3, 3), "stride": (2, 2)},
    ],
)
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("load", [session, openvino_program])
def test_pooling(pool_type, convention, window, count_include_pad, load):
    assert_same_in_onnx(
        lambda F, x: F.Pooling(
            x,
            pool_type=pool_type,
            pooling_convention=convention,
            count_include_pad=count_include_pad,
            **window,
        ),
        normal(2, 3, 7, 10),
        other_arrays=[normal(1, 3, 8, 5)],
        load=load,
    )


@pytest.mark.parametrize("pool_type", ["max", "avg"])
def test_pooling_of_single_cells_and_of_complete_maps(pool_type):
    assert_same_in_onnx(
        lambda F, x: F.Pooling(x, pool_type=pool_type, kernel=(1, 1), stride=(4, 4)),
        normal(2, 3, 9, 8),
    )
    assert_same_in_onnx(
        lambda F, x: F.Pooling(x, pool_type=pool_type, global_pool=True), normal(2, 3, 5, 4)
    )


def test_adaptive_pooling_to_one_cell():
    assert_same_in_onnx(
        lambda F, x: F.contrib.AdaptiveAvgPooling2D(x, output_size=1), normal(2, 3, 5, 4)
    )


@pytest.mark.parametrize("fix_gamma", [False, True])
def test_batch_norm_with_stored_statistics(fix_gamma):
    gamma = np.ones(4) if fix_gamma else normal(4)
    assert_same_in_onnx(
        lambda F, x, *weights: F.BatchNorm(x, *weights, fix_gamma=fix_gamma, eps=1e-4),
        normal(2, 4, 3, 5),
        weights=[gamma, normal(4), normal(4), np.random.rand(4) + 0.5],
        atol=1e-5,
    )


def test_synchronized_batch_norm_with_stored_statistics():
    assert_same_in_onnx(
        lambda F, x, *weights: F.contrib.SyncBatchNorm(
            x, *weights, eps=1e-4, fix_gamma=False, ndev=1, key="norm"
        ),
        normal(2, 4, 3, 5),
        weights=[normal(4), normal(4), normal(4), np.random.rand(4) + 0.5],
        atol=1e-5,
    )


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_padding(mode):
    assert_same_in_onnx(
        lambda F, x: F.Pad(x, mode=mode, pad_width=(0, 0, 0, 0, 1, 2, 3, 0), constant_value=-1.5),
        normal(2, 3, 4, 5),
        other_arrays=[normal(1, 2, 6, 4)],
    )


@pytest.mark.parametrize("scale", [2, 3, 32])
def test_enlarging_to_the_nearest_cell(scale):
    assert_same_in_onnx(
        lambda F, x: F.UpSampling(x, scale=scale, sample_type="nearest"),
        normal(2, 3, 4, 5),
        other_arrays=[normal(1, 3, 1, 2)],
    )
