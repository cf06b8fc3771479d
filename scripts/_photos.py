"""The photos that a command line names."""

import os
from pathlib import Path
from typing import List, Sequence

from gluonnorm.errors import InputError
from gluonnorm.photos.files import image_files

# The endings by which videos are recognized.
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


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


def are_videos(files: Sequence[Path]) -> bool:
    """Tell by their endings whether files are videos.

    Parameters
    ----------
    files : sequence of pathlib.Path
        The files, at least one.

    Returns
    -------
    bool
        True if all are videos, False if none is.

    Raises
    ------
    InputError
        Some are videos and some are not: their results have different forms.
    """
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos and len(videos) < len(files):
        others = [file for file in files if file not in videos]
        raise InputError(
            f"{videos[0]} is a video and {others[0]} is none; give videos and photos in calls of "
            "their own"
        )
    return bool(videos)
