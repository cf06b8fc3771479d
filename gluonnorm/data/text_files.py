"""Read the text files of a data set: lists of images, label files, names of classes."""

import codecs
from typing import List, NamedTuple

from gluonnorm.data.labeled_image import DataError
from gluonnorm.types import PathLike


class Line(NamedTuple):
    """One line of a text file.

    Attributes
    ----------
    number : int
        The line's number, from 1.
    text : str
        The line without the white space around it.
    """

    number: int
    text: str


def read_text(path: PathLike) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    str
        The text without a byte order mark; all line ends are single newlines.

    Raises
    ------
    DataError
        The file cannot be read, or has another encoding.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    # Editors on Windows write a byte order mark, which would become part of the first word.
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not a text file in UTF-8: {error}; save it as UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{path}: is not a text file in UTF-8: it has null bytes; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: PathLike) -> List[Line]:
    """Read the lines of a text file that are not blank.

    Parameters
    ----------
    path : str or path-like
        The file, as for ``read_text``.

    Returns
    -------
    list of Line
        The lines with their numbers.

    Raises
    ------
    DataError
        The file cannot be read, or has another encoding.
    """
    numbered = enumerate(read_text(path).split("\n"), start=1)
    return [Line(number, text.strip()) for number, text in numbered if text.strip()]
