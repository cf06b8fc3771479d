"""Streams of photos: prepared ahead on a thread, run in batches of one size, returned in order."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import (
    Callable,
    Deque,
    Dict,
    Generic,
    Hashable,
    Iterable,
    Iterator,
    List,
    Optional,
    Tuple,
    TypeVar,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 4  # an item waits for others of its key while fewer than this many batches of items follow


def ahead(values: Iterable[Item], count: int) -> Iterator[Item]:
    """Iterate over values that are computed on another thread, some of them in advance.

    Parameters
    ----------
    values : iterable
        The values, such as a generator or ``map(function, ...)``: each is computed when it is
        taken, on the other thread.
    count : int
        How many values are computed at most before they are asked for.

    Yields
    ------
    item
        The values in their order.

    Raises
    ------
    Exception
        What ``values`` raises, after all values before the error.

    Examples
    --------
    >>> list(ahead(map(abs, [-1, 2, -3]), count=2))
    [1, 2, 3]
    """
    iterator = iter(values)
    pending: Deque[Future[List[Item]]] = deque()

    def compute_next() -> List[Item]:
        """Compute one value; none at the end."""
        return list(islice(iterator, 1))

    with ThreadPoolExecutor(1) as thread:
        try:
            for _ in range(count):
                pending.append(thread.submit(compute_next))
            while True:
                pending.append(thread.submit(compute_next))
                items = pending.popleft().result()
                if not items:
                    return
                yield items[0]
        finally:
            # A caller that stops early would otherwise wait here until all pending items are done.
            for future in pending:
                future.cancel()


def in_batches(
    items: Iterable[Item],
    key: Callable[[Item], Hashable],
    run: Callable[[List[Item]], List[Result]],
    batch_size: int,
) -> Iterator[Result]:
    """Run a function over batches of items that have the same key.

    Between the item whose result comes next and the newest item there are at most
    ``WINDOW * batch_size`` items. After that the item no longer waits for others of its key, and
    its batch is run as it is.

    Parameters
    ----------
    items : iterable
        The items.
    key : callable
        Maps an item to its key. Only items of one key share a batch.
    run : callable
        Maps a list of up to ``batch_size`` items to the list of their results.
    batch_size : int
        Largest number of items in a batch.

    Yields
    ------
    result
        The results in the order of the items.

    Raises
    ------
    Exception
        What ``items`` raises, after the results of all items before the error; what ``run`` raises,
        at once.

    Examples
    --------
    >>> list(in_batches([1, 2, 3, 4], key=lambda number: number % 2, run=list, batch_size=2))
    [1, 2, 3, 4]
    """
    batches = _Batches(run, batch_size)
    iterator = iter(items)
    end: Optional[Exception] = None
    while end is None:
        try:
            item = next(iterator)
        except Exception as error:  # StopIteration at the regular end
            end = error
        else:
            batches.add(key(item), item)
        yield from batches.results_in_order(at_end=end is not None)
    if not isinstance(end, StopIteration):
        raise end


class _Batches(Generic[Item, Result]):
    """Items that wait for a full batch, and results that wait for their turn.

    Parameters
    ----------
    run : callable
        Maps a list of items to the list of their results.
    batch_size : int
        Number of items in a full batch.
    """

    def __init__(self, run: Callable[[List[Item]], List[Result]], batch_size: int) -> None:
        self._run = run
        self._batch_size = batch_size
        self._waiting: Dict[Hashable, List[Tuple[int, Item]]] = {}
        self._results: Dict[int, Result] = {}
        self._num_added = 0
        self._num_returned = 0

    def add(self, key: Hashable, item: Item) -> None:
        """Take an item, and run its batch if that is full now."""
        group = self._waiting.setdefault(key, [])
        group.append((self._num_added, item))
        self._num_added += 1
        if len(group) == self._batch_size:
            self._run_group(group)

    def results_in_order(self, at_end: bool) -> Iterator[Result]:
        """Yield the results whose turn has come; at the end, all that remain."""
        while self._num_returned < self._num_added:
            if self._num_returned not in self._results:
                num_held = self._num_added - self._num_returned
                if not at_end and num_held < WINDOW * self._batch_size:
                    return
                self._run_group(self._next_group())
            yield self._results.pop(self._num_returned)
            self._num_returned += 1

    def _next_group(self) -> List[Tuple[int, Item]]:
        """The waiting items among which is the one whose result comes next: it is the first."""
        for group in self._waiting.values():
            if group and group[0][0] == self._num_returned:
                return group
        raise AssertionError("the next item neither waits nor has a result")

    def _run_group(self, group: List[Tuple[int, Item]]) -> None:
        """Run a batch, keep its results and empty the group."""
        results = self._run([item for _, item in group])
        for (number, _), result in zip(group, results):
            self._results[number] = result
        group.clear()
