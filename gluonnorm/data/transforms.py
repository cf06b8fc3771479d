"""Turn a labeled image into a training or evaluation sample: resize, mirror and normalize it.

The image, its boxes and its masks are transformed together.
"""

from dataclasses import replace
from typing import NamedTuple, Optional, Sequence

from gluonnorm.data.images import data_errors
from gluonnorm.data.labeled_image import LabeledImage
from gluonnorm.data.masks import crop_masks
from gluonnorm.data.objects import boxes_to_learn
from gluonnorm.errors import InputError
from gluonnorm.photos.annotated import AnnotatedPhoto
from gluonnorm.photos.augment import Augment, apply_augments
from gluonnorm.photos.boxes import flip_boxes, inclusive_corners
from gluonnorm.photos.prepare import prepare
from gluonnorm.types import Preprocess

import numpy as np

#: Cells along each side of a ground-truth mask: four for each cell of the finest mask head, which
#: returns 28 x 28. The loss resamples the mask to each RoI; with fewer cells, detail would be lost.
MASK_SIZE = 112


class Sample(NamedTuple):
    """One image ready for a batch, with the G boxes to train on.

    Crowd boxes are left out, and boxes less than a pixel wide or high, in the image as it was or
    resized. G may be 0.

    Attributes
    ----------
    image : numpy.ndarray
        (3, H', W') float32, resized; normalized and in RGB or BGR as ``preprocess`` demands.
    boxes : numpy.ndarray
        (G, 4) float32, rows ``x1 y1 x2 y2`` in pixels of the resized image. If ``inclusive``, the
        far corner is where the last pixel of the original box went.
    labels : numpy.ndarray
        (G,) int32, 0-based foreground class of each box.
    scale : numpy.ndarray
        (2,) float32, resized length divided by original length, along x and along y.
    size : numpy.ndarray
        (2,) int32, height and width of the original image in pixels.
    image_id : int
        The image's id in ``Dataset.coco_truth``.
    name : str
        The image's file name, for messages.
    masks : numpy.ndarray or None
        (G, S, S) float32 in 0..1 with S = ``MASK_SIZE``: the part of each cell of a grid over the
        box that the mask covers. None if the data set has no masks.
    inclusive : bool
        ``Preprocess.inclusive``: whether the far corner of a box is its last pixel.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scale: np.ndarray
    size: np.ndarray
    image_id: int
    name: str
    masks: Optional[np.ndarray] = None
    inclusive: bool = False


class TrainTransform:
    """Change an image at random, resize it to a random length of its short side, and mirror it.

    Parameters
    ----------
    preprocess : Preprocess
        How the network's input is made. Each image gets one of the lengths ``preprocess.short``.
    flip : float
        Probability in 0..1 that an image is mirrored left to right.
    augments : sequence of callable
        Changes of the photo before it is resized, one after the other: what
        ``photos.augment.make_augment`` returns, or functions of your own. Each is called as
        ``augment(photo, rng)`` and returns an ``AnnotatedPhoto``.

    Raises
    ------
    InputError
        ``flip`` is not a probability.

    Examples
    --------
    >>> image = np.zeros((60, 80, 3), np.uint8)
    >>> boxes = np.float32([[0, 0, 20, 30]])
    >>> labeled = LabeledImage(image, boxes, np.int32([0]), np.array([False]), 7, "a.jpg")
    >>> transform = TrainTransform(Preprocess(short=(30,), max_size=100), flip=1)
    >>> sample = transform(labeled, np.random.default_rng(0))
    >>> sample.image.shape, sample.boxes.tolist()
    ((3, 30, 40), [[30.0, 0.0, 40.0, 15.0]])
    """

    def __init__(
        self, preprocess: Preprocess, flip: float = 0.5, augments: Sequence[Augment] = ()
    ) -> None:
        if not 0 <= flip <= 1:
            raise InputError(f"flip is {flip}; want a probability in 0..1")
        self._preprocess = preprocess
        self._flip = flip
        self._augments = tuple(augments)

    def __call__(self, labeled: LabeledImage, rng: np.random.Generator) -> Sample:
        """Make the training sample of one image.

        Parameters
        ----------
        labeled : LabeledImage
            The image and its annotations.
        rng : numpy.random.Generator
            Chooses the length of the short side, whether the image is mirrored, and what the
            augments do.

        Returns
        -------
        Sample
            The network's input and the boxes to train on.

        Raises
        ------
        DataError
            The image is not an RGB image.
        InputError
            A function of the user among the augments returned something that does not fit.
        """
        lengths = self._preprocess.short
        length = lengths[rng.integers(len(lengths))]
        mirror = bool(rng.random() < self._flip)
        if self._augments:
            labeled = self._augmented(labeled, rng)
        return _make_sample(labeled, replace(self._preprocess, short=(length,)), mirror)

    def _augmented(self, labeled: LabeledImage, rng: np.random.Generator) -> LabeledImage:
        """Apply the augments to an image and its annotations."""
        # A data set may keep its arrays in memory. With copies, a function of the user that writes
        # into them does not change the image for all epochs to come.
        photo = AnnotatedPhoto(
            labeled.image.copy(),
            labeled.boxes.copy(),
            labeled.labels.copy(),
            labeled.crowd.copy(),
            None if labeled.masks is None else labeled.masks.copy(),
        )
        try:
            changed = apply_augments(photo, self._augments, rng)
        except InputError as error:
            raise InputError(f"{labeled.name}: {error}") from error
        return labeled._replace(**changed._asdict())


class EvalTransform:
    """Resize an image for evaluation, to the last of the lengths ``preprocess.short``.

    Parameters
    ----------
    preprocess : Preprocess
        How the network's input is made.

    Examples
    --------
    >>> image = np.zeros((60, 80, 3), np.uint8)
    >>> no_boxes = np.zeros((0, 4), np.float32)
    >>> labeled = LabeledImage(image, no_boxes, np.int32([]), np.array([], bool), 7, "a.jpg")
    >>> EvalTransform(Preprocess(short=(15, 30), max_size=100))(labeled).image.shape
    (3, 30, 40)
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self._preprocess = preprocess

    def __call__(self, labeled: LabeledImage) -> Sample:
        """Make the evaluation sample of one image, which is never mirrored.

        Parameters
        ----------
        labeled : LabeledImage
            The image and its annotations.

        Returns
        -------
        Sample
            The network's input and the image's boxes.

        Raises
        ------
        DataError
            The image is not an RGB image.
        """
        return _make_sample(labeled, self._preprocess, mirror=False)


