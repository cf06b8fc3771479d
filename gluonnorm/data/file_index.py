"""Find the files of a data set by the names that lists and annotation files give them."""

import os
import posixpath
from collections import Counter, defaultdict
from typing import Dict, Iterator, List, Optional, Sequence, Set
from urllib.parse import unquote

from gluonnorm.class_names import composed
from gluonnorm.data.labeled_image import DataError
from gluonnorm.errors import first_few
from gluonnorm.photos.files import IMAGE_SUFFIXES
from gluonnorm.types import PathLike

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
RARE_SUFFIXES = (".jp2", ".pgm", ".pnm", ".ppm", ".tga")
# The endings of images, preferred ones first.
IMAGE_ENDINGS = tuple(dict.fromkeys(JPEG_SUFFIXES + IMAGE_SUFFIXES + RARE_SUFFIXES))


class FileIndex:
    """The files with certain endings in a folder and its subfolders, which are listed once.

    Names that begin with a dot are left out: they belong to the operating system or an editor.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    endings : sequence of str
        The endings in small letters, such as ".jpg". Where two files differ only in their endings,
        the earlier ending is preferred.

    Attributes
    ----------
    folder : str
        The folder.
    names : list of str
        The paths of all files relative to ``folder``, sorted, with "/" between their parts.

    Raises
    ------
    DataError
        The folder cannot be listed.
    """

    def __init__(self, folder: PathLike, endings: Sequence[str] = IMAGE_ENDINGS) -> None:
        self.folder = os.fspath(folder)
        self._endings = tuple(endings)
        self.names = sorted(self._walk("", set()))
        self._names_of_stem: Dict[str, List[str]] = defaultdict(list)
        self._names_of_base: Dict[str, List[str]] = defaultdict(list)
        for name in sorted(self.names, key=self._preference):
            stem = composed(os.path.splitext(name)[0])
            self._names_of_stem[stem].append(name)
            self._names_of_base[os.path.basename(stem)].append(name)
        self._names_of_lower = _unique_in_lower_case(self._names_of_stem)

    def find(self, reference: str) -> Optional[str]:
        """Find the file that a list or an annotation file means.

        The reference may have an ending or none, ``\\`` between its parts, ``%20`` for a space,
        and more leading folders than there are, because exporters write the paths of their own
        machine. Upper and lower case are the same where only one file fits. A reference without
        folders may be in any subfolder.

        Parameters
        ----------
        reference : str
            The name or path.

        Returns
        -------
        str or None
            One of ``names``, or the reference itself if it is the absolute path of a file. None if
            there is no such file.

        Raises
        ------
        DataError
            Several subfolders have a file of this name.
        """
        if os.path.isabs(reference) and os.path.isfile(reference):
            return reference
        readings = shortened_names(composed(reference))
        for reading in readings:
            name = self._choose(self._names_of_stem, reading)
            if name is not None:
                return name
        for reading in readings:
            name = self._choose(self._names_of_lower, reading.lower())
            if name is not None:
                return name
        if any("/" in reading for reading in readings):
            return None
        for reading in readings:
            name = self._choose(self._names_of_base, reading)
            if name is not None:
                self._require_single_folder(reference, name)
                return name
        return None

    def path(self, name: str) -> str:
        """Return the path of a file.

        Parameters
        ----------
        name : str
            What ``find`` returned.

        Returns
        -------
        str
            The path.
        """
        return os.path.join(self.folder, name)

    def _walk(self, subfolder: str, seen: Set[str]) -> Iterator[str]:
        """List the files in a subfolder and below. Each folder is listed once, links included."""
        folder = os.path.join(self.folder, subfolder) if subfolder else self.folder
        real_path = os.path.realpath(folder)
        if real_path in seen:
            return
        seen.add(real_path)
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error
        for entry in visible:
            name = f"{subfolder}/{entry.name}" if subfolder else entry.name
            if entry.is_dir():
                yield from self._walk(name, seen)
            elif os.path.splitext(entry.name)[1].lower() in self._endings and entry.is_file():
                yield name

    def _preference(self, name: str) -> int:
        """Return the place of a name's ending among the endings."""
        return self._endings.index(os.path.splitext(name)[1].lower())

    def _choose(self, names_of: Dict[str, List[str]], reference: str) -> Optional[str]:
        """Choose a file by its name with an ending, its name without, or with another ending."""
        stem, ending = os.path.splitext(reference)
        names_of_stem: List[str] = []
        if ending.lower() in self._endings:
            names_of_stem = names_of.get(stem, [])
            for name in names_of_stem:
                if name.endswith(ending):
                    return name
            for name in names_of_stem:
                if name.lower().endswith(ending.lower()):
                    return name
        names = names_of.get(reference, []) or names_of_stem
        return names[0] if names else None

    def _require_single_folder(self, reference: str, name: str) -> None:
        """Raise a DataError if subfolders have other files of the same name."""
        base = os.path.basename(composed(os.path.splitext(name)[0]))
        stems = {os.path.splitext(other)[0] for other in self._names_of_base[base]}
        if len(stems) > 1:
            raise DataError(
                f"{self.folder}: {reference!r} may be {first_few(sorted(stems))}; name its "
                "subfolder too"
            )


def find_path(folder: str, name: str) -> Optional[str]:
    """Find a file or folder by its path below a folder, in upper or lower case.

    Parameters
    ----------
    folder : str
        The folder.
    name : str
        The path below it, with "/" between its parts.

    Returns
    -------
    str or None
        The path as it is spelled on the disk. None if there is no such file or folder, or several
        that differ only in case from a part of the name.
    """
    path = folder
    for part in name.split("/"):
        exact = os.path.join(path, part)
        if not os.path.exists(exact):
            names = os.listdir(path) if os.path.isdir(path) else []
            spellings = [other for other in names if other.lower() == part.lower()]
            if len(spellings) != 1:
                return None
            exact = os.path.join(path, spellings[0])
        path = exact
    return path


def _unique_in_lower_case(names_of_stem: Dict[str, List[str]]) -> Dict[str, List[str]]:
    """Return the names by their stems in lower case, without stems that differ only in case."""
    counts = Counter(stem.lower() for stem in names_of_stem)
    unique = {}
    for stem, names in names_of_stem.items():
        if counts[stem.lower()] == 1:
            unique[stem.lower()] = names
    return unique


def shortened_names(reference: str) -> List[str]:
    """List the names below a folder that a list or an annotation file may mean.

    Exporters write the paths of their own machine. A name is therefore read with ``\\`` as the
    separator and without white space around it, then also with ``%20`` as a space. Its leading
    folders are left out one by one, ".." first.

    Parameters
    ----------
    reference : str
        The name or path in the file.

    Returns
    -------
    list of str
        The names with "/" between their parts, the most literal one first and, of one reading, the
        longest one first.

    Examples
    --------
    >>> shortened_names("C:\\\\my%20cats\\\\a.jpg")
    ['C:/my%20cats/a.jpg', 'my%20cats/a.jpg', 'a.jpg', 'C:/my cats/a.jpg', 'my cats/a.jpg']
    """
    names = []
    for spelling in (reference.strip(), unquote(reference.strip())):
        parts = posixpath.normpath(spelling.replace("\\", "/")).split("/")
        parts = [part for part in parts if part not in ("", ".", "..")]
        names += ["/".join(parts[first:]) for first in range(len(parts))]
    return list(dict.fromkeys(names))
