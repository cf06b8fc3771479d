"""The images and objects of a data set as arrays, which are small and are read once."""

from typing import NamedTuple, Tuple

from gluonnorm.data.labeled_image import Dataset

import numpy as np


class Listing(NamedTuple):
    """What the files of a data set say of its N images and M objects, crowd included.

    Attributes
    ----------
    image_names : tuple of str
        The file name of each image, or its id if it has none.
    image_sizes : numpy.ndarray
        (N, 2) int, height and width of each image in pixels.
    images : numpy.ndarray
        (M,) int, position of the object's image in the data set.
    labels : numpy.ndarray
        (M,) int, 0-based class.
    crowd : numpy.ndarray
        (M,) bool, COCO's ``iscrowd`` or VOC's ``difficult``.
    file_boxes : numpy.ndarray
        (M, 4) float64, ``x1 y1 x2 y2`` in pixels of the image, as the files have them.
    """

    image_names: Tuple[str, ...]
    image_sizes: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    file_boxes: np.ndarray

    def of_images(self, positions: np.ndarray) -> "Listing":
        """Choose images, and number them anew.

        Parameters
        ----------
        positions : numpy.ndarray
            (K,) int, positions of the images, ascending.

        Returns
        -------
        Listing
            The chosen images with their objects.
        """
        new_positions = np.full(len(self.image_names), -1)
        new_positions[positions] = np.arange(len(positions))
        images = new_positions[self.images]
        keep = images >= 0
        return Listing(
            image_names=tuple(self.image_names[position] for position in positions.tolist()),
            image_sizes=self.image_sizes[positions],
            images=images[keep],
            labels=self.labels[keep],
            crowd=self.crowd[keep],
            file_boxes=self.file_boxes[keep],
        )


def make_listing(dataset: Dataset) -> Listing:
    """Collect the images and objects of a data set from its sizes and its ground truth.

    Parameters
    ----------
    dataset : Dataset
        The data set; its ``coco_truth`` is called once.

    Returns
    -------
    Listing
        Images and objects in the order of ``coco_truth``.
    """
    truth = dataset.coco_truth()
    position_of = {entry["id"]: position for position, entry in enumerate(truth["images"])}
    label_of = {category: label for label, category in enumerate(dataset.category_ids)}
    entries = truth["annotations"]
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Listing(
        image_names=tuple(str(entry.get("file_name", entry["id"])) for entry in truth["images"]),
        image_sizes=np.asarray(dataset.sizes(), np.int64).reshape(-1, 2),
        images=np.array([position_of[entry["image_id"]] for entry in entries], np.int64),
        labels=np.array([label_of[entry["category_id"]] for entry in entries], np.int64),
        crowd=np.array([entry.get("iscrowd", 0) for entry in entries], bool),
        file_boxes=boxes,
    )


def listing_of(dataset: Dataset) -> Listing:
    """Return the images and objects of a data set.

    The data sets of this package keep them as ``listing``, so their files are read once. A data set
    of the user may change, so its ``coco_truth`` is called each time.

    Parameters
    ----------
    dataset : Dataset
        A data set of this package, or of the user, which need not have the attribute ``listing``.

    Returns
    -------
    Listing
        Its images and objects.
    """
    kept = getattr(dataset, "listing", None)
    return make_listing(dataset) if kept is None else kept
