"""The rule for class names, the same for data sets and networks."""

import unicodedata
from collections import Counter
from typing import Any, Iterable, Mapping, Tuple, Type

from gluonnorm.errors import InputError

# Python orders a set of texts differently in each process, so labels would change their meaning.
WITHOUT_ORDER = (str, bytes, set, frozenset, Mapping)


def composed(name: str) -> str:
    """Write accented letters as one character each, as Unicode's form NFC.

    macOS and some programs write them as two. The texts look the same, and are not equal.

    Parameters
    ----------
    name : str
        A name of a class or a file.

    Returns
    -------
    str
        The same name.

    Examples
    --------
    >>> composed("e\u0301") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def check_class_names(
    classes: Any, where: object = "classes", error: Type[InputError] = InputError
) -> Tuple[str, ...]:
    """Check the names of classes.

    Parameters
    ----------
    classes : sequence of str
        The names in the order of the labels.
    where : object
        The file or the argument that they come from. The message begins with it.
    error : type
        The class of the error.

    Returns
    -------
    tuple of str
        The same names, ``composed``.

    Raises
    ------
    InputError
        The value is a single text, a set or a mapping; there is no name; a name is no text, is
        blank, or is repeated. The error is of the class ``error``.

    Examples
    --------
    >>> check_class_names(["cell", "dust"])
    ('cell', 'dust')
    """
    if not isinstance(classes, Iterable) or isinstance(classes, WITHOUT_ORDER):
        raise error(
            f"{where}: want a list of class names, such as ['cat', 'dog'], and not {classes!r}"
        )
    names = tuple(classes)
    if not names:
        raise error(f"{where}: no classes; name at least one")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise error(f"{where}: class name {name!r}; want a text that is not blank")
    # NumPy's texts become plain ones, so that files of JSON do not tell.
    names = tuple(composed(str(name)) for name in names)
    for name, count in Counter(names).items():
        if count > 1:
            raise error(
                f"{where}: class {name!r} is listed more than once; every class needs a name of "
                "its own"
            )
    return names
