from gluonnorm.convention import CONVENTIONS, BoxConvention
from gluonnorm.rcnn.anchors import cell_anchors, grid_anchors, pyramid_anchors

import numpy as np
import pytest
import reference.anchors as slow
from reference.graph import both

CELLS = np.float32([[-8, -4, 8, 4], [-3.5, -7, 3.5, 7]])


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
@pytest.mark.parametrize("sizes,ratios", [((32,), (1.0,)), ((16, 64), (0.5, 1.0, 2.0))])
def test_a_cell_equals_its_loops(convention, sizes, ratios):
    convention = CONVENTIONS[convention]
    cells = cell_anchors(8, sizes, ratios, convention)
    assert cells.shape == (len(sizes) * len(ratios), 4) and cells.dtype == np.float32
    wanted = slow.cell_anchors(8, sizes, ratios, convention.anchors, convention.anchor_order)
    np.testing.assert_allclose(cells, wanted, rtol=1e-6, atol=1e-5)


def test_ratio_is_height_over_width_at_equal_area():
    np.testing.assert_allclose(
        cell_anchors(16, (32,), (0.25, 4.0)), [[-32, -8, 32, 8], [-8, -32, 8, 32]]
    )


@pytest.mark.parametrize("height,width", [(3, 5), (1, 1), (1, 4)])
@pytest.mark.parametrize("steps", [(8, 8), (16, 5)])
def test_grid_equals_three_loops(height, width, steps):
    (anchors,) = both(
        lambda F, x, down, right: grid_anchors(F, x, (down, right), CELLS),
        np.zeros((2, 3, height, width)),
        steps[:1],
        steps[1:],
    )
    np.testing.assert_array_equal(anchors, slow.map_anchors(height, width, steps, CELLS))


@pytest.mark.parametrize("convention", ["modern", "gluoncv", BoxConvention(anchor_stride="map")])
def test_pyramid_is_one_grid_a_level(convention):
    convention, image = BoxConvention.of(convention), (33, 48)
    maps, sizes, ratios = [(5, 6), (3, 3)], ((32,), (64,)), (0.5, 2.0)
    levels = both(
        lambda F, image, *x: pyramid_anchors(F, image, x, (8, 16), sizes, ratios, convention),
        np.zeros((2, 3, *image)),
        *(np.zeros((2, 1, *size)) for size in maps),
    )
    wanted = slow.pyramid_anchors(image, maps, (8, 16), sizes, ratios, convention)
    for got, want in zip(levels, wanted):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-5)
