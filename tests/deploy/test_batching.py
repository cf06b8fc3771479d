"""Reading ahead, and batches of one size: what runs together, the order, how much is held."""

import threading
import time

from gluonnorm.deploy.batching import WINDOW, ahead, in_batches

import numpy as np
import pytest


def test_ahead_is_map_on_another_thread():
    threads = set()

    def square(value):
        threads.add(threading.get_ident())
        return value * value

    for count in (1, 3, 100):
        assert list(ahead(map(square, range(10)), count)) == [value * value for value in range(10)]
    assert list(ahead([], 2)) == [] and list(ahead(map(square, [3]), 2)) == [9]
    assert threads and threading.get_ident() not in threads


def test_ahead_takes_no_more_than_it_may():
    taken = []
    results = ahead((taken.append(value) or str(value) for value in range(20)), 3)
    assert taken == []  # nothing before anyone asks
    for number, result in enumerate(results):
        assert result == str(number)
        deadline = time.monotonic() + 10
        while len(taken) < min(20, number + 4) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(taken) == min(20, number + 4)  # the one returned, and three more


@pytest.mark.parametrize("faulty", ["function", "values"])
def test_an_error_comes_after_what_was_before_it(faulty):
    def values():
        for value in range(10):
            if value == 4 and faulty == "values":
                raise KeyError("four")
            yield value

    def function(value):
        if value == 4:
            raise KeyError("four")
        return value

    results, got = ahead(map(function, values()), 3), []
    with pytest.raises(KeyError, match="four"):
        for result in results:
            got.append(result)
    assert got == [0, 1, 2, 3]


def test_no_thread_is_left_behind():
    before = threading.active_count()
    results = ahead(map(str, range(1000)), 3)
    assert next(results) == "0"
    assert threading.active_count() == before + 1
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_batches_are_of_one_kind_and_results_in_order(batch_size, kinds):
    items = [
        (int(kind), number)
        for number, kind in enumerate(np.random.default_rng(kinds).integers(0, kinds, 101))
    ]
    batches = []

    def run(batch):
        batches.append(list(batch))
        return [-number for _, number in batch]

    assert list(in_batches(items, lambda item: item[0], run, batch_size)) == [
        -number for number in range(101)
    ]
    assert sorted(item for batch in batches for item in batch) == sorted(items)
    assert all(
        len({kind for kind, _ in batch}) == 1 and len(batch) <= batch_size for batch in batches
    )
    if kinds == 1:
        assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert list(in_batches([], lambda item: 0, run, batch_size)) == []


def test_alternating_kinds_fill_their_batches():
    sizes = []
    list(
        in_batches(
            range(24), lambda item: item % 3, lambda batch: sizes.append(len(batch)) or batch, 4
        )
    )
    assert sizes == [4] * 6


def test_one_of_its_kind_waits_for_a_window_and_no_longer():
    asked, ran = [], []

    def items():
        for number in range(40):
            asked.append(number)
            yield number

    def run(batch):
        ran.append(batch)
        return batch

    results = in_batches(items(), lambda number: number == 0, run, 4)
    assert next(results) == 0
    assert len(asked) == WINDOW * 4 and [0] in ran
    for number, result in enumerate(results, start=1):
        assert result == number and len(asked) - number <= WINDOW * 4


def test_what_came_before_an_error_is_returned_first():
    def items():
        yield from range(6)
        raise KeyError("six")

    got = []
    with pytest.raises(KeyError, match="six"):
        for result in in_batches(items(), lambda number: number % 2, lambda batch: batch, 4):
            got.append(result)
    assert got == list(range(6))


def test_an_error_of_the_network_is_not_caught():
    def run(batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(in_batches(range(3), lambda number: 0, run, 2))
