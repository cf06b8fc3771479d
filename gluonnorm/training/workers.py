"""The worker processes of a distributed run, and what they tell each other between steps."""

import json
from threading import Thread
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from gluonnorm.errors import GluonnormError
from gluonnorm.training.horovod_store import HorovodStore
from gluonnorm.training.interrupt import StopRequest

import mxnet as mx
import numpy as np

# MXNet's Trainer uses the keys from 0 on, one for each parameter. With several servers MXNet 1.9.1
# multiplies a key by 9973 to choose one of them. The product must fit into 32 bits, or a place
# outside of the list of servers is read.
FIRST_KEY = 100_000
# Of an operation of MXNet's engine: before all gradients that wait to be sent.
URGENT = 1 << 24
GO_ON, STOP, FAILED = range(3)
HOROVOD = "horovod"


class WorkerFailed(GluonnormError, RuntimeError):
    """Another worker of a distributed run cannot go on, so this one ends as well.

    Parameters
    ----------
    ranks : sequence of int
        The workers that failed.
    """

    def __init__(self, ranks: Sequence[int]) -> None:
        names = " and ".join(f"worker {rank}" for rank in ranks)
        super().__init__(f"{names} could not load the next batch; the output there says why")


class Workers:
    """The worker processes whose gradients are added up by MXNet's parameter server or Horovod.

    All workers must call the same methods in the same order. A call returns when all workers have
    made it. While it waits, Python answers signals. One process without a distributed store is a
    group of its own, and waits for nothing.

    Parameters
    ----------
    kvstore : KVStore or str, optional
        A distributed store (``dist_sync``, ``dist_device_sync``, ``horovod``) or its name; a name
        waits until all processes of the run have started. Any other store, and None, is that of one
        process.

    Attributes
    ----------
    kvstore : KVStore or None
        The store, for a trainer.
    rank : int
        The number of this worker, from 0.
    count : int
        How many workers there are.

    Examples
    --------
    >>> Workers().gather([1.5, 2]).tolist()
    [[1.5, 2.0]]
    """

    def __init__(self, kvstore: Union[mx.kv.KVStore, str, None] = None) -> None:
        self.kvstore: Any = kvstore
        if isinstance(kvstore, str):
            create = HorovodStore if kvstore == HOROVOD else lambda: mx.kv.create(kvstore)
            self.kvstore = _answering_signals(create)
        self.rank = 0
        self.count = 1
        self._distributed_store: Optional[mx.kv.KVStore] = None
        self._keys_by_length: Dict[int, int] = {}
        self._next_key = FIRST_KEY
        if self.kvstore is not None and "dist" in self.kvstore.type:
            self.rank = self.kvstore.rank
            self.count = self.kvstore.num_workers
            self._distributed_store = self.kvstore

    def gather(self, values: Union[Sequence[float], np.ndarray]) -> np.ndarray:
        """Give every worker the numbers of all workers.

        Parameters
        ----------
        values : sequence of float, or numpy.ndarray (N,)
            The numbers of this worker; the others must give as many.

        Returns
        -------
        numpy.ndarray
            (count, N) float32, with the numbers of worker k in row k.
        """
        row = np.asarray(values, np.float32)
        if self._distributed_store is None:
            return row[np.newaxis]
        table = np.zeros((self.count, len(row)), np.float32)
        table[self.rank] = row
        sent = mx.nd.array(table)
        key = self._key_of_length(len(row))
        # The server adds up the tables of all workers, which have zeros in each other's rows.
        self._distributed_store.pushpull(key, sent, priority=URGENT)
        return _answering_signals(sent.asnumpy)

    def gather_objects(self, value: Any) -> List[Any]:
        """Give every worker a value of all workers.

        Parameters
        ----------
        value : any
            What JSON can hold.

        Returns
        -------
        list
            The value of worker k at position k, as JSON gives it back.
        """
        text = json.dumps(value).encode()
        lengths = self.gather([len(text)])[:, 0].astype(int)
        padded = text.ljust(max(lengths))
        table = self.gather(list(padded))
        return [json.loads(row.astype(np.uint8).tobytes()) for row in table]

    def share(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """Give every worker an array of worker 0, bit for bit.

        Parameters
        ----------
        array : NDArray
            On the CPU; only its shape and dtype count on the other workers.

        Returns
        -------
        NDArray
            The array of worker 0.
        """
        if self._distributed_store is None:
            return array
        received = mx.nd.zeros_like(array)
        key = self._new_key()
        _answering_signals(lambda: self._broadcast(key, array, received))
        return received

    def share_bytes(self, content: bytes) -> bytes:
        """Give every worker the bytes of worker 0.

        Parameters
        ----------
        content : bytes
            What worker 0 has; the other workers may give b"".

        Returns
        -------
        bytes
            The bytes of worker 0.
        """
        length = self.gather_objects(len(content))[0]
        padded_length = length // 4 * 4 + 4
        own = content if self.rank == 0 else b""
        # The server copies 32-bit numbers without looking at them.
        numbers = np.frombuffer(own.ljust(padded_length, b"\0"), np.float32)
        return self.share(mx.nd.array(numbers)).asnumpy().tobytes()[:length]

    def wait(self) -> None:
        """Wait until all workers are here."""
        self.gather([0])

    def agree(self, failure: Optional[BaseException]) -> Optional[BaseException]:
        """Agree on whether all workers make the next step.

        A worker that leaves alone would let the others wait for its gradients for ever.

        Parameters
        ----------
        failure : BaseException or None
            What keeps this worker from the next step: a ``StopRequest`` or an error.

        Returns
        -------
        BaseException or None
            What ends the run on this worker: its own error, ``WorkerFailed`` if another one has an
            error, a ``StopRequest`` if any worker has one; None if all go on.
        """
        if self._distributed_store is None:
            return failure
        is_stop = isinstance(failure, StopRequest)
        code = GO_ON if failure is None else STOP if is_stop else FAILED
        codes = self.gather([code])[:, 0]
        failed = np.flatnonzero(codes == FAILED)
        if code == FAILED:
            return failure
        if len(failed):
            return WorkerFailed(failed.tolist())
        return StopRequest() if STOP in codes else None

    def _key_of_length(self, length: int) -> int:
        """The key of tables of a length, which is made when it is first used."""
        if length not in self._keys_by_length:
            key = self._new_key()
            zeros = mx.nd.zeros((self.count, length))
            assert self._distributed_store is not None, "one process needs no keys"
            store = self._distributed_store
            _answering_signals(lambda: store.init(key, zeros))
            self._keys_by_length[length] = key
        return self._keys_by_length[length]

    def _new_key(self) -> int:
        """A key of the store that nothing uses; all workers get the same one."""
        self._next_key += 1
        return self._next_key - 1

    def _broadcast(self, key: int, array: mx.nd.NDArray, received: mx.nd.NDArray) -> None:
        """Fill an array with that of worker 0, and wait for it."""
        assert self._distributed_store is not None, "one process has nothing to broadcast"
        self._distributed_store.broadcast(key, array, received)
        received.wait_to_read()


def _answering_signals(wait: Callable[[], Any]) -> Any:
    """Call a function that waits inside of MXNet, in a thread of its own.

    Python runs the handlers of signals in the main thread only, and not before a call into MXNet
    has returned. While the main thread waits for the other one, they run at once.
    """
    results: List[Any] = []
    errors: List[BaseException] = []

    def call() -> None:
        """Keep what the function returns or raises."""
        try:
            results.append(wait())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=call, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
