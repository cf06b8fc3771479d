"""An unpickler that runs nothing of what a pickle names.

A pickle names functions and classes of the program that wrote it, and Python's own unpickler calls
them: a pickle can run any code on the machine that opens it. The unpickler of this file looks each
name up in a short table of stand-ins, which only make records and arrays. A name outside the table
ends the reading.
"""

import os
import pickle
import pickletools
from typing import Any, BinaryIO, Mapping, Tuple

from gluonnorm.errors import first_line
from gluonnorm.weight_files.content import WeightFileError

OPERATIONS = {operation.code: operation for operation in pickletools.opcodes}
# Bytes of the length that precedes an argument of variable size.
LENGTH_SIZES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


class StandIn:
    """Base of the stand-ins: takes any arguments and any state, and keeps none.

    The pickle operation BUILD calls ``__setstate__``, or sets attributes where there is no such
    method, and a pickle may apply it to an instance or to the class itself. An instance of a
    stand-in ignores the state. The class cannot be changed: its ``__setstate__`` needs an instance,
    so the call fails.
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Ignore the arguments."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Ignore the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


class Unpickler(pickle.Unpickler):
    """Reader of one pickle that may name only what a table allows.

    Parameters
    ----------
    file : binary file
        Open for reading, at the start of the pickle.
    path : str
        The name that error messages give the file.
    allowed : mapping of (str, str) to type
        The stand-in for each allowed module and name.
    """

    def __init__(self, file: BinaryIO, path: str, allowed: Mapping[Tuple[str, str], type]) -> None:
        # With this encoding, the bytes of Python 2 become text of the same codes.
        super().__init__(file, encoding="latin1")
        self._file = file
        self._path = path
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """Look up the stand-in for a global that the pickle names.

        Parameters
        ----------
        module, name : str
            The global, such as ``collections`` and ``OrderedDict``.

        Returns
        -------
        type
            The stand-in.

        Raises
        ------
        WeightFileError
            The table has no such name.
        """
        try:
            return self._allowed[module, name]
        except KeyError:
            printable = ""
            for letter in f"{module}.{name}"[:80]:
                printable += letter if letter.isprintable() else "?"
            raise WeightFileError(
                f"{self._path}: asks for {printable}, so it holds code, not arrays only; nothing "
                "was run. Where it was made, save the weights alone (a state_dict, or a "
                "dictionary of arrays)"
            ) from None

    def read(self) -> Any:
        """Read the pickle.

        Returns
        -------
        object
            Plain containers, numbers, text, and instances of the stand-ins.

        Raises
        ------
        WeightFileError
            The pickle names something that is not allowed, is damaged, or ends early.
        """
        try:
            _check_announced_sizes(self._file)
            return self.load()
        except WeightFileError:
            raise
        except Exception as error:
            # A damaged pickle ends in an error of nearly any class.
            raise WeightFileError(
                f"{self._path}: not a pickle of arrays and plain containers ({first_line(error)}); "
                "cut or damaged? Fetch it again"
            ) from error


def _check_announced_sizes(file: BinaryIO) -> None:
    """Walk over a pickle without loading it, and raise UnpicklingError for impossible sizes.

    The file is at the start of the pickle before and after. Python allocates an announced length
    before it reads, and a memo as large as the largest index in the pickle, so a few bytes could
    use up the memory.
    """
    start = file.tell()
    file_size = file.seek(0, os.SEEK_END)
    file.seek(start)
    operation_count = 0
    code = b""
    while code != pickle.STOP:
        code = file.read(1)
        operation_count += 1
        operation = OPERATIONS.get(code.decode("latin1"))
        if operation is None:
            raise pickle.UnpicklingError(f"unknown operation {code!r}" if code else "it ends early")
        if operation.arg is None:
            continue
        number = _read_argument(file, code, operation.arg, file_size)
        if code in (pickle.PUT, pickle.LONG_BINPUT):
            # A pickle of n operations needs at most n places in the memo.
            limit = operation_count
        elif code == pickle.FRAME:
            limit = file_size - file.tell()
        else:
            continue
        if number > limit:
            raise pickle.UnpicklingError(f"number {number} where {limit} is the most")
    file.seek(start)


def _read_argument(file: BinaryIO, code: bytes, argument: Any, file_size: int) -> int:
    """Step over the argument of one pickle operation.

    Returns the argument if it is the index of a PUT, LONG_BINPUT, or the size of a FRAME. What is
    returned for other operations has no meaning.
    """
    if argument.n == pickletools.UP_TO_NEWLINE:
        line = file.readline()
        if argument.name.endswith("_pair"):
            file.readline()
        return int(line) if code == pickle.PUT else 0
    if argument.n >= 0:
        return int.from_bytes(file.read(argument.n), "little")
    length = int.from_bytes(file.read(LENGTH_SIZES[argument.n]), "little")
    remaining = file_size - file.tell()
    if length > remaining:
        raise pickle.UnpicklingError(f"{length} bytes wanted, {remaining} left")
    file.seek(length, os.SEEK_CUR)
    return 0
