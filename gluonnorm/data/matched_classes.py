"""Show a data set with the classes of a network, which are matched by name."""

from typing import Any, Dict, List, Sequence, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.faults import skipped_faults
from gluonnorm.data.labeled_image import DataError, Dataset, LabeledImage
from gluonnorm.errors import did_you_mean, first_few

import numpy as np

SHOWN_CLASSES = 20  # names that the note lists


class MatchedClasses:
    """A data set with the classes of a network, for evaluation.

    The files may have fewer classes than the network, more, or others. Classes of one name are
    scored. A class that only the network has keeps its place and has no box, so its scores are -1
    and count in no mean. Boxes of a class that only the files have are left out, and their images
    remain.

    Parameters
    ----------
    dataset : Dataset
        The data set, with the classes of its files.
    classes : sequence of str
        The classes of the network, in the order of its ids.

    Attributes
    ----------
    classes : tuple of str
        The classes of the network.
    category_ids : tuple of int
        The category id of each of them in ``coco_truth``. A class that the files do not have gets
        an id that they do not use.
    shared_ids : tuple of int
        The category ids of the classes that both have.
    left_out : tuple of str
        The classes that only the files have.
    note : str
        What is scored and what is not, in one line; ``""`` if both have the same classes.

    Raises
    ------
    DataError
        No class is shared.

    Examples
    --------
    >>> from gluonnorm.data import GluonCVDataset
    >>> item = np.zeros((20, 30, 3), np.uint8), np.array([[1, 2, 5, 8, 1]])
    >>> matched = MatchedClasses(GluonCVDataset([item], classes=["cat", "dog"]), ["dog", "cow"])
    >>> matched.category_ids, matched[0].labels.tolist()
    ((2, 3), [0])
    >>> matched.note
    'scored by name: dog; not in the data set: cow (no score); not in the network: cat (left out)'
    """

    def __init__(self, dataset: Dataset, classes: Sequence[str]) -> None:
        self._dataset = dataset
        self.classes = check_class_names(classes, "the network", DataError)
        own_ids = dict(zip(dataset.classes, dataset.category_ids))
        shared = [name for name in self.classes if name in own_ids]
        if not shared:
            raise DataError(
                f"none of the classes {first_few(self.classes)} is in the data set, which has "
                f"{first_few(dataset.classes)}, so nothing can be scored"
                f"{did_you_mean(self.classes[0], dataset.classes)}"
            )
        next_id = max(dataset.category_ids) + 1
        ids = []
        for name in self.classes:
            if name in own_ids:
                ids.append(own_ids[name])
            else:
                ids.append(next_id)
                next_id += 1
        self.category_ids = tuple(ids)
        self.shared_ids = tuple(own_ids[name] for name in shared)
        self.left_out = tuple(name for name in dataset.classes if name not in shared)
        self.note = self._describe(shared)
        # The network's class of each class of the files; -1 for none.
        self._new_labels = np.full(len(dataset.classes), -1, np.int32)
        for label, name in enumerate(dataset.classes):
            if name in shared:
                self._new_labels[label] = self.classes.index(name)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one image with the boxes of the shared classes.

        Parameters
        ----------
        index : int
            Position of the image in the data set.

        Returns
        -------
        LabeledImage
            The image; its labels are the network's.

        Raises
        ------
        DataError
            The image or its annotations cannot be used.
        """
        labeled = self._dataset[index]
        new_labels = self._new_labels[labeled.labels]
        keep = new_labels >= 0
        return labeled._replace(
            boxes=labeled.boxes[keep],
            labels=new_labels[keep],
            crowd=labeled.crowd[keep],
            masks=None if labeled.masks is None else labeled.masks[keep],
        )

    @property
    def skipped(self) -> Tuple[str, ...]:
        """The messages of what the data set left out; empty if it does not tell."""
        return skipped_faults(self._dataset)

    def sizes(self) -> np.ndarray:
        """Return the size of every image.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels.
        """
        return self._dataset.sizes()

    def coco_truth(self) -> Dict[str, Any]:
        """Return the ground truth of the shared classes in COCO's format.

        Returns
        -------
        dict
            The content of a COCO annotation file whose categories are the network's classes.
        """
        truth = self._dataset.coco_truth()
        annotations = []
        for annotation in truth["annotations"]:
            if annotation["category_id"] in self.shared_ids:
                annotations.append(annotation)
        categories = []
        for category_id, name in zip(self.category_ids, self.classes):
            categories.append({"id": category_id, "name": name})
        return {**truth, "annotations": annotations, "categories": categories}

    def with_masks(self) -> "MatchedClasses":
        """Open the same data set with masks.

        Returns
        -------
        MatchedClasses
            A data set whose images have ``masks``.

        Raises
        ------
        DataError
            The data set's files contain no masks.
        """
        return MatchedClasses(self._dataset.with_masks(), self.classes)

    def _describe(self, shared: Sequence[str]) -> str:
        """Tell which classes are scored, and which are not."""
        missing = [name for name in self.classes if name not in shared]
        parts: List[str] = []
        if missing or self.left_out:
            parts.append(f"scored by name: {_listed(shared)}")
        if missing:
            parts.append(f"not in the data set: {_listed(missing)} (no score)")
        if self.left_out:
            parts.append(f"not in the network: {_listed(self.left_out)} (left out)")
        return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    """List names for the note."""
    return first_few(names, SHOWN_CLASSES)
