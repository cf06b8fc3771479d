"""Files that a script writes at its end. They are checked at its beginning."""

import os
from pathlib import Path
from typing import Optional

from gluonnorm.errors import InputError


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
