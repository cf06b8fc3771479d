from gluonnorm.rcnn.sampler import SampledRows, sample

import mxnet as mx
import numpy as np
import pytest

N = 40


def draw(positive, negative, size, max_positive):
    """The rows sampled of one image, from lists of indices, as NumPy arrays."""
    flags = np.zeros((2, 1, N), np.float32)
    flags[0, 0, positive] = 1
    flags[1, 0, negative] = 1
    sampled = sample(mx.nd, mx.nd.array(flags[0]), mx.nd.array(flags[1]), size, max_positive)
    return SampledRows(*(rows.asnumpy()[0] for rows in sampled))


@pytest.mark.parametrize(
    "positives,negatives,taken,filled",
    [
        (10, 30, 4, 8),  # more than enough of both
        (2, 30, 2, 10),  # few positives: negatives fill
        (0, 30, 0, 12),
        (10, 3, 4, 3),  # few negatives: the rest is filler
        (10, 0, 4, 0),
        (0, 0, 0, 0),
        (4, 8, 4, 8),  # exactly enough
    ],
)
def test_counts(positives, negatives, taken, filled):
    positive, negative = list(range(positives)), list(range(N - negatives, N))
    for _ in range(5):
        sampled = draw(positive, negative, size=12, max_positive=4)
        assert len(sampled.indices) == len(sampled.positive) == len(sampled.weight) == 12
        assert sampled.positive.tolist() == [1] * taken + [0] * (12 - taken)  # positives first
        assert sampled.weight.tolist() == [1] * (taken + filled) + [0] * (12 - taken - filled)
        rows = sampled.indices[: taken + filled].astype(int).tolist()
        assert len(set(rows)) == len(rows)
        assert set(rows[:taken]) <= set(positive) and set(rows[taken:]) <= set(negative)
        assert (
            sampled.indices.min() >= 0 and sampled.indices.max() < N
        )  # padding can be read as well


def test_more_rows_than_boxes():
    sampled = draw([0, 1], [5], size=100, max_positive=50)
    indices = sampled.indices
    assert len(indices) == 100 and sampled.positive.sum() == 2 and sampled.weight.sum() == 3
    assert set(indices[:2]) == {0, 1} and indices[2] == 5 and indices.max() < N


def test_every_box_is_drawn_as_often():
    counts = np.zeros(N)
    for _ in range(500):
        sampled = draw(list(range(10)), list(range(20, N)), size=10, max_positive=5)
        counts[sampled.indices[sampled.weight > 0].astype(int)] += 1
    assert counts[10:20].sum() == 0
    # Each of 10 positives is expected 250 times of 500, each of 20 negatives 125 times. Five
    # standard deviations are 56 and 48.
    assert np.abs(counts[:10] - 250).max() < 56
    assert np.abs(counts[20:] - 125).max() < 48


def test_images_are_drawn_apart():
    positive = mx.nd.array(np.stack([np.arange(N) < 3, np.arange(N) < 0]))
    negative = mx.nd.array(np.stack([np.arange(N) >= 35, np.arange(N) >= 10]))
    sampled = sample(mx.nd, positive, negative, 10, 5)
    assert sampled.positive.asnumpy().sum(axis=1).tolist() == [3, 0]
    assert sampled.weight.asnumpy().sum(axis=1).tolist() == [8, 10]


def test_the_seed_decides():
    def once(seed):
        mx.random.seed(seed)
        return draw(list(range(20)), list(range(20, N)), 16, 8).indices.tolist()

    assert once(3) == once(3) != once(4)
