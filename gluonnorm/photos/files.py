"""Image files: reading them into RGB arrays, their sizes, and the images of a folder."""

import io
import os
import struct
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, List, Tuple, Union

from gluonnorm.errors import InputError, one_line
from gluonnorm.photos.levels import ImageError
from gluonnorm.photos.pillow_modes import to_rgb
from gluonnorm.types import PathLike

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

__all__ = ["IMAGE_SUFFIXES", "ImageError", "ImageSource", "image_files", "image_size", "read_image"]

#: What can be read: a file, the bytes in it, an open file, or what Pillow has opened.
ImageSource = Union[PathLike, bytes, bytearray, memoryview, BinaryIO, Image.Image]

#: The endings by which the images of a folder are recognized.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".jfif", ".tif", ".tiff", ".webp")
ORIENTATION = 0x0112  # the EXIF tag of the orientation
TURNED_ORIENTATIONS = (5, 6, 7, 8)  # they swap height and width
TIFF_WIDTH, TIFF_HEIGHT = 256, 257  # tags of TIFF files
# What Pillow raises on files that are missing, truncated, corrupt, far too large, or not images.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    TypeError,  # a TIFF file whose positions are no integers
    NotImplementedError,  # a variant of DDS that Pillow does not know
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
# The environment variable that changes the most pixels of an image, Pillow's MAX_IMAGE_PIXELS.
LIMIT_VARIABLE = "GLUONNORM_MAX_PIXELS"
LONGEST_PATH = 4096  # letters, the limit of Linux
SHOWN_LETTERS = 60  # of a longer one

# Pillow warns of images beyond its limit, and reads them up to twice the limit. Here the limit is
# an error, and the warning would be a second line about it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(source: ImageSource) -> np.ndarray:
    """Read an image into an RGB array, upright according to its EXIF data.

    Grayscale, palette, CMYK and other images become RGB. Transparency is dropped. Integers of 16
    bits, 0..65535, become 0..255, and so do those of a TIFF file of 12 bits. Floats are in 0..255.
    The result for an animation is its first frame.

    Parameters
    ----------
    source : path, bytes, binary file object or PIL.Image.Image
        The image file, its content, the open file at the position where the image begins, or the
        image that Pillow has opened. A Pillow image is not changed.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, RGB.

    Raises
    ------
    ImageError
        The file is missing, truncated or corrupt, is not an image, has more pixels than the limit
        (Pillow's ``MAX_IMAGE_PIXELS``, or the environment variable ``GLUONNORM_MAX_PIXELS``), or
        holds numbers whose range is not known: floats outside 0..255 or in 0..1, 16-bit numbers
        of which 14 bits or fewer are used, signed and 32-bit integers.
    """
    with _opened(source) as image:
        rgb = to_rgb(image, f"{source_name(source)}: image")
        orientation = image.getexif().get(ORIENTATION, 1)
        if orientation == 1:
            return rgb
        # Turned last, because an image tells how many bits its file has only before it is loaded.
        upright = Image.fromarray(rgb)
        upright.getexif()[ORIENTATION] = orientation
        return np.array(ImageOps.exif_transpose(upright))


def image_size(source: ImageSource) -> Tuple[int, int]:
    """Read the size of an image from the header of its file alone.

    Parameters
    ----------
    source : path, bytes, binary file object or PIL.Image.Image
        As for ``read_image``.

    Returns
    -------
    tuple of int
        Height and width of the array that ``read_image`` returns.

    Raises
    ------
    ImageError
        The file is missing, is not an image, or has more pixels than the limit.
    """
    with _opened(source) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
        width, height = image.size
        # Some versions of Pillow turn the size of a TIFF image when they open it, others do not.
        tags = getattr(image, "tag_v2", None)
        if image.format == "TIFF" and tags is not None and ORIENTATION in tags:
            width, height = tags[TIFF_WIDTH], tags[TIFF_HEIGHT]
    if orientation in TURNED_ORIENTATIONS:
        return width, height
    return height, width


