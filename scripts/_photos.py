"""The photos that a command line names."""

import os
from pathlib import Path
from typing import List, Sequence

from gluonnorm.photos.files import image_files


def list_photos(paths: Sequence[str]) -> List[Path]:
    """List the image files that the command line names, those inside of folders included.

    Parameters
    ----------
    paths : sequence of str
        Files and folders.

    Returns
    -------
    list of pathlib.Path
        The files in the order of ``paths``; those of a folder are sorted by name. A file is not
        opened, so it may be missing.

    Raises
    ------
    ImageError
        A folder without images.
    """
    files: List[Path] = []
    for path in paths:
        if os.path.isdir(path):
            files += image_files(path)
        else:
            files.append(Path(path))
    return files
