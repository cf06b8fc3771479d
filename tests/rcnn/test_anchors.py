from gluonnorm.rcnn.anchors import grid_anchors, pyramid_anchors

import numpy as np
import pytest
from reference.graph import both


def slow_anchors(height, width, stride, sizes, ratios):
    boxes = []
    for row in range(height):
        for column in range(width):
            for size in sizes:
                for ratio in ratios:
                    w, h = size / ratio ** 0.5, size * ratio ** 0.5
                    x, y = column * stride, row * stride
                    boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return boxes


@pytest.mark.parametrize("height,width", [(3, 5), (1, 1), (1, 4)])
@pytest.mark.parametrize("sizes,ratios", [((32,), (1.0,)), ((16, 64), (0.5, 1.0, 2.0))])
def test_grid_equals_four_loops(height, width, sizes, ratios):
    anchors, = both(lambda F, x: grid_anchors(F, x, 8, sizes, ratios), np.zeros((2, 3, height, width)))
    np.testing.assert_allclose(anchors, slow_anchors(height, width, 8, sizes, ratios), rtol=1e-6, atol=1e-5)


def test_ratio_is_height_over_width_at_equal_area():
    anchors, = both(lambda F, x: grid_anchors(F, x, 16, (32,), (0.25, 4.0)), np.zeros((1, 1, 1, 1)))
    np.testing.assert_allclose(anchors, [[-32, -8, 32, 8], [-8, -32, 8, 32]])


def test_pyramid_is_one_grid_a_level():
    maps = [np.zeros((1, 2, 4, 6)), np.zeros((1, 2, 2, 3))]
    levels = both(lambda F, *x: pyramid_anchors(F, x, (8, 16), ((32,), (64, 70)), (0.5, 2.0)), *maps)
    np.testing.assert_allclose(levels[0], slow_anchors(4, 6, 8, (32,), (0.5, 2.0)), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(levels[1], slow_anchors(2, 3, 16, (64, 70), (0.5, 2.0)), rtol=1e-6, atol=1e-5)
