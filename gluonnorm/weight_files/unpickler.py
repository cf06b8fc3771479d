"""An unpickler that runs nothing of what a pickle names.

A pickle names functions and classes of the program that wrote it, and Python's own unpickler calls
them: a pickle can run any code on the machine that opens it. The unpickler of this file imports
nothing and looks nothing up in modules. It takes each name from a table of stand-ins, which only
make records and arrays. A name outside the table becomes a :class:`Foreign`, which keeps the place
of the object and does nothing. Names that no weights need and that attacks use end the reading.
"""

import os
import pickle
from contextvars import ContextVar
from typing import Any, BinaryIO, Dict, List, Mapping, Tuple, Type

from gluonnorm.errors import first_few, first_line
from gluonnorm.weight_files.content import WeightFileError
from gluonnorm.weight_files.pickle_scan import check_pickle

# A file that names these is refused so that its owner learns of it. Without the refusal they would
# be inert stand-ins like any other name.
CODE_MODULES = set(
    "os posix nt subprocess commands popen2 pty sys shutil socket ctypes importlib imp runpy code "
    "codeop pdb bdb timeit webbrowser pip pickle _pickle marshal".split()
)
BUILTIN_MODULES = ("builtins", "__builtin__", "io", "_io")  # io.open is the builtin open
CODE_BUILTINS = ("eval", "exec", "execfile", "compile", "open", "file", "__import__", "breakpoint")
MOST_FOREIGN_NAMES = 1000  # a checkpoint has some dozens, and each takes a kilobyte
# Bytes that copies of the content of a pickle may take in addition to eight times the size of the
# file.
COPY_ALLOWANCE = 64 << 20
_copy_allowance: ContextVar[int] = ContextVar("copy_allowance", default=0)


def spend_on_copy(size: int) -> None:
    """Count the bytes of a copy that a stand-in is about to make.

    A few bytes of a pickle can ask for another copy of an object that it has already, so the sum of
    all copies has a limit.

    Parameters
    ----------
    size : int
        The bytes of the copy.

    Raises
    ------
    pickle.UnpicklingError
        All copies together would take far more memory than the file has bytes.
    """
    remaining = _copy_allowance.get() - size
    if remaining < 0:
        raise pickle.UnpicklingError("its objects take far more memory than the file has bytes")
    _copy_allowance.set(remaining)


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


class Foreign(StandIn):
    """Stand-in for an object of a program that is not known here.

    It has no behavior of that object. What a pickle appends or adds is dropped.

    Attributes
    ----------
    entries : dict
        What the pickle set by key, because the object may be a dictionary of weights.
    source_name : str
        The class or function in the program, a constant of each subclass; "" if it has no name.
    """

    __slots__ = ("entries",)
    entries: Dict[Any, Any]
    source_name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Ignore the arguments."""
        instance = object.__new__(cls)
        instance.entries = {}
        return instance

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, item: Any) -> None:
        """Ignore an item of a list."""

    def extend(self, items: Any) -> None:
        """Ignore items of a list."""

    def add(self, item: Any) -> None:
        """Ignore an item of a set."""


class Unpickler(pickle.Unpickler):
    """Reader of one pickle, with stand-ins for everything that it names.

    Parameters
    ----------
    file : binary file
        Open for reading, at the start of the pickle.
    path : str
        The name that error messages give the file.
    known : mapping of (str, str) to type
        The stand-in for each known module and name.

    Attributes
    ----------
    foreign_names : list of str
        The other names in the pickle, such as ``pathlib.PosixPath``, in their order.
    """

    def __init__(self, file: BinaryIO, path: str, known: Mapping[Tuple[str, str], type]) -> None:
        # With this encoding, the bytes of Python 2 become text of the same codes.
        super().__init__(file, encoding="latin1")
        self._file = file
        self._path = path
        self._known = known
        self._foreign: Dict[Tuple[str, str], Type[Foreign]] = {}

    @property
    def foreign_names(self) -> List[str]:
        """The names in the pickle that are not known, in their order."""
        return [stand_in.source_name for stand_in in self._foreign.values()]

    def notes(self) -> List[str]:
        """Tell what the pickle names besides weights.

        Returns
        -------
        list of str
            One sentence; none if all names are known.
        """
        if not self.foreign_names:
            return []
        names = first_few(self.foreign_names)
        return [f"objects of the program that wrote the file are ignored, nothing was run: {names}"]

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
            The name runs code wherever it is used.
        pickle.UnpicklingError
            The pickle has too many names.
        """
        known = self._known.get((module, name))
        if known is not None:
            return known
        source_name = _printable(f"{module}.{name}")
        if _runs_code(module, name):
            raise WeightFileError(
                f"{self._path}: asks for {source_name}, so it holds code, not arrays only; nothing "
                "was run. Do not trust this file. If it is your own, save the weights alone (a "
                "state_dict, or a dictionary of arrays)"
            )
        if (module, name) not in self._foreign:
            if len(self._foreign) >= MOST_FOREIGN_NAMES:
                raise pickle.UnpicklingError(f"more than {MOST_FOREIGN_NAMES} classes")
            attributes = {"__slots__": (), "source_name": source_name}
            self._foreign[module, name] = type("ForeignObject", (Foreign,), attributes)
        return self._foreign[module, name]

    def read(self) -> Any:
        """Read the pickle.

        Returns
        -------
        object
            Plain containers, numbers, text, and instances of the stand-ins.

        Raises
        ------
        WeightFileError
            The pickle names what runs code, is damaged, or ends early.
        """
        allowance = COPY_ALLOWANCE + 8 * _remaining_size(self._file)
        token = _copy_allowance.set(allowance)
        try:
            check_pickle(self._file)
            return self.load()
        except WeightFileError:
            raise
        except Exception as error:
            # A damaged pickle ends in an error of nearly any class.
            raise WeightFileError(
                f"{self._path}: not a pickle of arrays and plain containers ({first_line(error)}); "
                "cut or damaged? Fetch it again"
            ) from error
        finally:
            _copy_allowance.reset(token)


def _runs_code(module: str, name: str) -> bool:
    """Whether a name is of a module, or a function of Python, that attacks use."""
    if module in BUILTIN_MODULES:
        return name.split(".")[0] in CODE_BUILTINS
    return module.split(".")[0] in CODE_MODULES


def _printable(name: str) -> str:
    """Shorten a name, and replace what a terminal cannot print."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])


def _remaining_size(file: BinaryIO) -> int:
    """Count the bytes of a file after its position."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END) - position
    file.seek(position)
    return size
