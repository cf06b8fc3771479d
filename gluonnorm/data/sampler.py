"""Choose which images share a batch."""

from typing import Dict, Iterator, List, Optional, Protocol, Sequence, Tuple, Union

from gluonnorm.data.repeat_factors import draw_counts
from gluonnorm.errors import InputError

import numpy as np


class BatchSampler(Protocol):
    """What a ``Loader`` asks of the object that chooses the images of each batch."""

    def __len__(self) -> int:
        """Return the number of batches an epoch."""

    def __iter__(self) -> Iterator[List[int]]:
        """Iterate over the batches of the chosen epoch.

        Yields
        ------
        list of int
            Indices of the images of one batch. Where an image occurs again in the epoch, the number
            of all images is added to its index, once for each earlier occurrence. So the loader
            can change it in another way.
        """

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches the next iteration returns.

        Parameters
        ----------
        epoch : int
            Number of the epoch, 0 or more.
        """


class EqualSizeSampler:
    """Group image indices into batches of images of one size, for evaluation.

    Padding beside an image changes what a network detects on it. An image in a batch of one size
    has no padding, so its detections do not depend on ``batch_size`` or on the number of devices.
    Images of one size share batches wherever they are in the data set. Each image occurs once an
    epoch, and every epoch is the same. A size with fewer images than ``batch_size``, or with a
    remainder, has a short batch.

    Parameters
    ----------
    sizes : numpy.ndarray
        (N, 2), height and width of every image as the network gets it, that is after resizing.
    batch_size : int
        Largest number of images in a batch, at least 1.

    Raises
    ------
    InputError
        ``batch_size`` is less than 1.

    Examples
    --------
    >>> list(EqualSizeSampler([(4, 6), (6, 4), (4, 6), (6, 4), (4, 6)], batch_size=2))
    [[0, 2], [1, 3], [4]]
    """

    def __init__(self, sizes: Union[np.ndarray, Sequence[Sequence[int]]], batch_size: int) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; want at least 1")
        groups: Dict[Tuple[int, ...], List[int]] = {}
        for index, size in enumerate(np.asarray(sizes).reshape(-1, 2).tolist()):
            groups.setdefault(tuple(size), []).append(index)
        batches = []
        for group in groups.values():
            for start in range(0, len(group), batch_size):
                batches.append(group[start : start + batch_size])
        self._batches = sorted(batches)

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[List[int]]:
        """Iterate over the batches, in the order of their first images.

        Yields
        ------
        list of int
            Indices of the images of one batch.
        """
        return iter(self._batches)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing, because every epoch is the same.

        Parameters
        ----------
        epoch : int
            Number of the epoch.
        """


