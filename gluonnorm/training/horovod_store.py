"""Add up gradients with Horovod instead of MXNet's parameter server."""

from typing import Any, List, Optional, Union

from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late

import mxnet as mx

Arrays = Union[mx.nd.NDArray, List[mx.nd.NDArray]]


class HorovodStore(mx.kv.KVStoreBase):
    """A distributed store for ``gluon.Trainer`` and ``Workers`` on Horovod's collective operations.

    Each process that ``horovodrun`` starts is a worker; there are no servers. Keys name the
    operations, so all workers must use the same ones.

    Raises
    ------
    InputError
        Horovod is not installed, or was built without MXNet.
    """

    def __init__(self) -> None:
        self._horovod = import_late(
            "horovod.mxnet",
            InputError,
            "horovod.mxnet cannot be imported",
            "docs/distributed.md says how to build it",
        )
        self._horovod.init()

    @property
    def type(self) -> str:
        """The kind of store; "dist" tells the trainer that there are other processes."""
        return "dist_horovod"

    @property
    def rank(self) -> int:
        """The number of this worker, from 0."""
        return self._horovod.rank()

    @property
    def num_workers(self) -> int:
        """How many workers there are."""
        return self._horovod.size()

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Tell whether the store can update weights itself.

        Parameters
        ----------
        capability : str
            The name of an ability.

        Returns
        -------
        bool
            Always False: the workers update the weights.
        """
        return False

    def init(self, key: int, value: mx.nd.NDArray) -> None:
        """Do nothing, because nothing is stored.

        Parameters
        ----------
        key : int
            The name of an array.
        value : NDArray
            Its first value.
        """

    def broadcast(self, key: int, value: Arrays, out: Arrays, priority: int = 0) -> None:
        """Copy an array of worker 0 to all devices of all workers.

        Parameters
        ----------
        key : int
            The name of the operation.
        value : NDArray
            The array.
        out : NDArray or list of NDArray
            Where it goes to.
        priority : int
            Operations with a higher one come first.
        """
        first = _as_list(value)[0].copy()
        self._horovod.broadcast_(first, root_rank=0, name=f"broadcast {key}", priority=priority)
        _copy_to_all(first, _as_list(out))

    def pushpull(
        self, key: int, value: Arrays, out: Optional[Arrays] = None, priority: int = 0
    ) -> None:
        """Add up the arrays of all devices of all workers.

        Parameters
        ----------
        key : int
            The name of the operation.
        value : NDArray or list of NDArray
            One array for each device of this worker.
        out : NDArray or list of NDArray, optional
            Where the sum goes to; None means ``value``.
        priority : int
            Operations with a higher one come first.
        """
        own = _as_list(value)
        total = own[0].copy()
        for array in own[1:]:
            total += array.as_in_context(total.context)
        self._horovod.allreduce_(total, average=False, name=f"sum {key}", priority=priority)
        _copy_to_all(total, own if out is None else _as_list(out))


def _as_list(arrays: Arrays) -> List[Any]:
    """One array or several as a list."""
    return arrays if isinstance(arrays, list) else [arrays]


def _copy_to_all(source: mx.nd.NDArray, targets: List[mx.nd.NDArray]) -> None:
    """Copy an array to others of any device."""
    for target in targets:
        source.copyto(target)
