"""Which images go into which batch."""
from typing import Iterator, List

import numpy as np


class AspectGroupSampler:
    """Batches of indices in which landscape (or square) and portrait images do not mix, to save padding.

    ``sizes`` is (N, 2), height and width of every image. Each image comes at most once an epoch. What is left over
    when each group is cut into batches of ``batch_size`` is put together, so that at most one batch is short (none
    with ``drop_last``) and at most one is mixed. Without ``shuffle`` batches come in the order of their first index.

    Of ``num_parts`` workers each takes the ``part``-th; parts share no image and have the same number of batches, for
    which up to ``num_parts - 1`` batches of an epoch are left out. Order depends on ``seed`` and epoch alone.

    >>> list(AspectGroupSampler([(4, 6), (6, 4), (4, 6), (6, 4), (5, 5)], batch_size=2, shuffle=False, seed=0))
    [[0, 2], [1, 3], [4]]
    """

    def __init__(self, sizes: np.ndarray, batch_size: int, shuffle: bool, seed: int, part: int = 0,
                 num_parts: int = 1, drop_last: bool = False):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; want at least 1")
        if not 0 <= part < num_parts:
            raise ValueError(f"part is {part} of {num_parts}; want 0 <= part < num_parts")
        heights, widths = np.asarray(sizes).reshape(-1, 2).T
        self._portrait = heights > widths
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._part = part
        self._num_parts = num_parts
        self._drop_last = drop_last
        self._epoch = 0
        self._length = len(self._batches()) // num_parts  # depends on the groups' sizes only, not on the epoch
        if self._length == 0:
            raise ValueError(f"{len(heights)} images do not make one batch of {batch_size} for each of {num_parts} "
                             "parts; use fewer parts or smaller batches")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, 0 or more, whose batches the next iteration gives."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Batches an epoch, of this part."""
        return self._length

    def __iter__(self) -> Iterator[List[int]]:
        batches = self._batches()
        return iter(batches[self._part:self._length * self._num_parts:self._num_parts])

    def _batches(self) -> List[List[int]]:
        """The whole epoch, all parts."""
        rng = np.random.default_rng((self._seed, self._epoch))
        order = np.arange(len(self._portrait))
        if self._shuffle:
            rng.shuffle(order)
        batches: List[List[int]] = []
        rest: List[int] = []
        for group in (order[~self._portrait[order]], order[self._portrait[order]]):
            whole = len(group) // self._batch_size * self._batch_size
            batches += group[:whole].reshape(-1, self._batch_size).tolist()
            rest += group[whole:].tolist()
        batches += [rest[start:start + self._batch_size] for start in range(0, len(rest), self._batch_size)]
        if self._drop_last and batches and len(batches[-1]) < self._batch_size:
            batches.pop()
        if self._shuffle:
            return [batches[position] for position in rng.permutation(len(batches))]
        return sorted(batches)
