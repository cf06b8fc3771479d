"""Selection of rows inside a graph that is traced before the number of rows is known."""

from typing import Any, Optional, Tuple

from gluonnorm.types import Tensor

PAD_SCORE = -1.0  # score of a row of padding; the scores of real rows are larger


def top_k(
    F: Any, scores: Tensor, k: int, row_length: Optional[int] = None
) -> Tuple[Tensor, Tensor]:
    """Select the k largest scores of each row, best first, from rows of any length.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    scores : Tensor
        (B, N) float32, each larger than ``PAD_SCORE``.
    k : int
        How many scores of each row are returned. If N is less than k, the rest is padding.
    row_length : int, optional
        N, if the caller knows it. A long row is then not copied.

    Returns
    -------
    values : Tensor
        (B, k), the scores; ``PAD_SCORE`` in padding.
    indices : Tensor
        (B, k) float32, the positions in the row; 0 in padding, so every index can be read.
    """
    if row_length is None or row_length < k:
        # MXNet's topk refuses a k above the length of the row, so the row is made long enough.
        first = F.slice_axis(scores, axis=1, begin=0, end=1)
        padding = F.repeat(F.zeros_like(first) + PAD_SCORE, repeats=k, axis=1)
        scores = F.concat(scores, padding, dim=1)
    # The backward pass of the values that MXNet's topk returns crashes the process, so topk returns
    # the indices only and the values are gathered.
    indices = F.topk(scores, axis=1, k=k)
    values = gather(F, scores, indices)
    return values, indices * (values > PAD_SCORE)


def gather(F: Any, data: Tensor, indices: Tensor) -> Tensor:
    """Select rows of each image by their indices.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    data : Tensor
        (B, N, ...).
    indices : Tensor
        (B, k) in 0..N - 1; an index may occur several times.

    Returns
    -------
    Tensor
        (B, k, ...); row i of image b is ``data[b, indices[b, i]]``.
    """
    image = F.contrib.arange_like(indices, axis=0).reshape((-1, 1))
    image = F.broadcast_like(image, indices)
    return F.gather_nd(data, F.stack(image, indices, axis=0))


def gather_repeated(F: Any, data: Tensor, indices: Tensor) -> Tensor:
    """Select rows as ``gather`` does, where rows are read several times and get a gradient.

    Parameters
    ----------
    F : module
        ``mxnet.ndarray`` or ``mxnet.symbol``.
    data : Tensor
        (B, N, C).
    indices : Tensor
        (B, k) in 0..N - 1; B * N is at most 2 ** 24, the integers that float32 holds.

    Returns
    -------
    Tensor
        (B, k, C); row i of image b is ``data[b, indices[b, i]]``.
    """
    # On a CPU the backward pass of gather_nd adds the gradients of a row that was read several
    # times in the order in which its threads come. Sums of floats depend on their order, so a run
    # with several threads would not repeat itself. The backward pass of take adds in the order of
    # the indices, and needs less time.
    image = F.contrib.arange_like(indices, axis=0).reshape((-1, 1))
    rows_per_image = F.max(F.contrib.arange_like(data, axis=1)).reshape((1, 1)) + 1
    rows = F.broadcast_add(indices, F.broadcast_mul(image, rows_per_image))
    return F.take(F.reshape(data, (-3, 0)), rows)
