"""Things by name: those that the package brings, and those that a user registers."""

import functools
from typing import Any, Callable, Dict, Generic, Iterator, Mapping, TypeVar

from gluonnorm.errors import InputError, did_you_mean

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Names and what they stand for; a user can add names and cannot replace the package's.

    Files hold names alone. So a name must mean the same in each process that reads a file, and
    the module that registers it must be imported there.

    Parameters
    ----------
    kind : str
        What the entries are, for messages: "norm", "backbone" or "model".
    entries : mapping of str to object
        The entries of the package.

    Examples
    --------
    >>> colors = Registry("color", {"red": 1})
    >>> colors.register("blue", 2)
    >>> list(colors)
    ['red', 'blue']
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._entries: Dict[str, Entry] = dict(entries)
        self._package_names = frozenset(entries)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry of the user.

        Parameters
        ----------
        name : str
            Its name.
        entry : object
            What the name stands for. A registered name may get the same entry again, or a function
            or class that was defined anew at the same place of the same module.

        Raises
        ------
        InputError
            The name is no text, or it stands for something else already.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"the name of a {self.kind} is {name!r}; give a word")
        if name in self._package_names:
            raise InputError(
                f"{self.kind} {name!r} belongs to gluonnorm; register yours under another name"
            )
        if name in self._entries and not _is_same(self._entries[name], entry):
            raise InputError(
                f"{self.kind} {name!r} is registered already, as {self._entries[name]!r}; register "
                f"{entry!r} under another name"
            )
        self._entries[name] = entry

    def is_of_package(self, name: str) -> bool:
        """Tell whether a name is one of the package, and not one that a user registered.

        Parameters
        ----------
        name : str
            The name.

        Returns
        -------
        bool
            False also for a name that is not known.
        """
        return name in self._package_names

    def way_out(self, name: str) -> str:
        """Say how an unknown name becomes known, for the end of a message.

        Parameters
        ----------
        name : str
            The name that is not known.

        Returns
        -------
        str
            A suggestion if a known name is close, and where names of the user come from.
        """
        suggestion = did_you_mean(name, self) or "."
        return (
            f"{suggestion} A {self.kind} of your own needs the module that registers it: import "
            "that first, in a script with --plugin MODULE"
        )


def callable_name(function: Callable[..., Any]) -> str:
    """Name a function or class as a reader would.

    Parameters
    ----------
    function : callable
        A function, a class, or a ``functools.partial`` of one.

    Returns
    -------
    str
        Its ``__name__``, for a partial with its arguments: ``"GroupNorm(num_groups=8)"``; "" if it
        has none, as a lambda.

    Examples
    --------
    >>> callable_name(functools.partial(int, base=2))
    'int(base=2)'
    """
    if isinstance(function, functools.partial):
        name = callable_name(function.func)
        arguments = [repr(value) for value in function.args]
        arguments += [f"{key}={value!r}" for key, value in function.keywords.items()]
        return f"{name}({', '.join(arguments)})" if name else ""
    name = getattr(function, "__name__", "")
    return "" if name == "<lambda>" else name


def _is_same(known: Any, entry: Any) -> bool:
    """Tell whether an entry is the known one, or its definition was run again."""
    if known is entry or known == entry:
        return True
    if isinstance(known, functools.partial) and isinstance(entry, functools.partial):
        pairs = zip((known.func, *known.args), (entry.func, *entry.args))
        has_same_keywords = known.keywords == entry.keywords and len(known.args) == len(entry.args)
        return has_same_keywords and all(_is_same(first, second) for first, second in pairs)
    place = getattr(known, "__module__", None), getattr(known, "__qualname__", None)
    # A function inside a function, and a lambda, can be another one at the same place.
    if None in place or "<" in str(place[1]):
        return False
    return place == (getattr(entry, "__module__", None), getattr(entry, "__qualname__", None))
