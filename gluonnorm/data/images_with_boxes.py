"""Leave images without boxes out of a data set."""

from typing import Any, Dict, Tuple

from gluonnorm.data.class_labels import misnamed_classes
from gluonnorm.data.faults import boxes_without_area, skipped_faults
from gluonnorm.data.labeled_image import DataError, Dataset, LabeledImage
from gluonnorm.data.listing import listing_of
from gluonnorm.data.objects import list_objects

import numpy as np


class ImagesWithBoxes:
    """The images of a data set that have a box to learn from, for training.

    Crowd boxes are none, and neither are boxes less than a pixel wide or high, because they are
    never trained on. They are judged in the photo: which boxes vanish in the network's input
    depends on the network. Torchvision's training script and Detectron2 leave images out as well;
    GluonCV's data sets do it for COCO.

    Parameters
    ----------
    dataset : Dataset
        The data set.

    Attributes
    ----------
    classes : tuple of str
        The classes of the data set.
    category_ids : tuple of int
        Their category ids.
    listing : Listing
        The images that are left, and their objects.
    left_out : int
        The number of images without a box.

    Raises
    ------
    DataError
        No image has a box.

    Examples
    --------
    >>> from gluonnorm.data import GluonCVDataset
    >>> photo = np.zeros((20, 30, 3), np.uint8)
    >>> items = [(photo, np.zeros((0, 5))), (photo, np.array([[1, 2, 5, 8, 0]]))]
    >>> dataset = ImagesWithBoxes(GluonCVDataset(items, classes=["cat"]))
    >>> len(dataset), dataset.left_out, dataset[0].labels.tolist()
    (1, 1, [0])
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.classes = dataset.classes
        self.category_ids = dataset.category_ids
        listing = listing_of(dataset)
        objects = list_objects(listing)
        self._positions = np.unique(objects.images[objects.learnable])
        total = len(listing.image_names)
        self.left_out = total - len(self._positions)
        if not len(self._positions):
            raise DataError(f"none of {total} images has a box to learn from")
        self.listing = listing.of_images(self._positions)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._positions)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one image and its annotations.

        Parameters
        ----------
        index : int
            Position among the images that have boxes.

        Returns
        -------
        LabeledImage
            The image.

        Raises
        ------
        DataError
            The image or its annotations cannot be used.
        """
        return self._dataset[int(self._positions[index])]

    @property
    def skipped(self) -> Tuple[str, ...]:
        """The messages of what the data set left out; empty if it does not tell."""
        return skipped_faults(self._dataset)

    @property
    def boxes_without_area(self) -> Tuple[str, ...]:
        """The boxes that the data set left out for lack of an area; empty if it does not tell."""
        return boxes_without_area(self._dataset)

    @property
    def misnamed_classes(self) -> Tuple[str, ...]:
        """The messages of classes whose names are probably wrong; empty if there are none."""
        return misnamed_classes(self._dataset)

    def sizes(self) -> np.ndarray:
        """Return the size of every image.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels.
        """
        return self._dataset.sizes()[self._positions]

    def coco_truth(self) -> Dict[str, Any]:
        """Return the ground truth of the images that have boxes, in COCO's format.

        Returns
        -------
        dict
            The content of a COCO annotation file.
        """
        truth = self._dataset.coco_truth()
        images = [truth["images"][position] for position in self._positions.tolist()]
        image_ids = {image["id"] for image in images}
        annotations = []
        for annotation in truth["annotations"]:
            if annotation["image_id"] in image_ids:
                annotations.append(annotation)
        return {**truth, "images": images, "annotations": annotations}

    def with_masks(self) -> "ImagesWithBoxes":
        """Open the same data set with masks.

        Returns
        -------
        ImagesWithBoxes
            A data set whose images have ``masks``.

        Raises
        ------
        DataError
            The data set's files contain no masks.
        """
        return ImagesWithBoxes(self._dataset.with_masks())
