"""Gray levels: the numbers of a file or an array become 0..255, or an error says why not.

A picture of bytes has a range by its type. Other numbers mean what their author decided: 0..1,
0..4095, meters. Reading them in a wrong range gives a black picture, on which a network detects
nothing, and nobody is told.
"""

import math

from gluonnorm.errors import InputError

import numpy as np

OVERSHOOT = 64  # gray levels by which sharpening or cubic resizing may leave 0..255
# A picture of floats whose values are all closer to 0 than this is black to the eye. Pixels in 0..1
# and pixels that are normalized by mean and standard deviation are.
BLACK = 4.0
WHITE_16_BITS = 65535
# A 16-bit picture whose values are all below this has 14 bits or fewer, as cameras for microscopes
# and for heat have. Read as 16 bits it would have less than a quarter of the brightness.
LEAST_WHITE = 1 << 14


class ImageError(InputError):
    """A file that cannot be read as an image, or an array that is not an image.

    The message is one line and names the file.
    """


def check_floats(image: np.ndarray, name: str = "image") -> None:
    """Check that a picture of floats has values in 0..255.

    Parameters
    ----------
    image : numpy.ndarray
        Of any shape with at least one number, of floating-point numbers.
    name : str
        The beginning of an error message.

    Raises
    ------
    ImageError
        NaN or infinity; values far outside 0..255; values so close to 0 that they are in 0..1 or
        normalized. A picture that is 0 everywhere is black in any range, and passes.
    """
    low = float(image.min())
    high = float(image.max())
    # A NaN anywhere makes the minimum and the maximum NaN, so looking at both finds it without
    # another pass.
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(f"{name} holds NaN or infinity; want float32 in 0..255")
    if low < -OVERSHOOT or high > 255 + OVERSHOOT:
        raise ImageError(
            f"{name} holds values from {low:.6g} to {high:.6g}; "
            "want float32 in 0..255, not normalized; scale the values first"
        )
    if 0 < max(-low, high) < BLACK:
        raise ImageError(
            f"{name} holds values from {low:.6g} to {high:.6g}, which are black in 0..255; "
            "multiply values in 0..1 by 255, and leave normalization to the network's own"
        )


def floats_to_bytes(image: np.ndarray, name: str) -> np.ndarray:
    """Round a picture of floats in 0..255 to bytes.

    Parameters
    ----------
    image : numpy.ndarray
        Of any shape, of floating-point numbers.
    name : str
        The beginning of an error message.

    Returns
    -------
    numpy.ndarray
        The same shape, uint8.

    Raises
    ------
    ImageError
        As for ``check_floats``.
    """
    check_floats(image, name)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def integers_to_bytes(image: np.ndarray, white: int, name: str) -> np.ndarray:
    """Scale a picture of integers to bytes.

    Parameters
    ----------
    image : numpy.ndarray
        Of any shape, of integers.
    white : int
        The value of white. It becomes 255.
    name : str
        The beginning of an error message.

    Returns
    -------
    numpy.ndarray
        The same shape, uint8.

    Raises
    ------
    ImageError
        ``white`` is that of 16 bits, and the values have 14 bits or fewer.

    Examples
    --------
    >>> integers_to_bytes(np.array([0, 257, 65535]), white=65535, name="a.png").tolist()
    [0, 1, 255]
    """
    if white == WHITE_16_BITS:
        check_16_bits(int(image.max()), name)
    return (image.astype(np.int64) * 255 // white).astype(np.uint8)


def check_16_bits(brightest: int, name: str) -> None:
    """Check that a 16-bit picture uses its range.

    Parameters
    ----------
    brightest : int
        The largest value, in 0..65535. A picture that is 0 everywhere passes.
    name : str
        The beginning of an error message.

    Raises
    ------
    ImageError
        The values have 14 bits or fewer. They would become a dark or black picture.
    """
    if 0 < brightest < LEAST_WHITE:
        raise ImageError(
            f"{name} has 16 bits a channel, but no value above {brightest}: of 0..{WHITE_16_BITS} "
            f"that is too dark to be meant; multiply the values by {WHITE_16_BITS} / white, or "
            "convert the picture to 8 bits"
        )
