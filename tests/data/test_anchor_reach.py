"""The best anchor of each object, against all anchors that the network computes."""

from gluonnorm.convention import BoxConvention
from gluonnorm.data.anchor_reach import best_anchor_ious
from gluonnorm.errors import InputError
from gluonnorm.rcnn import DetectorConfig
from gluonnorm.rcnn.anchors import pyramid_anchors

import mxnet as mx
import numpy as np
import pytest


def ious(boxes, anchors):
    """(M, N) IoU of all pairs, one pair at a time along no clever way."""
    table = np.zeros((len(boxes), len(anchors)))
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        width = np.minimum(x2, anchors[:, 2]) - np.maximum(x1, anchors[:, 0])
        height = np.minimum(y2, anchors[:, 3]) - np.maximum(y1, anchors[:, 1])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        areas = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
        table[row] = common / ((x2 - x1) * (y2 - y1) + areas - common)
    return table


def all_anchors(config, strides, size, multiple):
    """Every anchor of an image of this size, as the network's own graph computes them."""
    height, width = (-(-side // multiple) * multiple for side in size)
    features = []
    for stride in strides:
        features.append(mx.nd.zeros((1, 1, -(-height // stride), -(-width // stride))))
    levels = pyramid_anchors(
        mx.nd,
        mx.nd.zeros((1, 3, height, width)),
        features,
        strides,
        config.anchor_sizes,
        config.anchor_ratios,
        config.convention,
    )
    anchors = np.concatenate([level.asnumpy() for level in levels]).astype(np.float64)
    anchors[:, 2:] += config.convention.offset
    return anchors


@pytest.mark.parametrize("preset", ["modern", "gluoncv", "torchvision", "detectron"])
@pytest.mark.parametrize(
    "strides, sizes",
    [((16,), ((16, 40, 90),)), ((4, 8, 16, 32, 64), ((10,), (20,), (40,), (80,), (160,)))],
    ids=["c4", "pyramid"],
)
def test_no_anchor_is_closer(preset, strides, sizes):
    config = DetectorConfig(convention=preset, anchor_sizes=sizes, anchor_ratios=(0.5, 0.9, 2))
    random = np.random.RandomState(3)
    size = (170, 235)
    corners = random.uniform(-5, 240, (60, 2, 2)) * (size[1] / 240, size[0] / 240)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    sizes_of_boxes = np.tile(size, (len(boxes), 1))
    best = best_anchor_ious(boxes, sizes_of_boxes, config.anchor_grids(strides), multiple=32)
    wanted = ious(boxes, all_anchors(config, strides, size, 32)).max(axis=1)
    np.testing.assert_allclose(best, wanted, rtol=0, atol=1e-5)
    assert wanted.min() < 0.3 and wanted.max() > 0.7


def test_each_object_is_compared_with_the_anchors_of_its_own_image():
    config = DetectorConfig(anchor_sizes=((16,),), anchor_ratios=(1,))
    box = [40, 40, 56, 56]
    best = best_anchor_ious(np.array([box, box]), [[64, 64], [32, 32]], config.anchor_grids((8,)))
    # In the small image the last anchor is centered at 24, and ends at 32.
    assert best.tolist() == [1, 0]
    assert best_anchor_ious(np.zeros((0, 4)), np.zeros((0, 2)), config.anchor_grids()).shape == (0,)


def test_the_usual_strides():
    single = DetectorConfig(anchor_sizes=((32, 64),))
    assert [grid.stride for grid in single.anchor_grids()] == [16]
    assert single.anchor_grids((32,))[0].lengths.round(3).tolist() == [32, 32, 32, 64, 64, 64]
    with pytest.raises(InputError, match="2 strides for 1 levels of anchor_sizes"):
        single.anchor_grids((8, 16))


def test_inclusive_corners_are_a_pixel_farther():
    config = DetectorConfig(convention=BoxConvention(inclusive=True), anchor_sizes=((32,),))
    plain = DetectorConfig(anchor_sizes=((32,),))
    difference = config.anchor_grids()[0].anchors - plain.anchor_grids()[0].anchors
    assert (difference == [0, 0, 1, 1]).all()
