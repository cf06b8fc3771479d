from gluonnorm.convention import CONVENTIONS, BoxConvention
from gluonnorm.errors import InputError
from gluonnorm.rcnn.roi_align import roi_align, roi_level, roi_strides

import mxnet as mx
import numpy as np
import pytest
import reference.roi_align as slow
from reference.boxes import random_boxes
from reference.graph import both

MODERN, LEGACY = BoxConvention(), BoxConvention(roi_aligned=False)
LEVELS = (4, 8, 16, 32)


def aligned(maps, rois, strides, size=3, samples=2, convention=MODERN, **known):
    (result,) = both(
        lambda F, rois, *maps: roi_align(
            F, maps, rois, strides, size, samples, convention, **known
        ),
        rois,
        *maps,
    )
    return result.reshape(*np.shape(rois)[:2], *result.shape[1:])


@pytest.mark.parametrize("convention", [MODERN, LEGACY])
@pytest.mark.parametrize("samples", [2, 3, 0])
def test_one_map_equals_sampling_one_by_one(samples, convention):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 3, 7, 9)).astype(np.float32)
    rois = np.stack(
        [random_boxes(rng, 8, 110) for _ in range(2)]
    )  # the maps are 112 and 144 pixels long
    rois[0, 0], rois[0, 1], rois[1, 0] = [0, 0, 144, 112], [130, 100, 144, 112], [0, 0, 0, 0]
    rois[1, 1], rois[1, 2] = (
        [50, 40, 51, 90],
        [-30, -20, 200, 150],
    )  # narrower than a cell, larger than the image
    result = aligned([image], rois, (16,), 3, samples, convention)
    for b in range(2):
        for r in range(8):
            wanted = slow.roi_align(image[b], rois[b, r], 16, 3, samples, convention.roi_aligned)
            np.testing.assert_allclose(result[b, r], wanted, atol=1e-4)


def test_adaptive_sampling_takes_one_sample_a_cell():
    cells = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    means = cells.reshape(1, 1, 2, 4, 2, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(
        aligned([cells], [[[0, 0, 32, 32]]], (4,), 2, 0)[0], means, rtol=1e-4, atol=1e-6
    )
    assert np.abs(aligned([cells], [[[0, 0, 32, 32]]], (4,), 2, 1)[0] - means).max() > 0.1


def test_a_ramp_is_read_at_pixel_centers_if_aligned_and_half_a_cell_further_if_not():
    x = (
        np.arange(10) + 0.5
    ) * 4  # in the cell of stride 4 with index i stands its center's coordinate
    image = np.tile(x, (1, 1, 10, 1)).astype(np.float32)
    for convention, shift in ((MODERN, 0), (LEGACY, 2)):
        result = aligned([image], [[[8, 8, 20, 20]]], (4,), convention=convention)
        np.testing.assert_allclose(
            result[0, 0, 0], np.tile([10 + shift, 14 + shift, 18 + shift], (3, 1)), rtol=1e-6
        )


def test_levels_of_the_paper():
    sides = np.float32([1, 50, 111, 113, 223, 225, 447, 449, 3000, 0])
    rois = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)[None]
    (levels,) = both(lambda F, rois: roi_level(F, rois, 2, 5, MODERN), rois)
    assert levels[0, :, 0].tolist() == [2, 2, 2, 3, 3, 4, 4, 5, 5, 2]
    assert levels[0, :, 0].tolist() == [slow.pyramid_level(roi, 2, 5) for roi in rois[0]]


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_levels_equal_the_formula_of_each_convention(name):
    convention, rng = CONVENTIONS[name], np.random.default_rng(3)
    rois = random_boxes(rng, 200, 1500)
    (levels,) = both(lambda F, rois: roi_level(F, rois, 2, 5, convention), rois[None])
    wanted = [
        slow.pyramid_level(
            roi.tolist(),
            2,
            5,
            convention.level_offset,
            convention.level_eps_inside,
            convention.level_eps,
        )
        for roi in rois
    ]
    assert levels[0, :, 0].tolist() == wanted and set(wanted) == {2, 3, 4, 5}


