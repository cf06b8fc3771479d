"""The rule for class names, the same for data sets and networks."""

from collections import Counter
from typing import Any, Iterable, Mapping, Tuple, Type

from gluonnorm.errors import InputError

# Python orders a set of texts differently in each process, so labels would change their meaning.
WITHOUT_ORDER = (str, bytes, set, frozenset, Mapping)


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
        The same names.

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
    for name, count in Counter(names).items():
        if count > 1:
            raise error(
                f"{where}: class {name!r} is listed more than once; every class needs a name of "
                "its own"
            )
    # NumPy's texts are no plain ones, and JSON files should not tell.
    return tuple(str(name) for name in names)
