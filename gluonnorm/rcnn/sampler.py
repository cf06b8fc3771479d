"""Sampling: a fixed number of rows an image, at random, positives first."""
from typing import Any, NamedTuple

from gluonnorm.ops.select import top_k
from gluonnorm.types import Tensor


class Sample(NamedTuple):
    """S rows an image: (B, S) each."""
    indices: Tensor
    positive: Tensor  # 1 for a positive row, 0 otherwise
    weight: Tensor  # 1 for a positive or negative row, 0 for a row that only fills


def sample(F: Any, positive: Tensor, negative: Tensor, size: int, max_positive: int) -> Sample:
    """Draw up to ``max_positive`` positives and fill with negatives up to ``size``.

    ``positive`` and ``negative`` are (B, N) of 0 and 1, never both. Every choice is uniform, without replacement.
    Positive rows come first, so the first ``max_positive`` rows hold all of them.
    """
    chance = F.random.uniform_like(positive)
    lottery = positive * (1 + chance)
    winners, _ = top_k(F, lottery, max_positive)
    threshold = F.maximum(F.slice_axis(winners, axis=1, begin=max_positive - 1, end=max_positive), 1)
    drawn = F.broadcast_greater_equal(lottery, threshold)
    rank, indices = top_k(F, drawn * (2 + chance) + negative * (0.5 + 0.5 * chance), size)
    return Sample(indices=indices, positive=rank >= 2, weight=rank > 0)
