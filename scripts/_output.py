"""The files that scripts write: checked at the beginning, and written completely or not at all."""

import argparse
import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple, Union

from gluonnorm.deploy.bundle import BUNDLE_SUFFIXES, FILE_SUFFIXES
from gluonnorm.errors import InputError
from gluonnorm.photos.files import IMAGE_SUFFIXES
from gluonnorm.weight_files import atomic_files

import numpy as np
from _photos import VIDEO_SUFFIXES
from PIL import Image

JPEG_QUALITY = 92
PICTURE_FLAGS = ("--plot",)  # the flags whose files are pictures; those of all others are text
LONGEST_JPEG = 65500  # pixels of a side


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


def make_folder(flag: str, folder: Union[str, Path]) -> None:
    """Make a folder that will be written into.

    Parameters
    ----------
    flag : str
        The flag that names it, with its value, for messages.
    folder : str or pathlib.Path
        The folder; it may exist.

    Raises
    ------
    InputError
        It cannot be made, or one of its names is a file.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{flag}: the folder {folder} cannot be made ({error.strerror or error}); name another "
            "one"
        ) from error


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
    make_folder(f"{flag} {path}", folder)
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise InputError(f"{flag} {path} cannot be written; name a file in a folder of yours")


def prepare_files(
    args: argparse.Namespace,
    files: Sequence[Tuple[str, Optional[str]]],
    photos: Sequence[Path] = (),
    others: Sequence[Tuple[str, str]] = (),
) -> None:
    """Check the files that a script will write beside its network, and make their folders.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed command line, with or without the flags of ``_model_flags.add_model_arguments``.
    files : sequence of (str, str or None)
        The flag and the path of each file; None or ``""`` for none.
    photos : sequence of pathlib.Path
        The photos or videos that the script reads.
    others : sequence of (str, str)
        The owner and the path of other files that must not be replaced.

    Raises
    ------
    InputError
        A file cannot be written, or would replace another one or what the script reads, or text
        would replace an image or a video.
    """
    owners = {os.path.realpath(photo): "the photos" for photo in photos}
    owners.update((os.path.realpath(path), owner) for owner, path in others)
    for name in ("params", "detections"):
        path = getattr(args, name, None)
        if path:
            owners[os.path.realpath(path)] = f"--{name}"
            # The weights of a checkpoint are beside its header.
            owners[os.path.realpath(f"{os.path.splitext(path)[0]}.params")] = f"--{name}"
    exported = getattr(args, "exported", None)
    if exported:
        for suffix in (*FILE_SUFFIXES.values(), BUNDLE_SUFFIXES[-1]):
            owners[os.path.realpath(f"{exported}{suffix}")] = "--exported"
    for flag, path in files:
        make_parent_folder(flag, path)
        # Several files may go to one device, such as /dev/null.
        if not path or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        owner = owners.setdefault(os.path.realpath(path), flag)
        if owner != flag:
            raise InputError(
                f"{flag} would write {path}, which is a file of {owner} too; give another name"
            )
        # In "--json a.jpg b.jpg" the name of the file was forgotten, and a photo takes its place.
        is_media = Path(path).suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        if is_media and flag not in PICTURE_FLAGS and os.path.exists(path):
            raise InputError(
                f"{flag} would replace {path}, an image or a video, by text; give the name of a "
                f"file to write after {flag}"
            )


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a text file in UTF-8.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. It appears completely or not at all.
    text : str
        Its content.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with output_file(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def write_jpeg(path: Union[str, Path], picture: np.ndarray) -> None:
    """Write a picture.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. It appears completely or not at all.
    picture : numpy.ndarray
        (H, W, 3) uint8 RGB.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    # Pillow writes a file without looking whether all of its bytes reached the disk.
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format="JPEG", quality=JPEG_QUALITY)
    with output_file(path) as temporary:
        Path(temporary).write_bytes(encoded.getvalue())


@contextmanager
def output_file(path: Union[str, Path]) -> Iterator[str]:
    """Give the name under which a file is to be written; it gets its own name at the end.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. It appears completely or not at all. A pipe or a device is written directly.

    Yields
    ------
    str
        The name to write to.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    path = str(path)
    try:
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
            # A pipe or a device, such as /dev/stdout, must not be replaced by a file.
            yield path
            return
        with atomic_files(path) as (temporary,):
            yield temporary
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); make room, or name a file "
            "elsewhere"
        ) from error
