"""Change brightness, contrast, saturation and hue of photos at random."""

from dataclasses import dataclass
from typing import Tuple

from gluonnorm.errors import InputError
from gluonnorm.photos.annotated import AnnotatedPhoto, check_share

import numpy as np

WHITE = 255
# The gray level of a color: luma of ITU-R BT.601, as Pillow and torchvision compute it.
LUMA = np.array([0.299, 0.587, 0.114])
# What red and blue have more than the gray of the same luma; both are exactly 0 for a gray.
RED_EXCESS = np.array([1, 0, 0]) - LUMA
BLUE_EXCESS = np.array([0, 0, 1]) - LUMA
# From RGB to luma and two axes of color (the YIQ system of NTSC). Hue is the angle in the plane of
# the two axes; MXNet's HueJitterAug and GluonCV turn it in the same way.
TO_YIQ = np.array(
    [LUMA, 0.736 * RED_EXCESS - 0.268 * BLUE_EXCESS, 0.478 * RED_EXCESS + 0.413 * BLUE_EXCESS]
)
FROM_YIQ = np.linalg.inv(TO_YIQ)


@dataclass(frozen=True)
class ColorJitter:
    """Change the colors of photos, as SSD does (Liu et al. 2016) and torchvision's ColorJitter.

    The four changes are linear in the colors, so they are joined to one, and the pixels are rounded
    and cut to 0..255 once, at the end. The gray level of a photo for the contrast is its mean.

    Attributes
    ----------
    brightness : float
        Colors are multiplied by a factor in ``1 - brightness`` to ``1 + brightness``.
    contrast : float
        The distance of colors from the mean gray level, likewise.
    saturation : float
        The distance of colors from the gray of the same luma, likewise.
    hue : float
        The color circle is turned by up to this share of a full turn, in either direction; at most
        0.5.
    probability : float
        Each of the four changes is made with this probability, 0 to 1.
    """

    brightness: float = 0.125
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.05
    probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "hue", "probability"):
            check_share(name, getattr(self, name))
        if self.hue > 0.5:
            raise InputError(f"hue is {self.hue}; want a share of a full turn, 0 to 0.5")

    def __call__(self, photo: AnnotatedPhoto, rng: np.random.Generator) -> AnnotatedPhoto:
        """Change the colors of a photo.

        Parameters
        ----------
        photo : AnnotatedPhoto
            The photo.
        rng : numpy.random.Generator
            Chooses the changes.

        Returns
        -------
        AnnotatedPhoto
            The photo with other colors, of the same dtype.
        """
        # All numbers are drawn in any case, so one setting does not change what others draw.
        is_changed = rng.random(4) < self.probability
        amounts = rng.uniform(-1, 1, 4) * is_changed
        brightness, contrast, saturation = amounts[:3] * (
            self.brightness,
            self.contrast,
            self.saturation,
        )
        if not is_changed.any():
            return photo
        image = change_colors(
            photo.image, 1 + brightness, 1 + contrast, 1 + saturation, amounts[3] * self.hue
        )
        return photo._replace(image=image)


def change_colors(
    image: np.ndarray, brightness: float, contrast: float, saturation: float, hue: float
) -> np.ndarray:
    """Change brightness, then contrast, saturation and hue.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8 or float32 in 0..255, RGB.
    brightness, contrast, saturation : float
        Factors; 1 changes nothing.
    hue : float
        A share of a full turn; 0 changes nothing.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) of the same dtype, in 0..255.

    Examples
    --------
    >>> gray = np.full((1, 1, 3), 100, np.uint8)
    >>> change_colors(gray, 1.5, 1, 1, 0).tolist(), change_colors(gray, 1, 1, 0.5, 0.2).tolist()
    ([[[150, 150, 150]]], [[[100, 100, 100]]])
    """
    matrix, offset = _color_map(brightness, contrast, saturation, hue, _mean_color(image))
    height, width = image.shape[:2]
    pixels = image.reshape(-1, 3).astype(np.float32, copy=False)
    changed = (pixels @ matrix.T.astype(np.float32)).reshape(height, 3 * width)
    # NumPy adds a row of the photo much faster than three numbers to each pixel.
    changed += np.tile(offset.astype(np.float32), width)
    if image.dtype == np.uint8:
        np.rint(changed, out=changed)
    np.clip(changed, 0, WHITE, out=changed)
    return changed.astype(image.dtype, copy=False).reshape(image.shape)


def _color_map(
    brightness: float, contrast: float, saturation: float, hue: float, mean_color: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Join the four changes to ``matrix @ color + offset``: (3, 3) and (3,)."""
    matrix = brightness * contrast * np.eye(3)
    mean_gray = brightness * (LUMA @ mean_color)
    offset = np.full(3, (1 - contrast) * mean_gray)
    angle = 2 * np.pi * hue
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    to_saturation = saturation * np.eye(3) + (1 - saturation) * np.tile(LUMA, (3, 1))
    color_change = FROM_YIQ @ turn @ TO_YIQ @ to_saturation
    return color_change @ matrix, color_change @ offset


def _mean_color(image: np.ndarray) -> np.ndarray:
    """The mean red, green and blue of a photo, (3,)."""
    height, width = image.shape[:2]
    # The sum over columns of bytes is exact; `mean` would convert every pixel first.
    sum_type = np.uint32 if image.dtype == np.uint8 else np.float64
    column_sums = image.sum(axis=0, dtype=sum_type)
    return column_sums.sum(axis=0) / (height * width)
