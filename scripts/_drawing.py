"""Detections drawn as the flags of demo.py say, and the names of the files."""

import argparse
import os
from pathlib import Path
from typing import List, Sequence

from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError
from gluonnorm.types import Detections
from gluonnorm.visualize import draw

import numpy as np

LONGEST_STEM = 200  # bytes; a file's name has at most 255


def draw_as_asked(
    image: np.ndarray,
    detections: Detections,
    detector: Predictor,
    args: argparse.Namespace,
    legend: bool = False,
) -> np.ndarray:
    """Draw what is detected on an image.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8 RGB.
    detections : Detections
        Boxes and masks in the image's own pixels.
    detector : Predictor
        What detected them; it has the names of the classes.
    args : argparse.Namespace
        Parsed flags of demo.py.
    legend : bool
        Whether the classes and their colors are written below the image. Frames of a video are all
        of one size, so they have no legend.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, a new array, higher than the image if there is a legend.

    Raises
    ------
    InputError
        Masks alone are to be drawn, and the detector gives none.
    """
    if args.no_boxes and detections.masks is None:
        raise InputError("--no-boxes leaves nothing to draw: this network has no masks")
    return draw(
        image,
        detections,
        detector.classes,
        args.score_thresh,
        color_by=args.color_by,
        boxes=not args.no_boxes,
        font=args.font,
        legend=legend,
    )


def picture_paths(folder: str, files: Sequence[Path], ending: str) -> List[Path]:
    """Name the drawn pictures of photos, or the drawn videos.

    Parameters
    ----------
    folder : str
        The folder of the pictures.
    files : sequence of pathlib.Path
        The photos or videos.
    ending : str
        The end of each name, such as ``"-detections.jpg"``.

    Returns
    -------
    list of pathlib.Path
        The picture of each file, all different.

    Raises
    ------
    InputError
        A picture would replace one of the files.
    """
    used_names: List[str] = []
    photos = {os.path.realpath(file) for file in files}
    pictures = []
    for file in files:
        picture = Path(folder) / f"{unused_name(file.stem, used_names)}{ending}"
        if os.path.realpath(picture) in photos:
            raise InputError(
                f"the picture of {file} would replace {picture}, which is one of the photos; give "
                "another folder with --output"
            )
        pictures.append(picture)
    return pictures


def unused_name(stem: str, used_names: List[str]) -> str:
    """Find a file name for a picture, because images of several folders may share one name.

    A long name is cut off, so that the picture's name, which is longer, is not too long for a file.

    Parameters
    ----------
    stem : str
        The image's file name without its ending.
    used_names : list of str
        The names so far; the new one is appended.

    Returns
    -------
    str
        ``stem`` or its beginning, or that with ``-2``, ``-3`` and so on.

    Examples
    --------
    >>> unused_name("a", ["a"])
    'a-2'
    """
    encoded = os.fsencode(stem)
    if len(encoded) > LONGEST_STEM:
        # The cut may go through a letter.
        stem = encoded[:LONGEST_STEM].decode(errors="ignore")
    name = stem
    number = 1
    while name in used_names:
        number += 1
        name = f"{stem}-{number}"
    used_names.append(name)
    return name
