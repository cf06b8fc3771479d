"""One process is a group of workers of its own; tests of several are in test_distributed.py."""

from gluonnorm.training import Workers
from gluonnorm.training.interrupt import StopRequest

import mxnet as mx
import numpy as np
import pytest


@pytest.mark.parametrize("store", [None, "local", "device"])
def test_one_process_waits_for_nobody(store) -> None:
    workers = Workers(store)
    assert getattr(workers.kvstore, "type", None) == store
    assert (workers.rank, workers.count) == (0, 1)
    np.testing.assert_array_equal(workers.gather([1.5, 2]), [[1.5, 2]])
    assert workers.gather_objects({"lr": 0.1, "set": [1]}) == [{"lr": 0.1, "set": [1]}]
    array = mx.nd.arange(3)
    assert workers.share(array) is array
    assert workers.share_bytes(b"12345") == b"12345" and workers.share_bytes(b"") == b""
    workers.wait()


@pytest.mark.parametrize("failure", [None, StopRequest(), ValueError("bad image")])
def test_one_process_follows_its_own_failure(failure) -> None:
    assert Workers().agree(failure) is failure
