"""Image files to RGB arrays."""
import struct
from typing import Tuple

from gluonnorm.data.record import DataError, PathLike

import numpy as np
from PIL import Image, ImageFile, ImageOps

ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 swap height and width
# what Pillow is known to raise on missing, foreign, truncated, corrupt and absurdly large files
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_image(path: PathLike) -> np.ndarray:
    """The image in a file as an (H, W, 3) uint8 RGB array, turned upright where its EXIF data says so.

    Grey, palette, CMYK, ... images become RGB; transparency is dropped; 16-bit grey 0..65535 becomes 0..255.
    Raises DataError for a missing, truncated or corrupt file and for one that is not an image.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # importing GluonCV sets it for the whole process: grey instead of an error
    try:
        with Image.open(path) as image:
            return _to_rgb(ImageOps.exif_transpose(image) or image)  # older Pillows say they may return None
    except PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error


def image_size(path: PathLike) -> Tuple[int, int]:
    """Height and width of what ``read_image`` returns, from the file's header alone. Raises DataError likewise."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) >= 5
    except PILLOW_ERRORS as error:
        raise _unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255 instead of scaling
        grey = (np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "P":  # a palette may hold transparency, which Pillow converts by way of RGBA only
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _unreadable(path: PathLike, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such image file")
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: cannot be read as an image: {reason}")