@pytest.mark.parametrize("known", [{}, {"inside": True}, {"inside": True, "channels": 2}])
@pytest.mark.parametrize("convention", [MODERN, LEGACY])
def test_each_roi_reads_its_own_level_only(convention, known):
    rng = np.random.default_rng(1)
    strides, sizes = roi_strides((4, 8, 16, 32, 64)), (60, 150, 300, 500)
    maps = [
        rng.normal(size=(2, 2, 512 // stride, 512 // stride)).astype(np.float32)
        for stride in strides
    ]
    corner = rng.uniform(0, 5, (2, 4, 2))
    rois = np.concatenate([corner, corner + np.reshape(sizes, (4, 1))], axis=2).astype(np.float32)
    result = aligned(maps, rois, strides, size=2, convention=convention, **known)
    for b in range(2):
        for r in range(4):
            assert slow.pyramid_level(rois[b, r], 2, 5) == r + 2
            wanted = slow.roi_align(
                maps[r][b], rois[b, r], strides[r], 2, 2, convention.roi_aligned
            )
            np.testing.assert_allclose(result[b, r], wanted, atol=1e-5)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("convention", [MODERN, LEGACY])
@pytest.mark.parametrize("samples", [2, 0])
def test_other_levels_add_exact_zeros(samples, convention, inside):
    for chosen, side in enumerate((60, 150, 300, 500)):
        maps = [
            np.full((1, 1, 512 // stride, 512 // stride), 1 if i == chosen else 1e30)
            for i, stride in enumerate(LEVELS)
        ]
        result = aligned(
            maps, [[[0, 0, side, side]]], LEVELS, 2, samples, convention, inside=inside
        )
        np.testing.assert_allclose(result, np.ones((1, 1, 1, 2, 2)), rtol=1e-6)


def test_gradient_is_that_of_the_sampling_and_reaches_one_level_only():
    rng = np.random.default_rng(2)
    maps = [
        mx.nd.array(rng.normal(size=(1, 1, 256 // stride, 256 // stride))) for stride in (8, 16)
    ]
    rois = mx.nd.array([[[10, 20, 250, 240]]])  # 230 pixels: stride 16
    weights = rng.normal(size=(1, 1, 2, 2)).astype(np.float32)
    for level in maps:
        level.attach_grad()
    with mx.autograd.record():
        loss = (roi_align(mx.nd, maps, rois, (8, 16), 2, 2, MODERN) * mx.nd.array(weights)).sum()
    loss.backward()
    assert not maps[0].grad.asnumpy().any()
    # The result is linear in the map, so a map of one 1 at a cell gives the gradient of that cell.
    wanted = np.zeros((16, 16))
    for cell in np.ndindex(16, 16):
        one = np.zeros((1, 16, 16))
        one[(0, *cell)] = 1
        wanted[cell] = (slow.roi_align(one, [10, 20, 250, 240], 16, 2, 2) * weights[0]).sum()
    assert np.count_nonzero(wanted) > 10
    np.testing.assert_allclose(maps[1].grad.asnumpy()[0, 0], wanted, atol=1e-5)


def maps_of(rng, height, width, channels=4, batch=2):
    """Maps of strides 4 to 32 of an image, halves rounded up."""
    sizes = [(-(-height // 4), -(-width // 4))]
    for _ in range(3):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return [rng.normal(size=(batch, channels, *size)).astype(np.float32) for size in sizes]


def rois_within(rng, height, width, batch=2):
    """RoIs anywhere, cut by the border, narrower than a cell at its ends, of the image, padding."""
    corners = np.sort(rng.uniform(-0.3, 1.3, (batch, 40, 2, 2)).clip(0, 1), axis=2)
    corners[:, 20:30, 1] = 1
    corners[:, 20:30, 0] = 1 - rng.uniform(0, 0.02, (batch, 10, 2)) * rng.integers(
        0, 2, (batch, 10, 2)
    )
    corners[:, 30:35, 1] = np.minimum(corners[:, 30:35, 0] + 0.01, 1)
    corners[:, 35], corners[:, 36, 0], corners[:, 36, 1] = 0, 0, 1
    return (corners * (width, height)).reshape(batch, 40, 4).astype(np.float32)


@pytest.mark.parametrize("size", [(450, 500), (96, 33), (37, 90), (5, 9), (1, 1), (20, 400)])
@pytest.mark.parametrize("convention", [MODERN, LEGACY])
@pytest.mark.parametrize("samples", [2, 0])
def test_one_call_for_rois_inside_equals_a_call_a_level(samples, convention, size):
    rng = np.random.default_rng(4)
    maps, rois = maps_of(rng, *size), rois_within(rng, *size)
    wanted = aligned(maps, rois, LEVELS, 3, samples, convention)
    for known in ({"inside": True}, {"inside": True, "channels": 4}, {"channels": 4}):
        # In the common array coordinates are larger, and rounded by up to 3e-5 cells more.
        np.testing.assert_allclose(
            aligned(maps, rois, LEVELS, 3, samples, convention, **known), wanted, atol=1e-4
        )


@pytest.mark.parametrize("strides", [(8, 16), (4, 8, 16), (2, 4, 8, 16, 32)])
def test_one_call_takes_any_number_of_levels_and_maps_of_any_size(strides):
    rng = np.random.default_rng(5)
    for height, width in ((1, 1), (2, 3), (3, 2), (7, 31), (17, 5)):
        maps = [
            rng.normal(size=(1, 2, -(-height // 2**i), -(-width // 2**i)))
            for i in range(len(strides))
        ]
        rois = rois_within(rng, height * strides[0], width * strides[0], 1)
        np.testing.assert_allclose(
            aligned(maps, rois, strides, inside=True), aligned(maps, rois, strides), atol=1e-5
        )


@pytest.mark.parametrize("convention", [MODERN, LEGACY])
def test_one_call_has_the_gradient_of_a_call_a_level(convention):
    rng = np.random.default_rng(6)
    maps = [mx.nd.array(level) for level in maps_of(rng, 450, 500)]
    rois, weights = (
        mx.nd.array(rois_within(rng, 450, 500)),
        mx.nd.array(rng.normal(size=(80, 4, 3, 3))),
    )
    gradients = []
    for inside in (False, True):
        for level in maps:
            level.attach_grad()
        with mx.autograd.record():
            loss = (roi_align(mx.nd, maps, rois, LEVELS, 3, 2, convention, inside) * weights).sum()
        loss.backward()
        gradients.append([level.grad.asnumpy() for level in maps])
    for got, wanted in zip(*reversed(gradients)):
        assert wanted.any()
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_the_extra_level_is_not_read():
    assert roi_strides((4, 8, 16, 32, 64)) == [4, 8, 16, 32]
    assert roi_strides((16,)) == [16]
    with pytest.raises(InputError, match="stride 64; give one of 1, 2, 4, 8, 16, 32"):
        roi_strides((64,))


@pytest.mark.parametrize(
    "strides,message",
    [
        ((4, 8, 16, 32, 64), "stride 64; give one of 1, 2, 4, 8, 16, 32"),
        ((12,), "stride 12; give one of 1, 2, 4, 8, 16, 32"),
        (
            (4, 16),
            "strides 4 and 16 in a row; give strides out of 1, 2, 4, 8, 16, 32, each twice the one",
        ),
        ((16, 8), "strides 16 and 8 in a row"),
        ((), "RoIs need a map to be read from; give strides out of 1, 2, 4, 8, 16, 32"),
    ],
)
def test_strides_it_cannot_read_are_refused(strides, message):
    maps = [mx.nd.ones((1, 1, 8, 8)) for _ in strides]
    with pytest.raises(InputError, match=message):
        roi_align(mx.nd, maps, mx.nd.zeros((1, 1, 4)), strides, 2, 2, MODERN)


def test_maps_and_strides_must_be_equally_many():
    maps = [mx.nd.ones((1, 1, 8, 8))]
    with pytest.raises(
        InputError, match=r"RoIs are read from 2 maps of strides \(4, 8\), and there are 1"
    ):
        roi_align(mx.nd, maps, mx.nd.zeros((1, 1, 4)), (4, 8), 2, 2, MODERN)


def test_images_of_a_batch_keep_their_rois():
    maps = [np.ones((1, 1, 64 // stride, 64 // stride), np.float32) for stride in LEVELS]
    maps = [np.concatenate([level, 2 * level]) for level in maps]
    result = aligned(maps, np.tile([8, 8, 40, 40], (2, 3, 1)), LEVELS)
    np.testing.assert_array_equal(result[:, :, 0, 0, 0], [[1, 1, 1], [2, 2, 2]])


@pytest.mark.parametrize("convention", [MODERN, LEGACY])
@pytest.mark.parametrize("samples", [2, 0])
@pytest.mark.parametrize(
    "roi",
    [
        [-1, -1, -1, -1],
        [0, 0, 0, 0],
        [-50, -50, 500, 500],
        [5, 5, 3, 3],
        [20, 9, 20, 40],
        [-3000, -3000, -2000, -2000],
        [63.999, 63.999, 64, 64],
    ],
)
def test_degenerate_rois_give_finite_features(roi, samples, convention):
    """The operator aborts the process on aligned RoIs without width or height."""
    for strides in (LEVELS, (16,)):
        maps = [np.ones((1, 1, 64 // stride, 64 // stride)) for stride in strides]
        result = aligned(maps, [[roi]], strides, 3, samples, convention)
        assert np.isfinite(result).all() and result.max() <= 1.0001 and result.min() >= 0
