"""Image files: reading them into RGB arrays, their sizes, and the images of a folder."""

import os
import struct
from pathlib import Path
from typing import List, Tuple

from gluonnorm.errors import InputError, one_line
from gluonnorm.types import PathLike

import numpy as np
from PIL import Image, ImageFile, ImageOps

# The endings by which the images of a folder are recognized.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
ORIENTATION = 0x0112  # the EXIF tag of the orientation
FIRST_TURNED_ORIENTATION = 5  # orientations 5 to 8 swap height and width
# What Pillow raises on files that are missing, truncated, corrupt, far too large, or not images.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


class ImageError(InputError):
    """A file that cannot be read as an image, or an array that is not an image.

    The message is one line and names the file.
    """


def read_image(path: PathLike) -> np.ndarray:
    """Read an image file into an RGB array, upright according to its EXIF data.

    Grayscale, palette, CMYK and other images become RGB. Transparency is dropped. Channels of
    16 bits, 0..65535, become 0..255. The result for an animation is its first frame.

    Parameters
    ----------
    path : path
        The image file.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, RGB.

    Raises
    ------
    ImageError
        The file is missing, truncated or corrupt, or is not an image.
    """
    _refuse_folder(path)
    # Importing GluonCV sets this switch for the whole process. Pillow then fills the missing part
    # of a truncated file with gray instead of raising an error.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(path) as image:
            # The annotations of older Pillow versions say that the result may be None.
            upright = ImageOps.exif_transpose(image) or image
            return _to_rgb(upright)
    except PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error


def image_size(path: PathLike) -> Tuple[int, int]:
    """Read the size of an image file from its header alone.

    Parameters
    ----------
    path : path
        The image file.

    Returns
    -------
    tuple of int
        Height and width of the array that ``read_image`` returns.

    Raises
    ------
    ImageError
        The file is missing or is not an image.
    """
    _refuse_folder(path)
    try:
        with Image.open(path) as image:
            width, height = image.size
            orientation = image.getexif().get(ORIENTATION, 1)
    except PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error
    if orientation >= FIRST_TURNED_ORIENTATION:
        return width, height
    return height, width


def image_files(folder: PathLike) -> List[Path]:
    """List the image files in a folder.

    Files are recognized by their endings, ``IMAGE_SUFFIXES``. Hidden files and subfolders are left
    out.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    list of pathlib.Path
        The files, sorted by name.

    Raises
    ------
    ImageError
        The folder has no image files, cannot be listed, or is not a folder.
    """
    try:
        paths = sorted(Path(folder).iterdir())
        files = [path for path in paths if _is_visible_image(path)]
    except (OSError, ValueError) as error:  # ValueError: the name contains a null byte
        reason = getattr(error, "strerror", error)
        raise ImageError(f"{folder}: cannot be listed: {reason}") from error
    if not files:
        raise ImageError(
            f"{folder}: no images in this folder; looked for {', '.join(IMAGE_SUFFIXES)}"
        )
    return files


def _is_visible_image(path: Path) -> bool:
    """Tell whether a path is a file with the ending of an image and without a leading dot."""
    if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
        return False
    return path.is_file()


def _refuse_folder(path: PathLike) -> None:
    """Raise ImageError if a path is a folder: Pillow's own message would not tell that."""
    if os.path.isdir(path):
        raise ImageError(f"{path}: is a folder; want an image file")


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image of any mode to (H, W, 3) uint8."""
    # Pillow would clip 16-bit gray at 255 instead of scaling it.
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image), 0, 65535) // 257
        gray = levels.astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    # A palette may contain transparency, which Pillow converts to RGB only by way of RGBA.
    if image.mode == "P":
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _unreadable(path: PathLike, error: Exception) -> ImageError:
    """Make the one-line error for a file on which Pillow failed."""
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: no such image file")
    reason = one_line(error)
    return ImageError(f"{path}: cannot be read as an image: {reason}")
