"""Pillow's images of every mode become RGB arrays of bytes."""

from gluonnorm.photos.levels import (
    WHITE_16_BITS,
    ImageError,
    check_16_bits,
    floats_to_bytes,
    integers_to_bytes,
)

import numpy as np
from PIL import Image

# Tags of TIFF files.
BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262
SAMPLE_FORMAT = 339
WHITE_IS_ZERO = 0  # a value of PHOTOMETRIC
UNSIGNED = 1  # a value of SAMPLE_FORMAT
SIGNED = 2
# Formats whose 32-bit integers in Pillow are 16-bit numbers of the file, with 65535 for white.
SCALED_FORMATS = ("PNG", "PPM")


def to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """Convert a Pillow image of any mode to an RGB array.

    Parameters
    ----------
    image : PIL.Image.Image
        The image, not loaded yet if it comes from a file: only then does it tell how many bits the
        file has.
    name : str
        The beginning of an error message.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.

    Raises
    ------
    ImageError
        Numbers without a range that is known, see ``levels``; or an image that is transparency
        alone.
    """
    bits = _stored_bits(image)
    _refuse_signed(image, name)
    image.load()
    if image.mode == "F":
        return _gray(floats_to_bytes(np.asarray(image), name))
    if image.mode.startswith("I"):
        return _gray(_wide_gray(image, bits, name))
    # A palette may contain transparency, which Pillow converts to RGB only by way of RGBA.
    if image.mode in ("P", "PA", "La"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    # Converting RGB to RGB would copy the image.
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    _refuse_pure_transparency(image, pixels, name)
    if bits == 16:
        # Pillow has kept the upper 8 of 16 bits, so this is the most that the file can hold.
        check_16_bits(int(pixels.max()) * 256 + 255, name)
    return pixels


def _stored_bits(image: Image.Image) -> int:
    """Bits of a channel in the file; 8 if the image does not tell.

    Pillow 10 to 13 convert color of 16 bits to 8 bits, and tell this only by the name of the
    conversion.
    """
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        return int(max(tags.get(BITS_PER_SAMPLE, (1,))))
    if image.format == "PNG":
        return 16 if "16B" in str(getattr(image, "tile", "")) else 8
    return 8


def _refuse_signed(image: Image.Image, name: str) -> None:
    """Raise ImageError for a TIFF file of signed integers: Pillow reads -1 as 255."""
    tags = getattr(image, "tag_v2", None)
    formats = (UNSIGNED,) if tags is None else tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    if SIGNED in formats:
        raise ImageError(
            f"{name} holds signed integers, for which no white is known; convert it to 8 bits"
        )


def _wide_gray(image: Image.Image, bits: int, name: str) -> np.ndarray:
    """Convert integers of more than 8 bits to (H, W) uint8."""
    is_wide = image.mode.startswith("I;16") or image.format in SCALED_FORMATS
    if not is_wide:
        raise ImageError(
            f"{name} holds 32-bit integers, for which no white is known; convert it to 8 bits"
        )
    values = np.asarray(image)
    # The decoder of PPM has scaled the values by the white that the file states.
    if image.format == "PPM":
        return (values // 257).astype(np.uint8)
    white = WHITE_16_BITS if bits in (8, 16) else (1 << bits) - 1
    levels = integers_to_bytes(values, white, name)
    tags = getattr(image, "tag_v2", {})
    # Pillow inverts such files of 8 bits, but not those of 16.
    return 255 - levels if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else levels


def _refuse_pure_transparency(image: Image.Image, pixels: np.ndarray, name: str) -> None:
    """Raise ImageError if the colors are all the same and only the transparency has a shape."""
    if image.mode not in ("RGBA", "LA", "RGBa"):
        return
    transparency = np.asarray(image.getchannel(image.getbands()[-1]))
    if transparency.min() < transparency.max() and (pixels == pixels[0, 0]).all():
        raise ImageError(
            f"{name} has one color everywhere, and its shapes in its transparency, which is "
            "dropped; paste it on a background first"
        )


def _gray(levels: np.ndarray) -> np.ndarray:
    """Repeat (H, W) gray levels as red, green and blue: (H, W, 3)."""
    return np.repeat(levels[:, :, None], 3, axis=2)
