"""Images that are in two data sets, such as a validation set that has training images."""

from typing import Dict, List, Tuple

from gluonnorm.data.labeled_image import Dataset
from gluonnorm.data.listing import Listing, listing_of
from gluonnorm.errors import first_few

import numpy as np

# The name and size of an image, and its boxes in a fixed order.
_Image = Tuple[str, Tuple[int, ...], Tuple[float, ...]]


def shared_images(first: Dataset, second: Dataset) -> Tuple[str, ...]:
    """Find the images of one data set that are in another one, too.

    Splits often number their images alike, and a data set does not say where its files are. So an
    image is the same if its name, its size and all of its boxes are. An image without boxes is
    never found.

    Parameters
    ----------
    first, second : Dataset
        The data sets, such as those for training and for validation.

    Returns
    -------
    tuple of str
        The names of the images of ``second``, in their order.
    """
    known = set(_images(listing_of(first)).values())
    found = _images(listing_of(second))
    return tuple(image[0] for image in found.values() if image in known)


def _images(listing: Listing) -> Dict[int, _Image]:
    """Describe the images that have boxes, by their positions in ascending order."""
    order = np.lexsort((*listing.file_boxes.T, listing.images))
    boxes_of: Dict[int, List[float]] = {}
    for position, box in zip(listing.images[order].tolist(), listing.file_boxes[order].tolist()):
        boxes_of.setdefault(position, []).extend(box)
    images = {}
    for position, numbers in boxes_of.items():
        size = tuple(listing.image_sizes[position].tolist())
        images[position] = (listing.image_names[position], size, tuple(numbers))
    return images


def shared_images_note(training: Dataset, validation: Dataset) -> str:
    """Say that a validation set has training images, whose scores say little.

    Parameters
    ----------
    training, validation : Dataset
        The two data sets.

    Returns
    -------
    str
        A sentence; "" if no image is in both.
    """
    shared = shared_images(training, validation)
    if not shared:
        return ""
    return (
        f"{len(shared)} of {len(validation)} validation images are training images too (the same "
        f"name, size and boxes): {first_few(shared)}; a network may know them by heart, so the "
        "scores say little about other photos"
    )
