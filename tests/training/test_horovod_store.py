"""The store of Horovod against a stand-in for Horovod with two equal workers."""

import sys
from types import ModuleType

from gluonnorm.errors import InputError
from gluonnorm.training import Workers

import mxnet as mx
import numpy as np
import pytest

TWO = (mx.cpu(0), mx.cpu(1))


@pytest.fixture
def horovod(monkeypatch):
    """A module in place of ``horovod.mxnet``; it keeps the names of the operations."""
    module = ModuleType("horovod.mxnet")
    module.names = []

    def allreduce_(tensor, average, name, priority):
        """Add the equal array of the other worker."""
        assert not average
        module.names.append(name)
        tensor *= 2

    def broadcast_(tensor, root_rank, name, priority):
        """Worker 0 has hundreds."""
        assert root_rank == 0
        module.names.append(name)
        tensor[:] = 100

    module.allreduce_ = allreduce_
    module.broadcast_ = broadcast_
    module.init = lambda: None
    module.rank = lambda: 1
    module.size = lambda: 2
    monkeypatch.setitem(sys.modules, "horovod", ModuleType("horovod"))
    monkeypatch.setitem(sys.modules, "horovod.mxnet", module)
    return module


def test_a_trainer_adds_up_all_devices_of_all_workers(horovod):
    workers = Workers("horovod")
    assert (workers.rank, workers.count) == (1, 2)
    parameter = mx.gluon.Parameter("weight", shape=(3,))
    parameter.initialize(mx.init.One(), ctx=list(TWO))
    trainer = mx.gluon.Trainer(
        [parameter],
        "sgd",
        {"learning_rate": 0.5},
        kvstore=workers.kvstore,
        update_on_kvstore=False,
    )
    with mx.autograd.record():
        losses = [(parameter.data(context) * factor).sum() for context, factor in zip(TWO, (1, 2))]
    mx.autograd.backward(losses)
    trainer.step(1)
    for context in TWO:
        # The first weights are those of worker 0; the gradient is (1 + 2) of each of two workers.
        np.testing.assert_array_equal(parameter.data(context).asnumpy(), np.full(3, 100 - 0.5 * 6))
    assert horovod.names == ["broadcast 0", "sum 0"]


def test_workers_talk_through_it(horovod):
    workers = Workers("horovod")
    np.testing.assert_array_equal(workers.gather([1, 2]), [[0, 0], [2, 4]])
    np.testing.assert_array_equal(workers.share(mx.nd.array([7, 8])).asnumpy(), [100, 100])


def test_horovod_must_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "horovod", None)
    with pytest.raises(InputError, match="horovod.mxnet cannot be imported .*docs/distributed.md"):
        Workers("horovod")