def _make_sample(labeled: LabeledImage, preprocess: Preprocess, mirror: bool) -> Sample:
    """Prepare the image as inference does, and move its boxes and masks along."""
    with data_errors(labeled.name):
        photo = prepare(labeled.image, preprocess)
    pixels = photo.pixels
    photo_boxes = labeled.boxes
    pixel_width = 0.0  # of the photo's pixels in the resized image, as far as corners skip one
    if preprocess.inclusive:
        photo_boxes = inclusive_corners(photo_boxes)
        pixel_width = float(photo.scale[0])
    boxes = photo_boxes * np.tile(photo.scale, 2)
    if mirror:
        pixels = np.ascontiguousarray(pixels[:, :, ::-1])
        boxes = flip_boxes(boxes, pixels.shape[2] - pixel_width)
    keep = boxes_to_learn(labeled.boxes, labeled.crowd, photo.scale, preprocess.inclusive)
    return Sample(
        image=pixels,
        boxes=boxes[keep],
        labels=labeled.labels[keep],
        scale=photo.scale,
        size=np.array(photo.size, np.int32),
        image_id=labeled.image_id,
        name=labeled.name,
        masks=_sample_masks(labeled, photo_boxes, keep, mirror),
        inclusive=preprocess.inclusive,
    )


def _sample_masks(
    labeled: LabeledImage, photo_boxes: np.ndarray, keep: np.ndarray, mirror: bool
) -> Optional[np.ndarray]:
    """Crop the masks to the kept boxes of the photo: (kept, S, S) float32; None without masks."""
    if labeled.masks is None:
        return None
    # A crop is relative to its box, so it can be taken from the original image, before resizing.
    crops = crop_masks(labeled.masks[keep], photo_boxes[keep], MASK_SIZE)
    return np.ascontiguousarray(crops[:, :, ::-1]) if mirror else crops