def source_name(source: ImageSource) -> str:
    """Name an image in messages.

    Parameters
    ----------
    source : path, bytes, binary file object or PIL.Image.Image
        As for ``read_image``.

    Returns
    -------
    str
        The path if there is one, else what kind of object it is.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        # The content of a file, given as text, is no path.
        if len(path) > LONGEST_PATH:
            return f"{path[:SHOWN_LETTERS]}..."
        return path or "''"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"image of {len(source)} bytes"
    file_name = getattr(source, "filename", None) or getattr(source, "name", None)
    if isinstance(file_name, str):
        return file_name
    return "image" if isinstance(source, Image.Image) else "image file"


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


@contextmanager
def _opened(source: ImageSource) -> Iterator[Image.Image]:
    """Open an image without decoding it, and turn Pillow's errors into an ImageError."""
    name = source_name(source)
    if isinstance(source, (str, os.PathLike)):
        _check_path(source, name)
    _set_pixel_limit()
    # Importing GluonCV sets this switch for the whole process. Pillow then fills the missing part
    # of a truncated file with gray instead of raising an error.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        if isinstance(source, Image.Image):
            _check_pixel_count(source, name)
            yield source
            return
        with Image.open(_file_of(source, name)) as image:
            _check_pixel_count(image, name)
            yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: cannot be read as an image: {one_line(error)}; {_way_to_more_pixels('N')}"
        ) from error
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such image file{_url_hint(name)}") from error
    except PILLOW_ERRORS as error:
        raise ImageError(f"{name}: cannot be read as an image: {_reason(error)}") from error


def _check_path(path: PathLike, name: str) -> None:
    """Raise ImageError for a path that is no regular file. One that does not exist passes."""
    if os.path.isdir(path):
        raise ImageError(f"{name}: is a folder; want an image file")
    # Opening a pipe would wait for ever.
    if os.path.exists(path) and not os.path.isfile(path):
        raise ImageError(f"{name}: is a pipe or a device; want an image file, or its bytes")


def _url_hint(name: str) -> str:
    """The end of a message about a missing file that is an address in the network."""
    if "://" not in name:
        return ""
    return "; an address is not fetched, but urllib.request.urlopen(address) can be given"


def _file_of(
    source: Union[PathLike, bytes, bytearray, memoryview, BinaryIO], name: str
) -> Union[PathLike, BinaryIO]:
    """Return what Pillow can open: a path as it is, anything else as a file in memory."""
    if isinstance(source, (str, os.PathLike)):
        return source
    content = source if isinstance(source, (bytes, bytearray, memoryview)) else source.read()
    if isinstance(content, str):
        raise ImageError(f"{name}: is a file of text; open it in binary mode, 'rb'")
    if not content:
        raise ImageError(f"{name}: is empty, or a file that was read to its end before; seek(0)")
    # The bytes of a memoryview may lie apart from each other.
    return io.BytesIO(bytes(content))


def _set_pixel_limit() -> None:
    """Take Pillow's limit of pixels from the environment variable, if it is set."""
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return
    # isdigit would accept digits that int does not, such as a superscript 2.
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{LIMIT_VARIABLE} is {text!r}; want a number of pixels, at least 1")
    Image.MAX_IMAGE_PIXELS = int(text)


def _check_pixel_count(image: Image.Image, name: str) -> None:
    """Raise ImageError for an image without pixels, or with more than the limit."""
    width, height = image.size
    if width * height == 0:
        raise ImageError(f"{name}: is {width} x {height} pixels; want at least one")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ImageError(
            f"{name}: cannot be read as an image: {width} x {height} pixels exceeds limit of "
            f"{limit} pixels; {_way_to_more_pixels(width * height)}"
        )


def _way_to_more_pixels(pixel_count: Union[int, str]) -> str:
    """The end of a message about an image that is too large: what to do."""
    return f"if you trust it, set the environment variable {LIMIT_VARIABLE}={pixel_count}"


def _reason(error: BaseException) -> str:
    """The reason in an error of Pillow, without the address of an object in memory."""
    if isinstance(error, UnidentifiedImageError):
        return "it is of no format that Pillow knows, or empty"
    if isinstance(error, OSError) and error.strerror:
        # Without the path, which may be the content of a file.
        return error.strerror
    return one_line(error)
