"""RoIAlign from a pyramid: each level reads its own RoIs alone."""

from collections import Counter

from gluonnorm.convention import BoxConvention
from gluonnorm.deploy.onnx.convert import convert_graph
from gluonnorm.rcnn.roi_align import roi_align

import mxnet as mx
import numpy as np
import pytest
from onnx_programs import assert_same_in_onnx

STRIDES = (4, 8, 16)
SIZE = 128


def read(F, *inputs, aligned=False, sample_ratio=2):
    """Read RoIs, the last input, from maps."""
    convention = BoxConvention(roi_aligned=aligned)
    *maps, rois = inputs
    return roi_align(F, maps, rois, STRIDES, 3, sample_ratio, convention)


def random_maps(images):
    return [np.random.normal(size=(images, 5, SIZE // n, SIZE // n)) for n in STRIDES]


def random_rois(images, largest, count=12):
    """Draw RoIs of 10 pixels to ``largest``, of which some leave the image."""
    corners = np.random.uniform(-10, SIZE, (images, count, 2))
    sides = np.exp(np.random.uniform(np.log(10), np.log(largest), (images, count, 2)))
    return np.concatenate([corners, corners + sides], axis=-1)


@pytest.mark.parametrize("aligned, sample_ratio", [(False, 2), (True, 0)])
def test_rois_of_all_levels_and_of_one_level(aligned, sample_ratio):
    assert_same_in_onnx(
        lambda F, *inputs: read(F, *inputs, aligned=aligned, sample_ratio=sample_ratio),
        *random_maps(2),
        random_rois(2, largest=500),
        other_arrays=[*random_maps(1), random_rois(1, largest=20, count=5)],
        atol=1e-5,
    )


def test_each_level_has_a_roi_align_of_selected_rois():
    names = [f"input{number}" for number in range(4)]
    shapes = [array.shape for array in (*random_maps(1), random_rois(1, largest=50))]
    symbol = read(mx.sym, *map(mx.sym.var, names))
    graph = convert_graph(symbol, {}, dict(zip(names, shapes)), ["output"])
    counts = Counter(node.op_type for node in graph.nodes)
    assert counts["RoiAlign"] == counts["NonZero"] == 3
    # No RoI is moved outside the image any more.
    assert not [value for value in graph.constants.values() if value.min(initial=0) < -100]


@pytest.mark.parametrize("levels", [(1.0, 2.0), (1.0, 1.0), (2.0, 1.0)])
def test_other_sums_of_two_reads_are_sums(levels):
    # Every RoI is on level 1, and the sums read it once, twice and once. Nothing in the graph tells
    # that there are no RoIs of a third level.
    def add(F, first, second, rois):
        image = F.slice_axis(rois, axis=-1, begin=0, end=1)
        level = F.ones_like(image)
        total = None
        for feature, number in zip((first, second), levels):
            is_here = level == number
            corners = []
            for column in range(1, 5):
                corner = F.slice_axis(rois, axis=-1, begin=column, end=column + 1)
                corners.append(corner * is_here + (1 - is_here) * -1e4)
            rows = F.reshape(F.concat(image, *corners, dim=-1), (-1, 5))
            part = F.contrib.ROIAlign(feature, rows, (2, 2), 0.5, sample_ratio=2)
            total = part if total is None else F.elemwise_add(total, part)
        return total

    maps = np.random.normal(size=(2, 1, 3, 9, 9))
    rois = np.array([[[0, 1, 2, 9, 12], [0, 3, 3, 8, 5]]])
    assert_same_in_onnx(add, *maps, rois, atol=1e-5)


def test_a_sum_of_reads_of_the_same_rois():
    def add(F, first, second, rows):
        settings = {"pooled_size": (2, 2), "spatial_scale": 0.5, "sample_ratio": 2}
        first_part = F.contrib.ROIAlign(first, rows, **settings)
        return F.elemwise_add(first_part, F.contrib.ROIAlign(second, rows, **settings))

    maps = np.random.normal(size=(2, 1, 3, 9, 9))
    assert_same_in_onnx(add, *maps, np.array([[0, 1, 2, 9, 12], [0, 3, 3, 8, 5]]), atol=1e-5)
