"""Collect the faults of a data set, so that one error reports them all."""

from contextlib import contextmanager
from typing import Iterator, List, Tuple

from gluonnorm.data.labeled_image import DataError, Dataset

SHOWN_FAULTS = 5  # faults that an error message lists


class Faults:
    """Collect the faults that a reader finds while it opens a data set.

    A user who corrects a file wants to know all that is wrong with it, not the first fault of each
    run. A reader therefore goes on after a fault without what is faulty, and raises one error when
    it has seen everything. With ``skip`` there is no error, and the data set lacks what is faulty.

    Parameters
    ----------
    source : str or path-like
        The file or folder that is read. The message for several faults begins with it.
    skip : bool
        Whether the data set is used without what is faulty.

    Attributes
    ----------
    skip : bool
        The parameter.

    Examples
    --------
    >>> faults = Faults("train.json", skip=True)
    >>> for row, side in enumerate(["20", "x"]):
    ...     with faults.catch():
    ...         if not side.isdigit():
    ...             raise DataError(f"train.json: row {row} has side {side!r}; want a number")
    >>> faults.raise_if_any()
    >>> faults.messages
    ("train.json: row 1 has side 'x'; want a number",)
    """

    def __init__(self, source: object, skip: bool = False) -> None:
        self._source = source
        self.skip = skip
        self._messages: List[str] = []

    @property
    def messages(self) -> Tuple[str, ...]:
        """The message of each fault, in the order in which they were found."""
        return tuple(self._messages)

    def add(self, message: str) -> None:
        """Record a fault.

        Parameters
        ----------
        message : str
            One line that names the file, the place in it, the value got and the value wanted.
        """
        self._messages.append(message)

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Record a DataError of the statements below, and go on behind them."""
        try:
            yield
        except DataError as error:
            self.add(str(error))

    def raise_if_any(self) -> None:
        """Raise one error for all faults, unless they are to be skipped.

        Raises
        ------
        DataError
            There are faults. The message of a single fault is that fault's; the message for
            several has the first ones, and how many more there are.
        """
        if self.skip or not self._messages:
            return
        if len(self._messages) == 1:
            raise DataError(self._messages[0])
        shown = " | ".join(self._messages[:SHOWN_FAULTS])
        hidden = len(self._messages) - SHOWN_FAULTS
        more = f" | and {hidden} more" if hidden > 0 else ""
        raise DataError(
            f"{self._source}: {len(self._messages)} faults; skip_bad=True (--skip-bad) leaves out "
            f"what is faulty: {shown}{more}"
        )


def skipped_faults(dataset: Dataset) -> Tuple[str, ...]:
    """Return the faults for which a data set left something out.

    Parameters
    ----------
    dataset : Dataset
        A data set of this package, or of the user, which need not have the attribute ``skipped``.

    Returns
    -------
    tuple of str
        One message for each fault.
    """
    return tuple(getattr(dataset, "skipped", ()))


def boxes_without_area(dataset: Dataset) -> Tuple[str, ...]:
    """Return the boxes that a data set left out because they have no area.

    Parameters
    ----------
    dataset : Dataset
        A data set of this package, or of the user, which need not have the attribute
        ``boxes_without_area``.

    Returns
    -------
    tuple of str
        The place of each such box.
    """
    return tuple(getattr(dataset, "boxes_without_area", ()))
