"""Image files to RGB arrays."""
import os
import struct
from pathlib import Path
from typing import List, Tuple, Union

from gluonnorm.errors import InputError

import numpy as np
from PIL import Image, ImageFile, ImageOps

PathLike = Union[str, "os.PathLike[str]"]
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # of the files a folder is asked for
ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 swap height and width
# what Pillow is known to raise on missing, foreign, truncated, corrupt and absurdly large files
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class ImageError(InputError):
    """A file that cannot be read as a picture, or an array that is none; the message is one line that names it."""


def read_image(path: PathLike) -> np.ndarray:
    """The picture in a file as an (H, W, 3) uint8 RGB array, turned upright where its EXIF data says so.

    Grey, palette, CMYK, ... pictures become RGB; transparency is dropped; 16 bits a channel, 0..65535, become 0..255;
    of an animation this is the first frame. Raises ImageError for a missing, truncated or corrupt file and for one that
    is not a picture.
    """
    if os.path.isdir(path):
        raise ImageError(f"{path}: is a folder; want an image file")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # importing GluonCV sets it for the whole process: grey instead of an error
    try:
        with Image.open(path) as image:
            return _to_rgb(ImageOps.exif_transpose(image) or image)  # older Pillows say they may return None
    except PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error


def image_size(path: PathLike) -> Tuple[int, int]:
    """Height and width of what ``read_image`` returns, from the file's header alone. Raises ImageError likewise."""
    if os.path.isdir(path):
        raise ImageError(f"{path}: is a folder; want an image file")
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) >= 5
    except PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def image_files(folder: PathLike) -> List[Path]:
    """The image files in a folder, by their endings, ``SUFFIXES``; sorted by name, without hidden ones and subfolders.

    Raises ImageError for a folder without any, and for what is no folder or cannot be listed.
    """
    try:
        files = sorted(file for file in Path(folder).iterdir()
                       if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file())
    except (OSError, ValueError) as error:  # a ValueError: the name holds a null byte
        raise ImageError(f"{folder}: cannot be listed: {getattr(error, 'strerror', error)}") from error
    if not files:
        raise ImageError(f"{folder}: no images in this folder; looked for {', '.join(SUFFIXES)}")
    return files


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255 instead of scaling
        grey = (np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "P":  # a palette may hold transparency, which Pillow converts by way of RGBA only
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _unreadable(path: PathLike, error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: no such image file")
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{path}: cannot be read as an image: {reason}")
