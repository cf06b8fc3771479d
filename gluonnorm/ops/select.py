"""Choosing rows inside a graph whose sizes are unknown when it is traced."""
from typing import Any, Optional, Tuple

from gluonnorm.types import Tensor

FILL = -1.0  # score of a row that stands for nothing; real scores are probabilities or other values above it


def top_k(F: Any, scores: Tensor, k: int, known: Optional[int] = None) -> Tuple[Tensor, Tensor]:
    """The k largest entries of each row, best first, for rows of any length.

    Parameters
    ----------
    scores : (B, N) float32, every entry above ``FILL``
    k : how many to return; where N < k the rest are padding
    known : N where the caller knows it; a long row then need not be copied

    Returns
    -------
    values : (B, k), ``FILL`` where padded
    indices : (B, k) float32 positions in the row, always valid (padding says 0)
    """
    if known is None or known < k:  # MXNet's topk refuses k > N
        first = F.slice_axis(scores, axis=1, begin=0, end=1)
        scores = F.concat(scores, F.repeat(F.zeros_like(first) + FILL, repeats=k, axis=1), dim=1)
    indices = F.topk(scores, axis=1, k=k)  # values are gathered: the backward pass of topk's own crashes
    values = gather(F, scores, indices)
    return values, indices * (values > FILL)


def gather(F: Any, data: Tensor, indices: Tensor) -> Tensor:
    """Row ``indices[b, i]`` of ``data[b]``: (B, N, ...) and (B, k) give (B, k, ...)."""
    batch = F.contrib.arange_like(indices, axis=0).reshape((-1, 1))
    batch = F.broadcast_like(batch, indices)
    return F.gather_nd(data, F.stack(batch, indices, axis=0))
