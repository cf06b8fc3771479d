from gluonnorm.rcnn.sampler import sample

import mxnet as mx
import numpy as np
import pytest

N = 40


def draw(positive, negative, size, max_positive):
    """One image's sample as three NumPy rows, from index lists."""
    flags = np.zeros((2, 1, N), np.float32)
    flags[0, 0, positive] = 1
    flags[1, 0, negative] = 1
    drawn = sample(mx.nd, mx.nd.array(flags[0]), mx.nd.array(flags[1]), size, max_positive)
    return [row.asnumpy()[0] for row in drawn]


@pytest.mark.parametrize("positives,negatives,taken,filled", [
    (10, 30, 4, 8),  # more than enough of both
    (2, 30, 2, 10),  # few positives: negatives fill
    (0, 30, 0, 12),
    (10, 3, 4, 3),  # few negatives: the rest is filler
    (10, 0, 4, 0),
    (0, 0, 0, 0),
    (4, 8, 4, 8),  # exactly enough
])
def test_counts(positives, negatives, taken, filled):
    positive, negative = list(range(positives)), list(range(N - negatives, N))
    for _ in range(5):
        indices, is_positive, weight = draw(positive, negative, size=12, max_positive=4)
        assert len(indices) == len(is_positive) == len(weight) == 12
        assert is_positive.tolist() == [1] * taken + [0] * (12 - taken)  # positives first
        assert weight.tolist() == [1] * (taken + filled) + [0] * (12 - taken - filled)
        drawn = indices[:taken + filled].astype(int).tolist()
        assert len(set(drawn)) == len(drawn)
        assert set(drawn[:taken]) <= set(positive) and set(drawn[taken:]) <= set(negative)
        assert indices.min() >= 0 and indices.max() < N  # filler too can be read


def test_more_rows_than_boxes():
    indices, is_positive, weight = draw([0, 1], [5], size=100, max_positive=50)
    assert len(indices) == 100 and is_positive.sum() == 2 and weight.sum() == 3
    assert set(indices[:2]) == {0, 1} and indices[2] == 5 and indices.max() < N


def test_every_box_is_drawn_as_often():
    counts = np.zeros(N)
    for _ in range(500):
        indices, _, weight = draw(list(range(10)), list(range(20, N)), size=10, max_positive=5)
        counts[indices[weight > 0].astype(int)] += 1
    assert counts[10:20].sum() == 0
    # 250 of 500 each of 10 positives, 125 of 500 each of 20 negatives; five standard deviations is 56 and 48
    assert np.abs(counts[:10] - 250).max() < 56
    assert np.abs(counts[20:] - 125).max() < 48


def test_images_are_drawn_apart():
    positive = mx.nd.array(np.stack([np.arange(N) < 3, np.arange(N) < 0]))
    negative = mx.nd.array(np.stack([np.arange(N) >= 35, np.arange(N) >= 10]))
    drawn = sample(mx.nd, positive, negative, 10, 5)
    assert drawn.positive.asnumpy().sum(axis=1).tolist() == [3, 0]
    assert drawn.weight.asnumpy().sum(axis=1).tolist() == [8, 10]


def test_the_seed_decides():
    def once(seed):
        mx.random.seed(seed)
        return draw(list(range(20)), list(range(20, N)), 16, 8)[0].tolist()
    assert once(3) == once(3) != once(4)
