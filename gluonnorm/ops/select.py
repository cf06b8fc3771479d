"""Choosing rows inside a graph whose sizes are unknown when it is traced."""
from typing import Any, Tuple

from gluonnorm.types import Tensor

FILL = -1.0  # score of a row that stands for nothing; real scores are probabilities or other values above it


def top_k(F: Any, scores: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """The k largest entries of each row, best first, for rows of any length.

    Parameters
    ----------
    scores : (B, N) float32, every entry above ``FILL``
    k : how many to return; where N < k the rest are padding

    Returns
    -------
    values : (B, k), ``FILL`` where padded
    indices : (B, k) float32 positions in the row, always valid (padding repeats the last position)
    """
    first = F.slice_axis(scores, axis=1, begin=0, end=1)
    padding = F.repeat(F.zeros_like(first) + FILL, repeats=k, axis=1)  # MXNet's topk refuses k > N
    padded = F.concat(scores, padding, dim=1)
    indices = F.topk(padded, axis=1, k=k)  # values are gathered: the backward pass of topk's own crashes
    last = F.max(F.contrib.arange_like(scores, axis=1))
    return gather(F, padded, indices), F.broadcast_minimum(indices, last.reshape((1, 1)))


def gather(F: Any, data: Tensor, indices: Tensor) -> Tensor:
    """Row ``indices[b, i]`` of ``data[b]``: (B, N, ...) and (B, k) give (B, k, ...)."""
    batch = F.contrib.arange_like(indices, axis=0).reshape((-1, 1))
    batch = F.broadcast_like(batch, indices)
    return F.gather_nd(data, F.stack(batch, indices, axis=0))
