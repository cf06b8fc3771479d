"""What a script writes at its end, checked at its beginning: files, and the font of pictures."""

import argparse
import os
from pathlib import Path
from typing import Optional

from gluonnorm.errors import InputError


def add_font_argument(parser: argparse._ActionsContainer) -> None:
    """Add the flag of the font in which pictures show the names of classes.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser, or a group of its flags.
    """
    parser.add_argument(
        "--font",
        metavar="FILE",
        help="a TrueType or OpenType file for the names of classes in pictures (default: one with "
        "Latin letters). A character that it lacks is drawn as its code, such as \\u732b",
    )


def make_parent_folder(flag: str, path: Optional[str]) -> None:
    """Make the folder of a file that will be written, so that a wrong name does not cost the work.

    Parameters
    ----------
    flag : str
        The flag that names the file, for messages.
    path : str or None
        The file; None or ``""`` for none.

    Raises
    ------
    InputError
        The path is a folder, or nothing can be written there.
    """
    if not path:
        return
    if os.path.isdir(path):
        raise InputError(f"{flag} {path} is a folder; name a file")
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise InputError(f"{flag} {path} cannot be written; name a file in a folder of yours")
