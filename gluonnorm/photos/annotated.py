"""A photo with the boxes and masks of its objects, which are moved along with its pixels."""

from typing import NamedTuple, Optional

from gluonnorm.errors import InputError
from gluonnorm.types import Shape, is_number

import numpy as np

KINDS = {"u": "unsigned integers", "i": "integers", "f": "floats", "b": "bool"}
SLACK = 1e-3  # pixels by which rounding may move a corner out of the photo


class AnnotatedPhoto(NamedTuple):
    """A photo and its N annotated objects, in the pixels of the photo. N may be 0.

    Attributes
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8 or float32 in 0..255, RGB.
    boxes : numpy.ndarray
        (N, 4) float32, rows ``x1 y1 x2 y2``, ``x2 - x1`` wide.
    labels : numpy.ndarray
        (N,) int32, the class of each object.
    crowd : numpy.ndarray
        (N,) bool, objects that are not trained on.
    masks : numpy.ndarray or None
        (N, H, W) bool, the pixels of each object; None without masks.

    Examples
    --------
    >>> photo = AnnotatedPhoto(np.zeros((4, 6, 3), np.uint8), np.float32([[0, 0, 2, 1]]),
    ...                        np.int32([0]), np.array([False]))
    >>> photo.select(np.array([False])).boxes.shape
    (0, 4)
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    masks: Optional[np.ndarray] = None

    def select(self, keep: np.ndarray) -> "AnnotatedPhoto":
        """Return the photo with some of its objects.

        Parameters
        ----------
        keep : numpy.ndarray
            (N,) bool, or the indices of the objects that stay.

        Returns
        -------
        AnnotatedPhoto
            The same image; boxes, labels, crowd and masks of these objects.
        """
        return AnnotatedPhoto(
            self.image,
            self.boxes[keep],
            self.labels[keep],
            self.crowd[keep],
            None if self.masks is None else self.masks[keep],
        )


def check_annotated(photo: AnnotatedPhoto) -> None:
    """Check that a photo and its annotations fit together, as after a transform of the user.

    The values of the pixels are checked where the photo becomes the input of the network.

    Parameters
    ----------
    photo : AnnotatedPhoto
        What a transform returned.

    Raises
    ------
    InputError
        It is no ``AnnotatedPhoto``, an array has another shape or dtype, or a box is outside the
        photo.
    """
    if not isinstance(photo, AnnotatedPhoto):
        raise InputError(f"it returned {type(photo).__name__}; want photo._replace(image=...)")
    height, width = np.shape(photo.image)[:2] if np.ndim(photo.image) == 3 else (1, 1)
    count = len(photo.labels)
    _check_array("an image", photo.image, (height, width, 3), "uf")
    _check_array("boxes", photo.boxes, (count, 4), "f")
    _check_array("labels", photo.labels, (count,), "iu")
    _check_array("crowd", photo.crowd, (count,), "b")
    if photo.masks is not None:
        _check_array("masks", photo.masks, (count, height, width), "b")
    limits = np.array([width, height, width, height]) + SLACK
    # A comparison with NaN is False, so NaN is outside, too.
    is_inside = (photo.boxes >= -SLACK) & (photo.boxes <= limits)
    if not is_inside.all():
        outside = photo.boxes[~is_inside.all(axis=1)][0].tolist()
        raise InputError(
            f"it returned the box {outside} for a photo of {width} x {height} pixels; cut boxes "
            "with photos.boxes.clip_boxes"
        )


def check_share(name: str, value: float) -> None:
    """Raise InputError if a setting is no share of something.

    Parameters
    ----------
    name : str
        The name of the setting.
    value : float
        Its value, which must be in 0 to 1.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; want a number from 0 to 1")


def _check_array(name: str, array: np.ndarray, shape: Shape, kinds: str) -> None:
    """Raise InputError if an array has another shape, or a dtype of another kind."""
    array = np.asarray(array)
    if array.shape != shape or array.dtype.kind not in kinds:
        raise InputError(
            f"it returned {name} of shape {array.shape} and type {array.dtype}; want {shape}, "
            f"{' or '.join(KINDS[kind] for kind in kinds)}"
        )
