"""Text in pictures: fonts, and the characters that a font does not have."""

import os
from functools import lru_cache
from typing import Optional, Union

from gluonnorm.errors import InputError, first_line
from gluonnorm.types import PathLike

from PIL import ImageFont

SMALLEST_FONT = 10  # pixels
NO_CHARACTER = "\U0010ffff"  # Unicode gives it no meaning, so fonts draw it as a missing letter

Font = Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]


def open_font(path: Optional[PathLike], size: int = SMALLEST_FONT) -> Font:
    """Open a font. A script calls it before its work, so that a wrong file does not cost the work.

    Parameters
    ----------
    path : path or None
        A TrueType or OpenType file; None for Pillow's own font.
    size : int
        Height of the letters in pixels.

    Returns
    -------
    PIL.ImageFont.FreeTypeFont
        The font.

    Raises
    ------
    InputError
        The file is missing or is no font that can be scaled.
    """
    return _cached_font(None if path is None else os.fspath(path), size)


@lru_cache(maxsize=16)
def _cached_font(path: Optional[str], size: int) -> Font:
    """Open a font once for many pictures."""
    if path is None:
        return ImageFont.load_default(size=size)
    try:
        return ImageFont.truetype(path, size)
    except (OSError, ValueError) as error:
        raise InputError(
            f"font {path}: cannot be read with letters of {size} pixels: {first_line(error)}; give "
            "a TrueType or OpenType file, such as one of the Noto fonts"
        ) from error


def drawable(text: str, font: Font) -> str:
    """Replace the characters that a font does not have by their codes.

    Parameters
    ----------
    text : str
        Any text.
    font : PIL.ImageFont.FreeTypeFont
        The font that it will be written with.

    Returns
    -------
    str
        The text with codes such as ``\\u732b``.
    """
    characters = []
    for character in text:
        if character == " " or (character.isprintable() and _has_character(font, character)):
            characters.append(character)
        else:
            characters.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(characters)


@lru_cache(maxsize=4096)
def _has_character(font: Font, character: str) -> bool:
    """Tell whether a font draws a character, and not its sign for a missing one."""
    # Pillow does not tell which characters a font has.
    drawn = font.getmask(character)
    missing = font.getmask(NO_CHARACTER)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)
