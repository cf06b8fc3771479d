"""Mirror a photo from top to bottom, and turn it by right angles, together with its objects."""

from dataclasses import dataclass

from gluonnorm.photos.annotated import AnnotatedPhoto, check_share
from gluonnorm.photos.boxes import flip_boxes

import numpy as np

QUARTERS = 4  # of a full turn


@dataclass(frozen=True)
class VerticalFlip:
    """Mirror photos from top to bottom, as torchvision's RandomVerticalFlip.

    It is for photos without an up and down: through a microscope, or from the air.

    Attributes
    ----------
    probability : float
        The share of photos that are mirrored, 0 to 1.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_share("probability", self.probability)

    def __call__(self, photo: AnnotatedPhoto, rng: np.random.Generator) -> AnnotatedPhoto:
        """Mirror a photo, or leave it as it is.

        Parameters
        ----------
        photo : AnnotatedPhoto
            The photo.
        rng : numpy.random.Generator
            Decides.

        Returns
        -------
        AnnotatedPhoto
            The photo, its boxes and its masks.
        """
        return flip_vertically(photo) if rng.random() < self.probability else photo


@dataclass(frozen=True)
class QuarterTurn:
    """Turn photos by 0, 90, 180 or 270 degrees, each as often (Cohen and Welling 2016, group p4).

    Right angles move pixels and interpolate none, so boxes and masks stay exact.

    Attributes
    ----------
    probability : float
        The share of photos that are turned, 0 to 1; the angle of these is 90, 180 or 270 degrees.
        With 0.75 all four directions are equally frequent.
    """

    probability: float = 0.75

    def __post_init__(self) -> None:
        check_share("probability", self.probability)

    def __call__(self, photo: AnnotatedPhoto, rng: np.random.Generator) -> AnnotatedPhoto:
        """Turn a photo, or leave it as it is.

        Parameters
        ----------
        photo : AnnotatedPhoto
            The photo.
        rng : numpy.random.Generator
            Decides, and chooses the angle.

        Returns
        -------
        AnnotatedPhoto
            The photo, its boxes and its masks.
        """
        if rng.random() >= self.probability:
            return photo
        return turn(photo, int(rng.integers(1, QUARTERS)))


def flip_vertically(photo: AnnotatedPhoto) -> AnnotatedPhoto:
    """Mirror a photo from top to bottom.

    Parameters
    ----------
    photo : AnnotatedPhoto
        The photo.

    Returns
    -------
    AnnotatedPhoto
        The photo whose first row was the last one.
    """
    # In a transposed photo top and bottom are left and right.
    transposed_boxes = _swap_axes(photo.boxes)
    boxes = _swap_axes(flip_boxes(transposed_boxes, photo.image.shape[0]))
    masks = None if photo.masks is None else photo.masks[:, ::-1]
    return photo._replace(image=photo.image[::-1], boxes=boxes, masks=masks)


def turn(photo: AnnotatedPhoto, quarters: int) -> AnnotatedPhoto:
    """Turn a photo counterclockwise by right angles, as ``numpy.rot90`` does.

    Parameters
    ----------
    photo : AnnotatedPhoto
        The photo.
    quarters : int
        How many right angles.

    Returns
    -------
    AnnotatedPhoto
        The turned photo.

    Examples
    --------
    >>> photo = AnnotatedPhoto(np.zeros((4, 6, 3), np.uint8), np.float32([[0, 0, 2, 1]]),
    ...                        np.int32([0]), np.array([False]))
    >>> turned = turn(photo, 1)
    >>> turned.image.shape, turned.boxes.tolist()
    ((6, 4, 3), [[0.0, 4.0, 1.0, 6.0]])
    """
    boxes = photo.boxes
    height, width = photo.image.shape[:2]
    for _ in range(quarters % QUARTERS):
        # The right edge goes to the top, and the top edge to the left.
        boxes = _swap_axes(flip_boxes(boxes, width))
        height, width = width, height
    masks = None if photo.masks is None else np.rot90(photo.masks, quarters, axes=(1, 2))
    return photo._replace(image=np.rot90(photo.image, quarters), boxes=boxes, masks=masks)


def _swap_axes(boxes: np.ndarray) -> np.ndarray:
    """Exchange x and y of boxes (N, 4)."""
    return boxes[:, [1, 0, 3, 2]]
