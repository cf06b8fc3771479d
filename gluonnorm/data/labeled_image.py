"""One image with its annotations, the protocol of data sets, and the error for faulty data."""

from typing import Any, Dict, NamedTuple, Optional, Protocol, Tuple

from gluonnorm.errors import InputError

import numpy as np


class DataError(InputError):
    """A file or annotation of a data set cannot be used. The message is one line that names it.

    Parameters
    ----------
    message : str
        What is wrong. A line break in a name of the files is shown as its code.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.replace("\n", "\\n").replace("\r", "\\r"))


class MissingSplitError(DataError):
    """A data set has no split of the name that was asked for."""


class MissingImagesError(DataError):
    """None of a data set's images is in the folder that was named for them."""


class LabeledImage(NamedTuple):
    """One image of a data set with its G annotated boxes, as the files hold them. G may be 0.

    Attributes
    ----------
    image : numpy.ndarray
        (H, W, 3) uint8, RGB.
    boxes : numpy.ndarray
        (G, 4) float32, rows ``x1 y1 x2 y2`` in pixels of ``image``. Each box is inside the image
        and has an area.
    labels : numpy.ndarray
        (G,) int32, 0-based foreground class of each box.
    crowd : numpy.ndarray
        (G,) bool, COCO's ``iscrowd`` or VOC's ``difficult``. Such boxes are left out of training
        and ignored in evaluation.
    image_id : int
        The image's id in ``Dataset.coco_truth``.
    name : str
        The image's file name, for messages.
    masks : numpy.ndarray or None
        (G, H, W) bool, the mask of each box. None if the data set has no masks.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    image_id: int
    name: str
    masks: Optional[np.ndarray] = None


class Dataset(Protocol):
    """The interface of a data set, as the loader and the evaluation use it.

    A class of your own needs these members; it does not have to inherit from this one.
    """

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the C foreground classes. A label is an index into this tuple."""

    @property
    def category_ids(self) -> Tuple[int, ...]:
        """Category id of each class in ``coco_truth``, in the order of ``classes``."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one image and its annotations.

        Parameters
        ----------
        index : int
            Position of the image in the data set.

        Returns
        -------
        LabeledImage
            The decoded image with its annotations.

        Raises
        ------
        DataError
            The image or its annotations cannot be used.
        """

    def sizes(self) -> np.ndarray:
        """Return the size of every image.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels.
        """

    def coco_truth(self) -> Dict[str, Any]:
        """Return the ground truth of all images in COCO's format.

        Returns
        -------
        dict
            The content of a COCO annotation file.
        """

    def with_masks(self) -> "Dataset":
        """Open the same data set with masks.

        Returns
        -------
        Dataset
            A data set whose images have ``masks``.

        Raises
        ------
        DataError
            The data set's files contain no masks.
        """
