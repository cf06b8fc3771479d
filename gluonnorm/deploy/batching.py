"""Photos in a row: prepared ahead on a thread, run in batches of one size, given back in their order."""
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Callable, Deque, Dict, Hashable, Iterable, Iterator, List, Optional, Tuple, TypeVar

Given = TypeVar("Given")
Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 4  # so many batches' worth of items may be held while one waits for others of its size


def ahead(function: Callable[[Given], Item], values: Iterable[Given], count: int) -> Iterator[Item]:
    """``map(function, values)``, both on a thread of their own, at most ``count`` results ahead of who asks.

    An error of either comes in its turn, after all results before it.
    """
    iterator = iter(values)
    waiting: Deque[Future[List[Item]]] = deque()

    def following() -> List[Item]:
        return [function(value) for value in islice(iterator, 1)]  # one, or none at the end

    with ThreadPoolExecutor(1) as thread:
        try:
            waiting.extend(thread.submit(following) for _ in range(count))
            while True:
                waiting.append(thread.submit(following))
                result = waiting.popleft().result()
                if not result:
                    return
                yield result[0]
        finally:  # whoever stops asking need not wait for what was to come
            for future in waiting:
                future.cancel()


def in_batches(items: Iterable[Item], key: Callable[[Item], Hashable], run: Callable[[List[Item]], List[Result]],
               batch_size: int) -> Iterator[Result]:
    """``run`` over lists of up to ``batch_size`` items of one ``key``; the results in the order of the items.

    From an item whose result is due to the last one taken there are at most ``WINDOW * batch_size``: then it waits for
    no others of its key. Where ``items`` ends with an error, the results of those before it come first.
    """
    groups: Dict[Hashable, List[Tuple[int, Item]]] = {}
    done: Dict[int, Result] = {}
    due = 0  # the number of the item whose result comes next
    taken = 0
    failure: Optional[Exception] = None

    def flush(group: List[Tuple[int, Item]]) -> None:
        done.update(zip([number for number, _ in group], run([item for _, item in group])))
        group.clear()

    iterator = iter(items)
    while failure is None:
        try:
            item = next(iterator)
        except Exception as error:  # StopIteration, too
            failure = error
        else:
            group = groups.setdefault(key(item), [])
            group.append((taken, item))
            taken += 1
            if len(group) == batch_size:
                flush(group)
        while due < taken:
            if due not in done:
                if failure is None and taken - due < WINDOW * batch_size:
                    break
                flush(next(group for group in groups.values() if group and group[0][0] == due))
            yield done.pop(due)
            due += 1
    if not isinstance(failure, StopIteration):
        raise failure
