"""Random sampling of anchors or RoIs: a fixed number of rows for each image, positives first."""

from typing import Any, NamedTuple

from gluonnorm.ops.select import top_k
from gluonnorm.types import Tensor


class SampledRows(NamedTuple):
    """The rows that were sampled, S for each image; (B, S) each.

    Attributes
    ----------
    indices : Tensor
        The positions among the N rows. Every index is valid, also in padding.
    positive : Tensor
        1 for a positive row, 0 for a negative row and for padding. Positive rows come first.
    weight : Tensor
        1 for a positive or negative row, 0 for padding.
    """

    indices: Tensor
    positive: Tensor
    weight: Tensor


def sample(F: Any, positive: Tensor, negative: Tensor, size: int, max_positive: int) -> SampledRows:
    """Sample positive rows up to a limit, and fill up with negative rows.

    Every choice is uniform and without replacement. Positive rows come first, so the first
    ``max_positive`` rows of the result hold all of them. If an image has too few rows, the rest is
    padding.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    positive, negative : Tensor
        (B, N) of 0 and 1; a row is never both.
    size : int
        S, the number of rows sampled of each image.
    max_positive : int
        The largest number of positive rows of an image.

    Returns
    -------
    SampledRows
        (B, S) each.
    """
    # Positive rows draw numbers in 1..2, all other rows have 0. The largest numbers win.
    chance = F.random.uniform_like(positive)
    lottery = positive * (1 + chance)
    winners, _ = top_k(F, lottery, max_positive)
    last_winner = F.slice_axis(winners, axis=1, begin=max_positive - 1, end=max_positive)
    # An image with too few positives has padding as its last winner. A number of a positive row is
    # at least 1, so a threshold of 1 admits all of them.
    threshold = F.maximum(last_winner, 1)
    sampled_positive = F.broadcast_greater_equal(lottery, threshold)
    # Positive rows rank in 2..3, negative rows in 0.5..1, all other rows at 0.
    rank = sampled_positive * (2 + chance) + negative * (0.5 + 0.5 * chance)
    best_rank, indices = top_k(F, rank, size)
    return SampledRows(indices=indices, positive=best_rank >= 2, weight=best_rank > 0)
