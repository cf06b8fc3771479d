"""An unpickler that runs nothing a pickle names.

A pickle names functions and classes of the program that wrote it and has them called: whoever opens one normally runs
whatever its author wished. Here a name is looked up in a short table of stand-ins, which only make records and arrays;
a name outside the table ends the reading.
"""
import os
import pickle
import pickletools
from typing import Any, BinaryIO, Mapping, Tuple

from gluonnorm.errors import first_line
from gluonnorm.weight_files.weight_file_error import WeightFileError

OPERATIONS = {operation.code: operation for operation in pickletools.opcodes}
LENGTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4,
           pickletools.TAKEN_FROM_ARGUMENT4U: 4, pickletools.TAKEN_FROM_ARGUMENT8U: 8}  # bytes that say a length


class Inert:
    """Base of what a pickle may name: takes any arguments and any state, keeps none.

    BUILD sets attributes of an object, or of a class, that has no ``__setstate__``. Here the instance ignores its
    state, and the class refuses it, since its ``__setstate__`` wants an instance.
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
    """Reads one pickle from ``file``; only what ``allowed`` lists, by module and name, may be named in it."""

    def __init__(self, file: BinaryIO, path: str, allowed: Mapping[Tuple[str, str], type]) -> None:
        super().__init__(file, encoding="latin1")  # bytes of Python 2 become text of the same codes
        self._file = file
        self._path = path
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global. Raises WeightFileError for one that is not listed."""
        try:
            return self._allowed[module, name]
        except KeyError:
            wanted = "".join(letter if letter.isprintable() else "?" for letter in f"{module}.{name}")[:80]
            raise WeightFileError(f"{self._path}: asks for {wanted}, so it holds code, not arrays only; nothing "
                                  "was run. Where it was made, save the weights alone (a state_dict, or a dictionary "
                                  "of arrays)") from None

    def read(self) -> Any:
        """What the pickle holds. Raises WeightFileError of one line for whatever is wrong with it."""
        try:
            _refuse_greed(self._file)
            return self.load()
        except WeightFileError:
            raise
        except Exception as error:  # a damaged pickle ends in an error of nearly any kind
            raise WeightFileError(f"{self._path}: not a pickle of arrays and plain containers ({first_line(error)}); cut "
                                  "or damaged? Fetch it again") from error


def _refuse_greed(file: BinaryIO) -> None:
    """Walk over the pickle at the file's place and come back; UnpicklingError for lengths the file has not.

    Python makes room for an announced length before it reads, and for a memo as large as the largest number in it.
    """
    start, count, code = file.tell(), 0, b""
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    while code != pickle.STOP:
        code, count = file.read(1), count + 1
        operation = OPERATIONS.get(code.decode("latin1"))
        if operation is None:
            raise pickle.UnpicklingError(f"unknown operation {code!r}" if code else "it ends early")
        argument, number = operation.arg, 0
        if argument is None:
            continue
        if argument.n == pickletools.UP_TO_NEWLINE:
            line = file.readline()
            number = int(line) if code == pickle.PUT else 0
            if argument.name.endswith("_pair"):
                file.readline()
        elif argument.n >= 0:
            number = int.from_bytes(file.read(argument.n), "little")
        else:
            length = int.from_bytes(file.read(LENGTHS[argument.n]), "little")
            if length > size - file.tell():
                raise pickle.UnpicklingError(f"{length} bytes wanted, {size - file.tell()} left")
            file.seek(length, os.SEEK_CUR)
        limit = {pickle.PUT: count, pickle.LONG_BINPUT: count, pickle.FRAME: size - file.tell()}.get(code, number)
        if number > limit:
            raise pickle.UnpicklingError(f"number {number} where {limit} is the most")
    file.seek(start)
