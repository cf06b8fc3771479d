import math

from gluonnorm.ops.coder import DELTA_CLIP, decode, encode

import numpy as np
import pytest
import reference.boxes as slow
from reference.graph import both

STDS = [(1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2)]


def pairs(count=40):
    rng = np.random.default_rng(0)
    return slow.random_boxes(rng, count), slow.random_boxes(rng, count)


@pytest.mark.parametrize("stds", STDS)
def test_encode_equals_the_formula(stds):
    boxes, anchors = pairs()
    (deltas,) = both(lambda F, *inputs: encode(F, *inputs, stds), boxes, anchors)
    wanted = [
        slow.encode(box, anchor, stds) for box, anchor in zip(boxes.tolist(), anchors.tolist())
    ]
    np.testing.assert_allclose(deltas, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stds", STDS)
def test_decode_equals_the_formula(stds):
    _, anchors = pairs()
    deltas = np.random.default_rng(1).normal(0, 2, (40, 4)).astype(np.float32)
    (boxes,) = both(lambda F, *inputs: decode(F, *inputs, stds), deltas, anchors)
    wanted = [
        slow.decode(delta, anchor, stds) for delta, anchor in zip(deltas.tolist(), anchors.tolist())
    ]
    np.testing.assert_allclose(boxes, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("stds", STDS)
def test_decode_undoes_encode(stds, offset):
    boxes, anchors = pairs()

    def there_and_back(F, boxes, anchors):
        return decode(F, encode(F, boxes, anchors, stds, offset), anchors, stds, offset=offset)

    (result,) = both(there_and_back, boxes, anchors)
    np.testing.assert_allclose(result, boxes, atol=1e-3)


@pytest.mark.parametrize("stds", STDS)
def test_boxes_whose_far_corner_is_a_pixel_equal_the_formula(stds):
    boxes, anchors = pairs()
    (deltas,) = both(lambda F, *inputs: encode(F, *inputs, stds, 1.0), boxes, anchors)
    wanted = [
        slow.encode(box, anchor, stds, 1.0) for box, anchor in zip(boxes.tolist(), anchors.tolist())
    ]
    np.testing.assert_allclose(deltas, wanted, rtol=1e-4, atol=1e-4)
    deltas = np.random.default_rng(1).normal(0, 2, (40, 4)).astype(np.float32)
    (found,) = both(lambda F, *inputs: decode(F, *inputs, stds, offset=1.0), deltas, anchors)
    wanted = [
        slow.decode(delta, anchor, stds, offset=1.0)
        for delta, anchor in zip(deltas.tolist(), anchors.tolist())
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


def test_hand_made_delta_of_inclusive_corners():
    # 10 wide and 20 high about (5, 10); the same as below, a pixel less at the far corner.
    (box,) = both(
        lambda F, *inputs: decode(F, *inputs, STDS[1], offset=1.0),
        [[5, -2.5, math.log(2) / 0.2, math.log(0.5) / 0.2]],
        [[0, 0, 9, 19]],
    )
    np.testing.assert_allclose(box, [[0, 0, 19, 9]], atol=1e-4)


def test_hand_made_delta():
    # 10 wide and 20 high at (5, 10); it moves half a width right and a quarter of a height up,
    # and becomes twice as wide and half as high.
    (box,) = both(
        lambda F, *inputs: decode(F, *inputs, STDS[1]),
        [[5, -2.5, math.log(2) / 0.2, math.log(0.5) / 0.2]],
        [[0, 0, 10, 20]],
    )
    np.testing.assert_allclose(box, [[0, 0, 20, 10]], atol=1e-4)


def test_growth_is_capped_and_shrinking_is_not():
    anchor = [[-8, -8, 8, 8]]
    (box,) = both(lambda F, *inputs: decode(F, *inputs, STDS[0]), [[0, 0, 50, -50]], anchor)
    np.testing.assert_allclose(box, [[-500, 0, 500, 0]], rtol=1e-5, atol=1e-5)
    (box,) = both(
        lambda F, *inputs: decode(F, *inputs, STDS[0], clip=math.log(2)),
        [[0, 0, 50, DELTA_CLIP]],
        anchor,
    )
    np.testing.assert_allclose(box, [[-16, -16, 16, 16]], rtol=1e-5)


def test_anchors_broadcast_over_classes():
    _, anchors = pairs(3)
    deltas = np.random.default_rng(2).normal(0, 1, (3, 2, 4))
    (boxes,) = both(lambda F, *inputs: decode(F, *inputs, STDS[1]), deltas, anchors[:, None])
    wanted = [
        [slow.decode(delta, anchor, STDS[1]) for delta in row]
        for row, anchor in zip(deltas.tolist(), anchors.tolist())
    ]
    np.testing.assert_allclose(boxes, wanted, rtol=1e-4, atol=1e-3)


def test_padding_encodes_to_finite_numbers():
    padding, good = [[-1, -1, -1, -1]], [[0, 0, 10, 10]]
    for boxes, anchors in ((padding, good), (good, padding), (padding, padding)):
        for offset in (0.0, 1.0):
            (deltas,) = both(
                lambda F, *inputs, offset=offset: encode(F, *inputs, STDS[1], offset),
                boxes,
                anchors,
            )
            assert np.isfinite(deltas).all()
