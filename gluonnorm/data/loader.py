"""Load batches ahead of time with threads."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Callable, Deque, Iterator, List, Sequence

from gluonnorm.data.batchify import Batch, batchify
from gluonnorm.data.labeled_image import Dataset
from gluonnorm.data.sampler import BatchSampler
from gluonnorm.data.transforms import Sample
from gluonnorm.errors import GluonnormError, InputError

import numpy as np


class Loader:
    """Iterate over the batches of one epoch, which threads load ahead of time.

    The loader uses threads and not processes, because a forked MXNet hangs. Pillow and MXNet
    release Python's lock while they work, so the threads run side by side.

    In training, the random generator of an image is seeded with ``seed``, the epoch and the number
    that the sampler gives: the image's index, or another one where the image is repeated within the
    epoch. A sample therefore depends neither on the number of threads, nor on where a run was
    resumed, nor on which worker of a distributed run loads it.

    MXNet has no arrays without elements. Where the sampler gives an empty list, the batch holds the
    first image of the data set, and its ``samples`` are empty.

    Parameters
    ----------
    dataset : Dataset
        The images and their annotations.
    transform : callable
        ``transform(labeled, rng)`` in training, else ``transform(labeled)``; returns a ``Sample``.
    batch_sampler : AspectGroupSampler or EqualSizeSampler
        Chooses the images of each batch.
    pad_value : sequence of float
        Color of the padding, as ``batchify`` takes it.
    seed : int
        Seed of the transform's random generators, 0 or more.
    train : bool
        Whether the transform is called with a random generator.
    workers : int
        Number of threads, at least 1. Up to ``2 * workers`` batches are loaded ahead.

    Attributes
    ----------
    dataset : Dataset
        The parameter.

    Raises
    ------
    InputError
        ``workers`` is less than 1.

    Examples
    --------
    >>> loader = Loader(dataset, TrainTransform(preprocess), sampler,  # doctest: +SKIP
    ...                 preprocess.padding, seed=0, train=True)
    >>> for epoch in range(10):  # doctest: +SKIP
    ...     loader.set_epoch(epoch)
    ...     for batch in loader:
    ...         train_on(batch)
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: Callable[..., Sample],
        batch_sampler: BatchSampler,
        pad_value: Sequence[float],
        seed: int,
        train: bool,
        workers: int = 2,
    ) -> None:
        if workers < 1:
            raise InputError(f"workers is {workers}; want at least 1 thread")
        self.dataset = dataset
        self._transform = transform
        self._batch_sampler = batch_sampler
        self._pad_value = pad_value
        self._seed = seed
        self._train = train
        self._workers = workers
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches the next iteration returns.

        Parameters
        ----------
        epoch : int
            Number of the epoch, 0 or more.
        """
        self._epoch = epoch
        self._batch_sampler.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return len(self._batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the epoch's batches, as ``iterate`` does."""
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """Iterate over the epoch's batches from number ``start`` on.

        Parameters
        ----------
        start : int
            Number of the first batch, 0 or more. The images of earlier batches are not decoded.

        Yields
        ------
        Batch
            The next batch.

        Raises
        ------
        GluonnormError
            The data set or the transform raised it, for example a DataError.
        RuntimeError
            The data set or the transform raised another exception. The message names the image.
        """
        pending: Deque[Future[Batch]] = deque()
        epoch = self._epoch
        waiting = islice(self._batch_sampler, start, None)
        with ThreadPoolExecutor(self._workers) as pool:

            def submit_next() -> None:
                """Start loading the next batch of the epoch, if there is one."""
                numbers = next(waiting, None)
                if numbers is not None:
                    pending.append(pool.submit(self._load_batch, numbers, epoch))

            try:
                for _ in range(2 * self._workers):
                    submit_next()
                while pending:
                    batch = pending.popleft().result()
                    # Loading starts before the batch is handed out, so it goes on while the
                    # caller trains on the batch.
                    submit_next()
                    yield batch
            finally:
                # If the caller stops early or a batch fails, nobody needs the other batches. Those
                # that no thread has started are canceled.
                for future in pending:
                    future.cancel()

    def _load_batch(self, numbers: List[int], epoch: int) -> Batch:
        """Load the samples of one batch, and stack them."""
        if not numbers:
            stand_in = batchify([self._load_sample(0, epoch)], self._pad_value)
            return stand_in._replace(samples=[])
        samples = [self._load_sample(number, epoch) for number in numbers]
        return batchify(samples, self._pad_value)

    def _load_sample(self, number: int, epoch: int) -> Sample:
        """Read one image, and transform it. Any error except a GluonnormError names the image."""
        # A number beyond the last index is a further occurrence of an image, see BatchSampler.
        index = number % len(self.dataset)
        name = f"image {index} of the data set"
        try:
            labeled = self.dataset[index]
            name = labeled.name
            if not self._train:
                return self._transform(labeled)
            rng = np.random.default_rng((self._seed, epoch, number))
            return self._transform(labeled, rng)
        except GluonnormError:
            raise
        except Exception as error:
            raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from error
