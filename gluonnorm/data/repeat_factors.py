"""How often images with rare classes are repeated in an epoch (LVIS, Gupta et al. 2019)."""

from typing import Optional

from gluonnorm.data.labeled_image import Dataset
from gluonnorm.data.listing import listing_of
from gluonnorm.data.objects import list_objects
from gluonnorm.errors import InputError
from gluonnorm.types import Preprocess

import numpy as np


def repeat_factors(
    dataset: Dataset, threshold: float, preprocess: Optional[Preprocess] = None
) -> np.ndarray:
    """Compute how often each image should occur in an epoch, so that rare classes are seen.

    With f(c), the share of images that have class c, the factor of a class is ``max(1,
    sqrt(threshold / f(c)))``, and that of an image the largest of its classes (Gupta et al. 2019,
    "LVIS", section 5; Detectron2's ``RepeatFactorTrainingSampler``). Boxes that are not trained on
    do not count: crowd, and those less than a pixel wide or high.

    Parameters
    ----------
    dataset : Dataset
        N images and their ground truth.
    threshold : float
        Classes that fewer images have than this share are repeated, more than 0, at most 1; LVIS
        has 0.001.
    preprocess : Preprocess, optional
        How the network wants its images. Boxes are then judged after resizing as well.

    Returns
    -------
    numpy.ndarray
        (N,) float64, at least 1.

    Raises
    ------
    InputError
        ``threshold`` is out of range.
    """
    if not 0 < threshold <= 1:
        raise InputError(
            f"threshold is {threshold}; want a share of the images, above 0, at most 1"
        )
    listing = listing_of(dataset)
    objects = list_objects(listing, preprocess)
    pairs = np.stack([objects.images, objects.labels], axis=1)[objects.learnable]
    images, labels = np.unique(pairs, axis=0).T
    factors = np.ones(len(listing.image_names))
    shares = np.bincount(labels) / len(factors)
    np.maximum.at(factors, images, np.sqrt(threshold / shares[labels]))
    return factors


def images_of_epoch(repeats: np.ndarray) -> int:
    """Count the images of an epoch, repeated ones as often as they occur.

    Parameters
    ----------
    repeats : numpy.ndarray
        (N,), how often each image occurs on average.

    Returns
    -------
    int
        The sum, rounded up.
    """
    # A sum such as 6.000000001 is 6 that was rounded.
    return int(np.ceil(repeats.sum() - 1e-9))


def draw_counts(repeats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw how often each image occurs in one epoch.

    A factor of 1.3 becomes 1 or 2, on average 1.3. The sum is the same in every epoch: the factors
    are laid end to end on a line, and the whole numbers on it, moved by one random offset, are
    counted (systematic sampling). For the sum to be a whole number, all factors are multiplied by
    the same number, at least 1.

    Parameters
    ----------
    repeats : numpy.ndarray
        (N,), at least 1.
    rng : numpy.random.Generator
        Draws the offset.

    Returns
    -------
    numpy.ndarray
        (N,) int64, at least 1.
    """
    total = images_of_epoch(repeats)
    ends = np.cumsum(repeats) * (total / repeats.sum())
    # Rounding must not move the last end, or the sum would change.
    ends[-1] = total
    marks = np.floor(ends + rng.random()).astype(np.int64)
    return np.diff(marks, prepend=0)
