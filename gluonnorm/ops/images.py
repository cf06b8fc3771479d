"""Pictures as NumPy arrays, from the file to the network's input, the way the source of its weights prepared them.

A picture is (H, W, 3) RGB, uint8 or float32 in 0..255. What ``short``, ``rounding``, ``resize``, ... mean is written at
``types.Preprocess``.
"""
import math
import os
import struct
from pathlib import Path
from typing import Any, List, Tuple, Union

from gluonnorm.types import RESIZES, ROUNDINGS, Preprocess

import mxnet as mx
import numpy as np
from PIL import Image, ImageFile, ImageOps

PathLike = Union[str, "os.PathLike[str]"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # of the files a folder is asked for
ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 swap height and width
# what Pillow is known to raise on missing, foreign, truncated, corrupt and absurdly large files
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
BILINEAR = 1  # of mx.image.imresize, which is OpenCV's
OVERSHOOT = 64  # grey levels beyond 0..255 that sharpening or cubic resizing may well leave


class ImageError(ValueError):
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


def check_image(image: Any) -> np.ndarray:
    """``image`` as it is if it is (H, W, 3) uint8, as float32 if its numbers are floating; H, W at least 1.

    Raises ImageError for any other shape or type, for NaN and infinity, and for values far outside 0..255. Numbers in
    0..1 cannot be told from a very dark picture in 0..255: they pass, as that. Whoever has such multiplies by 255.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"image is a {type(image).__name__}; want a path or an (H, W, 3) NumPy array, RGB in 0..255")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"image has the shape {image.shape}; want (H, W, 3), RGB, at least one pixel")
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise ImageError(f"image is of {image.dtype}; want uint8, or float32 in 0..255")
    low, high = float(image.min()), float(image.max())
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN spreads to both
        raise ImageError("image holds NaN or infinity; want float32 in 0..255")
    if low < -OVERSHOOT or high > 255 + OVERSHOOT:
        raise ImageError(f"image holds values from {low:.6g} to {high:.6g}; want float32 in 0..255, not normalised")
    return image.astype(np.float32, copy=False)


def resize_size(height: int, width: int, short: int, max_size: int, rounding: str = "nearest") -> Tuple[int, int]:
    """Height and width after resizing: the shorter side ``short``, unless the longer would exceed ``max_size``.

    At least 1 pixel each. The arithmetic is that of Detectron2 ("nearest"), GluonCV and Detectron ("even") and
    torchvision ("floor"), in double precision, whose last bit decides whether 800 * 334 / 334 is 800 or 799.

    >>> [resize_size(500, 400, 602, 1000, rounding) for rounding in ("nearest", "even", "floor")]
    [(753, 602), (752, 602), (752, 602)]
    >>> [resize_size(334, 501, 800, 1333, rounding) for rounding in ("nearest", "even", "floor")]
    [(800, 1200), (800, 1200), (799, 1200)]
    """
    low, high = min(height, width), max(height, width)
    if rounding == "nearest":
        sides = [short if side == low else short / low * side for side in (height, width)]
        if max(sides) > max_size:
            cap = max_size / max(sides)
            sides = [side * cap for side in sides]
        sizes = [int(side + 0.5) for side in sides]
    elif rounding == "even":
        scale = short / low if round(short / low * high) <= max_size else max_size / high
        sizes = [round(side * scale) for side in (height, width)]  # Python, too, rounds halves to even
    elif rounding == "floor":
        scale = min(short / low, max_size / high)
        sizes = [math.floor(side * scale) for side in (height, width)]
    else:
        raise ValueError(f"rounding is {rounding!r}; give one of {', '.join(ROUNDINGS)}")
    return max(1, sizes[0]), max(1, sizes[1])


def resize(image: np.ndarray, height: int, width: int, method: str) -> np.ndarray:
    """A picture at another size: (H, W, 3) uint8 or float32 -> (height, width, 3).

    ``method`` is one of ``types.RESIZES``. "pixel" and "antialias" give bytes for bytes; float32 pictures are resized
    by the same geometry and not rounded (Detectron2 does not antialias those). "float" gives float32, unless the size
    stays: then every method returns ``image`` itself.
    """
    if method not in RESIZES:
        raise ValueError(f"method is {method!r}; give one of {', '.join(RESIZES)}")
    if image.shape[:2] == (height, width):
        return image
    if method == "antialias":
        if image.dtype == np.uint8:
            return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        channels = [Image.fromarray(channel) for channel in image.transpose(2, 0, 1)]
        channels = [channel.resize((width, height), Image.Resampling.BILINEAR) for channel in channels]
        return np.stack([np.asarray(channel) for channel in channels], axis=2)
    if method == "pixel" and image.dtype == np.uint8:
        pixels = mx.nd.array(image, ctx=mx.cpu(), dtype="uint8")  # whatever the context of the caller
        return mx.image.imresize(pixels, width, height, interp=BILINEAR).asnumpy()
    return _bilinear(image.astype(np.float32, copy=False), height, width)


def open_image(image: Union[PathLike, np.ndarray]) -> np.ndarray:
    """(H, W, 3) RGB, uint8 or float32 in 0..255, from a path or as it is. Raises ImageError for what is no picture."""
    return check_image(read_image(image) if isinstance(image, (str, os.PathLike)) else image)


def prepare(image: Union[PathLike, np.ndarray], preprocess: Preprocess, resizing: bool = True) -> np.ndarray:
    """The input of a network for inference: a path, or (H, W, 3) RGB, uint8 or float32 in 0..255 -> (3, h, w) float32.

    Without ``resizing`` h, w are H, W. Raises ImageError for what is no picture.
    """
    image = open_image(image)
    size = (image.shape[0], image.shape[1])
    if resizing:
        size = resize_size(*size, preprocess.short[-1], preprocess.max_size, preprocess.rounding)
    return to_input(image, size, preprocess)


def to_input(image: np.ndarray, size: Tuple[int, int], preprocess: Preprocess) -> np.ndarray:
    """What the network sees of a picture: (H, W, 3) uint8 or float32 in 0..255, RGB -> (3, h, w) float32.

    Resized to ``size`` (h, w), normalised, channels in ``preprocess.order``; a new array.
    """
    resized = resize(image, *size, preprocess.resize)
    mean, std = preprocess.mean, preprocess.std
    if preprocess.order == "BGR":
        resized, mean, std = resized[:, :, ::-1], mean[::-1], std[::-1]
    pixels = np.array(resized.transpose(2, 0, 1), np.float32, order="C")
    if preprocess.normalize:
        pixels -= np.array(mean, np.float32).reshape(3, 1, 1)
        pixels /= np.array(std, np.float32).reshape(3, 1, 1)
    return pixels


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 -> (height, width, 3) float32, with the arithmetic of torch's ``interpolate``."""
    low, high, weights = _neighbours(image.shape[1], width)
    rows = image.take(low, axis=1)
    rows *= 1 - weights[:, None]
    part = image.take(high, axis=1)
    part *= weights[:, None]
    rows += part
    result, row = np.empty((height, width, 3), np.float32), np.empty((width, 3), np.float32)
    for i, (above, below, weight) in enumerate(zip(*_neighbours(image.shape[0], height))):  # a row stays in the cache
        np.multiply(rows[above], 1 - weight, out=result[i])
        np.multiply(rows[below], weight, out=row)
        result[i] += row
    return result


def _neighbours(before: int, after: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``after`` places: the two of ``before`` it lies between, and the second's weight, float32."""
    scale = float(np.float32(before) / np.float32(after))
    # a fused multiply-add: float32 in and out, exact between
    places = np.maximum((scale * (np.arange(after) + 0.5) - 0.5).astype(np.float32), 0)
    low = np.minimum(places.astype(np.intp), before - 1)
    return low, np.minimum(low + 1, before - 1), np.clip(places - low, 0, 1).astype(np.float32)


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
