"""How often images with rare classes are repeated in an epoch (LVIS, Gupta et al. 2019)."""

from typing import Dict

from gluonnorm.data.labeled_image import Dataset
from gluonnorm.errors import InputError

import numpy as np


def repeat_factors(dataset: Dataset, threshold: float) -> np.ndarray:
    """Compute how often each image should occur in an epoch, so that rare classes are seen.

    With f(c), the share of images that have class c, the factor of a class is ``max(1,
    sqrt(threshold / f(c)))``, and that of an image the largest of its classes (Gupta et al. 2019,
    "LVIS", section 5; Detectron2's ``RepeatFactorTrainingSampler``). Crowd boxes do not count.

    Parameters
    ----------
    dataset : Dataset
        N images and their ground truth.
    threshold : float
        Classes that fewer images have than this share are repeated, more than 0, at most 1; LVIS
        has 0.001.

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
    truth = dataset.coco_truth()
    position_of = {entry["id"]: position for position, entry in enumerate(truth["images"])}
    images_of: Dict[int, set] = {}
    for entry in truth["annotations"]:
        if not entry.get("iscrowd", 0):
            images_of.setdefault(entry["category_id"], set()).add(position_of[entry["image_id"]])
    factors = np.ones(len(truth["images"]))
    for images in images_of.values():
        positions = np.array(sorted(images))
        share = len(positions) / len(factors)
        factors[positions] = np.maximum(factors[positions], np.sqrt(threshold / share))
    return factors


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
    total = int(np.ceil(repeats.sum() - 1e-9))
    ends = np.cumsum(repeats) * (total / repeats.sum())
    # Rounding must not move the last end, or the sum would change.
    ends[-1] = total
    marks = np.floor(ends + rng.random()).astype(np.int64)
    return np.diff(marks, prepend=0)
