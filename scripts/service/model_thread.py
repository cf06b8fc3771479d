"""The one thread that runs the network, and the bounded queue in front of it."""

import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Deque, List, NamedTuple, Tuple

from gluonnorm.deploy.photo_reader import NamedPhoto
from gluonnorm.deploy.predictor import PhotoOutputs, Predictor
from gluonnorm.photos.files import ImageError
from service.metrics import ServiceMetrics

LONGEST_WAIT = 60  # seconds, the most that a client is asked to wait
# How much the newest batch counts in the average of the time that a photo takes.
NEWEST_SHARE = 0.2

logger = logging.getLogger("uvicorn.error")


class QueueFull(Exception):
    """There is no room for the photos of a request.

    Parameters
    ----------
    seconds : int
        After how many seconds there will be room, about.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"try again in {seconds} s")
        self.seconds = seconds


class _Job(NamedTuple):
    """A photo that waits for the network.

    Attributes
    ----------
    photo : NamedPhoto
        The prepared photo.
    result : concurrent.futures.Future
        Gets the network's outputs.
    """

    photo: NamedPhoto
    result: "Future[PhotoOutputs]"

    def input_shape(self) -> Tuple[int, ...]:
        """Return the shape of the network's input; photos of one shape may share a batch."""
        return self.photo.prepared.pixels.shape


class ModelThread:
    """Run a network on photos of many requests, in batches of photos that have one size.

    A batch is the photo that has waited longest, and others of its size that wait as well. The
    thread never waits for more photos: while the network runs, the next batch gathers by itself.

    Parameters
    ----------
    predictor : Predictor
        The detector.
    batch_size : int
        The most photos of a batch.
    capacity : int
        The most photos that have a place at once, from their request until its answer.
    metrics : ServiceMetrics
        Counts batches and photos.
    """

    def __init__(
        self, predictor: Predictor, batch_size: int, capacity: int, metrics: ServiceMetrics
    ) -> None:
        self._predictor = predictor
        self._batch_size = batch_size
        self._capacity = capacity
        self._metrics = metrics
        self._num_places_taken = 0
        self._seconds_per_photo = 0.0
        self._waiting: Deque[_Job] = deque()
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether the thread runs.

        Returns
        -------
        bool
            False after ``close``, or if the thread has failed.
        """
        return self._thread.is_alive()

    def take_places(self, count: int) -> None:
        """Take places for the photos of a request.

        Parameters
        ----------
        count : int
            The number of photos; 0 only asks whether there is any place.

        Raises
        ------
        QueueFull
            There are not that many places.
        """
        with self._changed:
            if self._num_places_taken + max(1, count) > self._capacity:
                seconds = math.ceil(self._num_places_taken * self._seconds_per_photo)
                raise QueueFull(min(max(1, seconds), LONGEST_WAIT))
            self._num_places_taken += count
        self._metrics.queue.inc(count)

    def give_places_back(self, count: int) -> None:
        """Give the places of a request back, after its answer.

        Parameters
        ----------
        count : int
            The number that was taken.
        """
        with self._changed:
            self._num_places_taken -= count
        self._metrics.queue.dec(count)

    def submit(self, photo: NamedPhoto) -> "Future[PhotoOutputs]":
        """Let the network run on a photo that has a place.

        Parameters
        ----------
        photo : NamedPhoto
            What ``Predictor.read`` returns.

        Returns
        -------
        concurrent.futures.Future
            The network's outputs. A photo whose future is canceled before its turn is left out.
        """
        job = _Job(photo, Future())
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job.result

    def close(self) -> None:
        """End the thread after the photos that wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        """Run batch after batch until the end."""
        while True:
            batch = self._next_batch()
            if not batch:
                return
            wanted = [job for job in batch if job.result.set_running_or_notify_cancel()]
            if wanted:
                self._run(wanted)

    def _next_batch(self) -> List[_Job]:
        """Wait for photos and take those of the next batch; none at the end."""
        with self._changed:
            while not self._waiting:
                if self._is_closed:
                    return []
                self._changed.wait()
            shape = self._waiting[0].input_shape()
            batch: List[_Job] = []
            others: Deque[_Job] = deque()
            for job in self._waiting:
                has_room = len(batch) < self._batch_size
                if has_room and job.input_shape() == shape:
                    batch.append(job)
                else:
                    others.append(job)
            self._waiting = others
            return batch

    def _run(self, batch: List[_Job]) -> None:
        """Run the network on a batch, and give each job its outputs or the error."""
        start_time = time.perf_counter()
        try:
            results = self._predictor.run([job.photo for job in batch])
        except ImageError as error:
            if len(batch) == 1:
                batch[0].result.set_exception(error)
                return
            # The message is about the first photo, which may be of another request.
            for job in batch:
                self._run([job])
            return
        except Exception as error:
            # The thread goes on whatever happens, or all later requests would wait for ever.
            logger.exception("the network failed on a batch of %d", len(batch))
            for job in batch:
                job.result.set_exception(error)
            return
        seconds = time.perf_counter() - start_time
        self._metrics.batch_size.observe(len(batch))
        self._metrics.network_seconds.observe(seconds)
        self._update_pace(seconds / len(batch))
        for job, outputs in zip(batch, results):
            job.result.set_result(outputs)

    def _update_pace(self, seconds: float) -> None:
        """Update the average of the time that a photo takes."""
        with self._changed:
            average = self._seconds_per_photo or seconds
            self._seconds_per_photo = average + NEWEST_SHARE * (seconds - average)