class AspectGroupSampler:
    """Group image indices into batches that do not mix landscape and portrait, to save padding.

    Square images count as landscape. Each image occurs at most once an epoch, or with ``repeats``
    several times. The images that are left over when each group is cut into batches are put
    together, so at most one batch is short and at most one is mixed. The order depends on ``seed``
    and the epoch alone.

    For distributed training, each of ``num_parts`` workers takes its own share of every batch. The
    workers make the same batches of ``batch_size * num_parts`` images, those of one process with
    that batch size, and then split them. All workers have the same number of batches, which a
    synchronous update needs, and together each image once. The shares of the short batch differ by
    at most one image; a share may be an empty list.

    Parameters
    ----------
    sizes : numpy.ndarray
        (N, 2), height and width of every image.
    batch_size : int
        Images a batch and worker, at least 1.
    shuffle : bool
        True shuffles images and batches. False orders the batches by their first index.
    seed : int
        Seed of the shuffling, 0 or more.
    part : int
        Index of this worker, in 0..num_parts - 1.
    num_parts : int
        Number of workers.
    drop_last : bool
        True leaves out the short batch.
    repeats : numpy.ndarray or None
        (N,), how often each image occurs in an epoch on average, at least 1; see
        ``repeat_factors``. None: once.

    Raises
    ------
    InputError
        ``batch_size`` or ``part`` is out of range, there are too few images for one batch, or
        ``repeats`` has another length or a value below 1.

    Examples
    --------
    >>> sizes = [(4, 6), (6, 4), (4, 6), (6, 4), (5, 5)]
    >>> list(AspectGroupSampler(sizes, batch_size=2, shuffle=False, seed=0))
    [[0, 2], [1, 3], [4]]
    >>> list(AspectGroupSampler(sizes, 1, shuffle=False, seed=0, part=1, num_parts=2))
    [[2], [3], []]
    """

    def __init__(
        self,
        sizes: Union[np.ndarray, Sequence[Sequence[int]]],
        batch_size: int,
        shuffle: bool,
        seed: int,
        part: int = 0,
        num_parts: int = 1,
        drop_last: bool = False,
        repeats: Optional[np.ndarray] = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; want at least 1")
        if not 0 <= part < num_parts:
            raise InputError(f"part is {part} of {num_parts}; want 0 <= part < num_parts")
        heights, widths = np.asarray(sizes).reshape(-1, 2).T
        self._portrait = heights > widths
        if repeats is not None and (len(repeats) != len(heights) or np.min(repeats) < 1):
            raise InputError(
                f"repeats has {len(repeats)} values for {len(heights)} images, the smallest "
                f"{np.min(repeats)}; want one of at least 1 for each image"
            )
        self._repeats = repeats
        self._batch_size = batch_size * num_parts
        self._shuffle = shuffle
        self._seed = seed
        self._part = part
        self._num_parts = num_parts
        self._drop_last = drop_last
        self._epoch = 0
        # The number of batches depends only on the number of images, so it is the same in every
        # epoch.
        self._length = len(self._batches())
        if self._length == 0:
            raise InputError(
                f"{len(heights)} images do not make one batch of {batch_size} for each of "
                f"{num_parts} parts; use fewer parts or smaller batches"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches the next iteration returns.

        Parameters
        ----------
        epoch : int
            Number of the epoch, 0 or more.
        """
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches an epoch, the same for every worker."""
        return self._length

    def __iter__(self) -> Iterator[List[int]]:
        """Iterate over this worker's shares of the batches of the chosen epoch.

        Yields
        ------
        list of int
            Indices of the images of one share. Only a short batch has empty shares. With
            ``repeats``, an occurrence after k earlier ones in the epoch, in the shares of all
            workers, has the index plus k times the number of images.
        """
        for batch in self._batches():
            yield batch[self._part :: self._num_parts]

    def _batches(self) -> List[List[int]]:
        """Make the batches of the epoch, all workers together."""
        rng = np.random.default_rng((self._seed, self._epoch))
        order = np.arange(len(self._portrait))
        if self._repeats is not None:
            order = _numbered_occurrences(draw_counts(self._repeats, rng))
        if self._shuffle:
            rng.shuffle(order)
        is_portrait = self._portrait[order % len(self._portrait)]

        batches: List[List[int]] = []
        left_over: List[int] = []
        for group in (order[~is_portrait], order[is_portrait]):
            in_full_batches = len(group) // self._batch_size * self._batch_size
            batches += group[:in_full_batches].reshape(-1, self._batch_size).tolist()
            left_over += group[in_full_batches:].tolist()
        for start in range(0, len(left_over), self._batch_size):
            batches.append(left_over[start : start + self._batch_size])
        if self._drop_last and batches and len(batches[-1]) < self._batch_size:
            batches.pop()

        if self._shuffle:
            return [batches[position] for position in rng.permutation(len(batches))]
        return sorted(batches)


def _numbered_occurrences(counts: np.ndarray) -> np.ndarray:
    """Number the occurrences of N images, (sum of counts,) int64: i, N + i, 2 N + i for image i."""
    images = np.repeat(np.arange(len(counts)), counts)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    earlier_occurrences = np.arange(len(images)) - firsts
    return images + len(counts) * earlier_occurrences
