"""Batches, made ahead of time by a few threads."""
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Callable, Deque, Iterator, List, Sequence

from gluonnorm.data.batchify import Batch, batchify
from gluonnorm.data.labeled_image import DataError, Dataset
from gluonnorm.data.sampler import AspectGroupSampler
from gluonnorm.data.transforms import Sample

import numpy as np


class Loader:
    """Iterates over the batches of one epoch; ``workers`` threads stay up to 2 x ``workers`` batches ahead.

    Threads, not processes, because a forked MXNet hangs; Pillow and MXNet release Python's lock while they work.
    With ``train`` the transform is called with a random generator made of ``seed``, epoch and image index: what an
    image looks like does not depend on the number of threads, nor on where a run was resumed.

    ``pad_value`` is that of ``batchify``. A DataError of the data set comes out of the iteration as it is, any other
    exception as a RuntimeError that names the image.

    >>> loader = Loader(dataset, TrainTransform(preprocess), sampler, preprocess.padding, seed=0,
    ...                 train=True)                                                           # doctest: +SKIP
    >>> for epoch in range(10):                                                               # doctest: +SKIP
    ...     loader.set_epoch(epoch)
    ...     for batch in loader: ...
    """

    def __init__(self, dataset: Dataset, transform: Callable[..., Sample], batch_sampler: AspectGroupSampler,
                 pad_value: Sequence[float], seed: int, train: bool, workers: int = 2):
        if workers < 1:
            raise ValueError(f"workers is {workers}; want at least 1 thread")
        self._dataset = dataset
        self._transform = transform
        self._batch_sampler = batch_sampler
        self._pad_value = pad_value
        self._seed = seed
        self._train = train
        self._workers = workers
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, 0 or more, whose batches the next iteration gives."""
        self._epoch = epoch
        self._batch_sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """The epoch's batches from number ``start``; the ones before it are not decoded."""
        remaining = islice(self._batch_sampler, start, None)
        pending: Deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for indices in islice(remaining, 2 * self._workers):
                    pending.append(pool.submit(self._load_batch, indices, self._epoch))
                while pending:
                    batch = pending.popleft().result()
                    for indices in islice(remaining, 1):
                        pending.append(pool.submit(self._load_batch, indices, self._epoch))
                    yield batch
            finally:  # the caller stopped early, or a batch failed: do not decode the rest
                for future in pending:
                    future.cancel()

    def _load_batch(self, indices: List[int], epoch: int) -> Batch:
        return batchify([self._load(index, epoch) for index in indices], self._pad_value)

    def _load(self, index: int, epoch: int) -> Sample:
        name = f"image {index} of the data set"
        try:
            record = self._dataset[index]
            name = record.name
            if self._train:
                return self._transform(record, np.random.default_rng((self._seed, epoch, index)))
            return self._transform(record)
        except DataError:
            raise
        except Exception as error:
            raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from error
