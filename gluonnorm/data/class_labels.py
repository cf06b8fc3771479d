"""Turn the class names of a data set's objects into labels."""

from collections import Counter
from difflib import get_close_matches
from typing import Counter as CounterType
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.labeled_image import DataError, Dataset
from gluonnorm.errors import did_you_mean, first_few

# The likeness of two names (0 to 1, of difflib) from which one is probably the other, misspelled.
NEAR = 0.8


class ClassLabels:
    """The labels of chosen classes, for formats whose objects have names.

    Objects of other classes are left out. A name that differs from a chosen one only in case,
    spaces or hyphens is an error, because it is probably misspelled.

    Parameters
    ----------
    classes : sequence of str
        Names of the C classes, in the order of the labels.
    source : object
        The file or folder of the data set. Messages begin with it.

    Attributes
    ----------
    classes : tuple of str
        The names.

    Raises
    ------
    DataError
        There are no names, or a name is repeated.

    Examples
    --------
    >>> labels = ClassLabels(["cat", "dog"], "train")
    >>> labels.find("dog", "a.xml: object 1"), labels.find("bird", "a.xml: object 2")
    (1, None)
    """

    def __init__(self, classes: Sequence[str], source: object) -> None:
        self.classes = check_class_names(classes, source, DataError)
        self._source = source
        self._label_of = {name: label for label, name in enumerate(self.classes)}
        self._spelling_of: Dict[str, str] = {_plain(name): name for name in self.classes}
        self._found: Set[str] = set()
        self._left_out: CounterType[str] = Counter()

    def find(self, name: str, where: str) -> Optional[int]:
        """Return the label of an object.

        Parameters
        ----------
        name : str
            The name of its class.
        where : str
            The file and the object. A message begins with it.

        Returns
        -------
        int or None
            The label; None if the class is not among the chosen ones.

        Raises
        ------
        DataError
            The name is another spelling of a chosen class.
        """
        label = self._label_of.get(name)
        if label is not None:
            self._found.add(name)
            return label
        spelling = self._spelling_of.get(_plain(name))
        if spelling is not None:
            raise DataError(
                f"{where} is of class {name!r}, but the chosen class is {spelling!r}; correct one "
                "of them, or choose both"
            )
        self._left_out[name] += 1
        return None

    def require_use(self) -> None:
        """Raise an error if there are objects, and all of them were left out.

        Raises
        ------
        DataError
            No object is of a chosen class, but some are of other classes.
        """
        if self._found or not self._left_out:
            return
        others = list(self._left_out)
        raise DataError(
            f"{self._source}: no object is of the classes {first_few(self.classes)}; all "
            f"{sum(self._left_out.values())} are of {first_few(others)}; choose among these"
            f"{did_you_mean(self.classes[0], others)}"
        )

    def misnamed(self) -> Tuple[str, ...]:
        """Say which chosen classes have no object while one of a similar name is left out.

        A class without any object may be meant, as where some of a data set's images are used, so
        it is mentioned only if its name is probably wrong.

        Returns
        -------
        tuple of str
            A message for each such class.
        """
        others = [f"{count} of {name}" for name, count in self._left_out.most_common()]
        messages: List[str] = []
        for name in self.classes:
            if name in self._found or not _has_near_name(name, self._left_out):
                continue
            messages.append(
                f"{self._source}: no object is of the class {name!r}, while objects of other "
                f"classes are left out: {first_few(others)}; choose a name of the files, or "
                f"leave {name!r} out{did_you_mean(name, self._left_out)}"
            )
        return tuple(messages)


def misnamed_classes(dataset: Dataset) -> Tuple[str, ...]:
    """Return what a data set says of classes whose names are probably wrong.

    Parameters
    ----------
    dataset : Dataset
        A data set of this package, or of the user, which need not have the attribute
        ``misnamed_classes``.

    Returns
    -------
    tuple of str
        A message for each such class.
    """
    return tuple(getattr(dataset, "misnamed_classes", ()))


def _has_near_name(name: str, others: Iterable[str]) -> bool:
    """Tell whether a name is probably one of the others, misspelled, as "car" is of "cars"."""
    plain_others = [_plain(other) for other in others]
    return bool(get_close_matches(_plain(name), plain_others, n=1, cutoff=NEAR))


def _plain(name: str) -> str:
    """Return a name without case, spaces, hyphens and underscores."""
    return "".join(letter for letter in name.casefold() if letter not in " -_")
