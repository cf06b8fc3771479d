"""Walk over a pickle without loading it, and refuse what would crash the process or fill memory.

Python's unpickler trusts a pickle in ways that a table of stand-ins cannot change. It allocates
lengths that are only announced. It hashes keys of dictionaries without a limit of depth, so a tuple
in a tuple in a tuple, a million times, ends the process with a segmentation fault. And codes of the
extension registry may be replaced by objects of this process, without a look at the table.
"""

import os
import pickle
import pickletools
from typing import Any, BinaryIO, Dict, List, NamedTuple, Sequence

OPERATIONS = {operation.code: operation for operation in pickletools.opcodes}
# Bytes of the length that precedes an argument of variable size.
LENGTH_SIZES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
EXTENSION_CODES = (pickle.EXT1, pickle.EXT2, pickle.EXT4)
INDEX_CODES = (pickle.GET, pickle.PUT)  # text operations whose argument is an index of the memo
PUT_CODES = (pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT)
GET_CODES = (pickle.GET, pickle.BINGET, pickle.LONG_BINGET)
TUPLE_NAMES = ("tuple", "frozenset")  # hashable containers, in the words of pickletools
# These change the object on the stack, and leave it there. With nothing to add, Python does not
# look whether the object can be changed.
CHANGING_CODES = (
    pickle.APPEND,
    pickle.APPENDS,
    pickle.SETITEM,
    pickle.SETITEMS,
    pickle.ADDITEMS,
    pickle.BUILD,
)
DEEPEST_TUPLE = 100
LARGEST_TUPLE = 1_000_000
# Python needs minutes to convert a number of a million digits to text or back.
LONGEST_NUMBER = 1000  # digits or bytes
# Many numbers beyond 32 bits can have the same hash. As keys of a dictionary they cost the square
# of their count: a megabyte of them takes a minute.
MOST_LARGE_NUMBERS = 10_000
# Bytes of the longest argument that is a number of 32 bits, by operation.
SHORT_ARGUMENTS = {pickle.INT: 12, pickle.LONG: 13, pickle.LONG1: 5, pickle.LONG4: 8}
# One byte can make an empty set of 216. A checkpoint with its optimizer has 60 operations for each
# parameter.
MOST_OPERATIONS = 5_000_000


def check_pickle(file: BinaryIO) -> None:
    """Check one pickle. The file is at the start of the pickle before and after.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Raises
    ------
    pickle.UnpicklingError
        The pickle ends early, announces more than the file has, nests tuples too deeply, writes a
        number with too many digits, or uses the extension registry; or it has more operations or
        large numbers than a checkpoint.
    """
    start = file.tell()
    file_size = file.seek(0, os.SEEK_END)
    file.seek(start)
    sizes = _TupleSizes()
    operation_count = 0
    large_number_count = 0
    code = b""
    while code != pickle.STOP:
        code = file.read(1)
        operation_count += 1
        if operation_count > MOST_OPERATIONS:
            raise pickle.UnpicklingError(f"more than {MOST_OPERATIONS} operations")
        operation = OPERATIONS.get(code.decode("latin1"))
        if operation is None:
            raise pickle.UnpicklingError(f"unknown operation {code!r}" if code else "it ends early")
        if code in EXTENSION_CODES:
            raise pickle.UnpicklingError("a code of Python's extension registry")
        number = 0
        if code in SHORT_ARGUMENTS:
            begin = file.tell()
            _read_argument(file, code, operation.arg, file_size)
            large_number_count += file.tell() - begin > SHORT_ARGUMENTS[code]
            if large_number_count > MOST_LARGE_NUMBERS:
                raise pickle.UnpicklingError(f"more than {MOST_LARGE_NUMBERS} large numbers")
        elif operation.arg is not None:
            number = _read_argument(file, code, operation.arg, file_size)
        if code in (pickle.PUT, pickle.LONG_BINPUT):
            # A pickle of n operations needs at most n places in the memo.
            _check_limit(number, operation_count)
        elif code == pickle.FRAME:
            _check_limit(number, file_size - file.tell())
        sizes.follow(code, operation, number)
    file.seek(start)


