"""Find the image files that a data set names, and try whether they can be read."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, TypeVar

from gluonnorm.class_names import composed
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_index import shortened_names
from gluonnorm.data.labeled_image import DataError
from gluonnorm.types import PathLike

import numpy as np

Item = TypeVar("Item")
CHECKING_THREADS = 4


class _Listing(NamedTuple):
    """The files in one folder: their names, and the only spelling of each plain name."""

    names: FrozenSet[str]
    spelling_of: Dict[str, str]


class ImageFolder:
    """The image files below a folder, found by the names that annotations give them.

    Only the subfolders that a name leads to are listed, each once, and no file is opened, so that
    all files of a large data set can be looked for when it is opened. A name has its ending. For
    lists whose names may have none, ``FileIndex`` lists all subfolders.

    Parameters
    ----------
    folder : str or path-like
        The folder that the names are relative to.
    """

    def __init__(self, folder: PathLike) -> None:
        self._folder = os.fspath(folder)
        self._listings: Dict[str, _Listing] = {}

    def find(self, name: str) -> Optional[str]:
        """Find an image file by the name that an annotation gives it.

        The file is first looked for under exactly this name, then under its ``shortened_names``.
        Upper and lower case are the same where only one file fits, and so are the two forms of
        accented letters.

        Parameters
        ----------
        name : str
            The name, such as ``"images/a.jpg"``.

        Returns
        -------
        str or None
            The path of the file; None if there is none.
        """
        exact_path = self._path_of(name)
        if exact_path is not None:
            return exact_path
        for shortened_name in shortened_names(name):
            path = self._path_of(shortened_name)
            if path is not None:
                return path
        return None

    def _path_of(self, name: str) -> Optional[str]:
        """Return the path of a file below the folder, or None if it does not exist."""
        path = os.path.join(self._folder, name)
        folder, file_name = os.path.split(path)
        listing = self._listings.get(folder)
        if listing is None:
            listing = self._listings[folder] = _list_files(folder)
        if file_name in listing.names:
            return path
        spelling = listing.spelling_of.get(_plain(file_name))
        return None if spelling is None else os.path.join(folder, spelling)


def keep_readable(
    items: Sequence[Item], read: Callable[[Item], np.ndarray], faults: Faults
) -> List[Item]:
    """Decode the image of every item once, and leave out the items whose image cannot be used.

    Parameters
    ----------
    items : sequence
        What stands for the images.
    read : callable
        ``read(item)`` decodes an image, on one of several threads, or raises DataError.
    faults : Faults
        Gets the message for each image that is missing, damaged, or of another size.

    Returns
    -------
    list
        The items whose image can be used, in the same order.
    """

    def fault_of(item: Item) -> Optional[str]:
        """Read one image, and return what is wrong with it, or None."""
        try:
            read(item)
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        messages = list(pool.map(fault_of, items))
    for message in messages:
        if message is not None:
            faults.add(message)
    return [item for item, message in zip(items, messages) if message is None]


def _list_files(folder: str) -> _Listing:
    """List the files in a folder; a folder that cannot be listed has none."""
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except (OSError, ValueError):  # ValueError: the path contains a null byte
        return _Listing(frozenset(), {})
    counts = Counter(_plain(name) for name in names)
    spelling_of = {_plain(name): name for name in names if counts[_plain(name)] == 1}
    return _Listing(frozenset(names), spelling_of)


def _plain(name: str) -> str:
    """Return a name in lower case, with composed letters."""
    return composed(name).lower()
