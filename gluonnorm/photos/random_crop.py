"""Cut a random part out of a photo, with the objects that are in it."""

from dataclasses import dataclass
from typing import NamedTuple

from gluonnorm.errors import InputError
from gluonnorm.photos.annotated import AnnotatedPhoto, check_share
from gluonnorm.photos.boxes import box_area, clip_boxes
from gluonnorm.types import Shape

import numpy as np


class CropWindow(NamedTuple):
    """A part of a photo: the first column and row, and its size, in whole pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class RandomCrop:
    """Cut random parts out of photos, without losing every object (SSD, Liu et al. 2016).

    A part is taken only if an object to learn from stays in it, if the photo has one. Objects of
    which too little is left are removed, the others are cut. The part is resized like a photo, so
    its objects become larger.

    Attributes
    ----------
    min_scale : float
        Width and height of the part are drawn, each for itself, from this share of the photo's to
        all of it; more than 0, at most 1.
    min_visible : float
        An object stays if at least this share of its box is in the part; more than 0, at most 1.
    min_kept : float
        A part is taken only if at least this share of the objects to learn from stays, 0 to 1. With
        1, and ``min_visible`` 1, no object is lost or cut.
    probability : float
        The share of photos that are cut, 0 to 1.
    attempts : int
        How many parts are tried until one is taken; without success the photo is not cut.
    """

    min_scale: float = 0.5
    min_visible: float = 0.5
    min_kept: float = 0.0
    probability: float = 0.5
    attempts: int = 20

    def __post_init__(self) -> None:
        for name in ("min_scale", "min_visible", "min_kept", "probability"):
            check_share(name, getattr(self, name))
        if self.min_scale == 0 or self.min_visible == 0:
            raise InputError("min_scale and min_visible must be more than 0")
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise InputError(f"attempts is {self.attempts!r}; want an integer of at least 1")

    def __call__(self, photo: AnnotatedPhoto, rng: np.random.Generator) -> AnnotatedPhoto:
        """Cut a photo, or leave it as it is.

        Parameters
        ----------
        photo : AnnotatedPhoto
            The photo.
        rng : numpy.random.Generator
            Decides, and chooses the part.

        Returns
        -------
        AnnotatedPhoto
            The part, with its objects. It has one to learn from if the photo has one.
        """
        if rng.random() >= self.probability:
            return photo
        objects = int((~photo.crowd).sum())
        fewest = max(self.min_kept * objects, min(objects, 1))
        for _ in range(self.attempts):
            window = self._draw_window(photo.image.shape, rng)
            part = crop(photo, window, self.min_visible)
            if (~part.crowd).sum() >= fewest:
                return part
        return photo

    def _draw_window(self, shape: Shape, rng: np.random.Generator) -> CropWindow:
        """Draw size and place of a part of a photo of this shape."""
        height, width = shape[:2]
        part_height = max(1, round(height * rng.uniform(self.min_scale, 1)))
        part_width = max(1, round(width * rng.uniform(self.min_scale, 1)))
        top = int(rng.integers(height - part_height + 1))
        left = int(rng.integers(width - part_width + 1))
        return CropWindow(left, top, part_width, part_height)


def crop(photo: AnnotatedPhoto, window: CropWindow, min_visible: float) -> AnnotatedPhoto:
    """Cut a part out of a photo.

    Parameters
    ----------
    photo : AnnotatedPhoto
        The photo.
    window : CropWindow
        The part.
    min_visible : float
        The share of a box that must be in the part for its object to stay.

    Returns
    -------
    AnnotatedPhoto
        The part. Boxes that were cut end at its border; with masks, they are the smallest boxes
        around what is left of their masks.
    """
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    corner = np.array([window.left, window.top] * 2, np.float32)
    moved = photo.boxes - corner
    clipped = clip_boxes(moved, window.height, window.width)
    area = np.maximum(box_area(photo.boxes), np.finfo(np.float32).tiny)
    keep = box_area(clipped) >= min_visible * area
    is_cut = (clipped != moved).any(axis=1)
    masks = None
    if photo.masks is not None:
        masks = photo.masks[:, rows, columns]
        # An object whose visible part has no pixel cannot be learned.
        keep &= masks.any(axis=(1, 2)) | ~is_cut
        clipped = _shrink_to_masks(clipped, masks, is_cut & keep)
    part = photo._replace(image=photo.image[rows, columns], boxes=clipped, masks=masks)
    return part.select(keep)


def _shrink_to_masks(boxes: np.ndarray, masks: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Shrink the chosen boxes to the pixels of their masks."""
    shrunk = boxes.copy()
    for index in np.flatnonzero(chosen):
        filled_rows = np.flatnonzero(masks[index].any(axis=1))
        filled_columns = np.flatnonzero(masks[index].any(axis=0))
        first = np.array([filled_columns[0], filled_rows[0]], np.float32)
        end = np.array([filled_columns[-1] + 1, filled_rows[-1] + 1], np.float32)
        shrunk[index, :2] = np.maximum(shrunk[index, :2], first)
        shrunk[index, 2:] = np.minimum(shrunk[index, 2:], end)
    return shrunk