def _check_limit(number: int, limit: int) -> None:
    """Refuse an index or size beyond a limit."""
    if number > limit:
        raise pickle.UnpicklingError(f"number {number} where {limit} is the most")


def _read_argument(file: BinaryIO, code: bytes, argument: Any, file_size: int) -> int:
    """Step over the argument of one pickle operation.

    Returns the argument if it is the index of a PUT or GET, or the size of a FRAME. What is
    returned for other operations has no meaning.
    """
    if argument.n == pickletools.UP_TO_NEWLINE:
        line = file.readline()
        if argument.name.endswith("_pair"):
            file.readline()
        if argument.name.startswith("decimal") and len(line) > LONGEST_NUMBER:
            raise pickle.UnpicklingError(f"a number of {len(line)} digits")
        return int(line) if code in INDEX_CODES else 0
    if argument.n >= 0:
        return int.from_bytes(file.read(argument.n), "little")
    length = int.from_bytes(file.read(LENGTH_SIZES[argument.n]), "little")
    remaining = file_size - file.tell()
    if length > remaining:
        raise pickle.UnpicklingError(f"{length} bytes wanted, {remaining} left")
    if code == pickle.LONG4 and length > LONGEST_NUMBER:
        raise pickle.UnpicklingError(f"a number of {length} bytes")
    file.seek(length, os.SEEK_CUR)
    return 0


class _Tuple(NamedTuple):
    """The size of a tuple or frozen set; that of any other object is ``NO_TUPLE``.

    Attributes
    ----------
    depth : int
        The number of tuples inside each other.
    total : int
        The number of entries, with those of the tuples in it. A tuple that is in it twice counts
        twice, because Python's hash visits it twice.
    """

    depth: int
    total: int


NO_TUPLE = _Tuple(0, 1)
MARK = _Tuple(0, 0)


class _TupleSizes:
    """The stack and the memo of the unpickler, with the sizes of tuples in place of the objects.

    Only tuples and frozen sets count, because other containers cannot be keys of dictionaries.
    """

    def __init__(self) -> None:
        self._stack: List[_Tuple] = []
        self._memo: Dict[int, _Tuple] = {}

    def follow(self, code: bytes, operation: Any, index: int) -> None:
        """Do to the sizes what an operation does to the objects."""
        if code == pickle.MARK:
            self._stack.append(MARK)
        elif code in PUT_CODES:
            self._memo[index] = self._top()
        elif code == pickle.MEMOIZE:
            self._memo[len(self._memo)] = self._top()
        elif code in GET_CODES:
            self._stack.append(self._memo.get(index, NO_TUPLE))
        elif code == pickle.DUP:
            self._stack.append(self._top())
        else:
            self._replace(code, operation)

    def _top(self) -> _Tuple:
        """Return the size of the object on top of the stack."""
        if not self._stack:
            raise pickle.UnpicklingError("nothing on the stack")
        return self._stack[-1]

    def _replace(self, code: bytes, operation: Any) -> None:
        """Remove what an operation takes from the stack, and add what it returns."""
        names = [kind.name for kind in operation.stack_before]
        taken: List[_Tuple] = []
        if "stackslice" in names:
            while self._stack and self._stack[-1] is not MARK:
                taken.append(self._stack.pop())
            # Below the slice are the mark, and the list or dictionary that takes it.
            names = names[: names.index("mark") + 1]
        for _ in names:
            self._top()
            taken.append(self._stack.pop())
        for kind in operation.stack_after:
            size = NO_TUPLE
            if code in CHANGING_CODES:
                size = taken[-1]
            elif kind.name in TUPLE_NAMES:
                size = _size_of_tuple(taken)
            self._stack.append(size)


def _size_of_tuple(entries: Sequence[_Tuple]) -> _Tuple:
    """Compute the size of a tuple, and refuse one that is too large to be hashed."""
    depth = 1 + max((entry.depth for entry in entries), default=0)
    total = 1 + sum(entry.total for entry in entries)
    if depth > DEEPEST_TUPLE or total > LARGEST_TUPLE:
        raise pickle.UnpicklingError(f"a tuple of {total} entries in {depth} levels")
    return _Tuple(depth, total)
