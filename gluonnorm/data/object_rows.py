"""Collect the objects of one image while its annotation file is read."""

from contextlib import AbstractContextManager
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.data.annotations import ImageAnnotations, make_annotations
from gluonnorm.data.faults import Faults
from gluonnorm.data.masks import read_segmentation

import numpy as np


class _Row(NamedTuple):
    """One object."""

    name: str
    box: Sequence[float]
    label: int
    crowd: bool
    segmentation: Any


class ObjectRows:
    """The objects of one image, and what is wrong with them.

    An image with a faulty object is left out entirely: without the object, training would take its
    place for background.

    Parameters
    ----------
    where : str
        The file that the objects are in, and a word for them, such as "a.xml: object". The name of
        an object follows it in messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows: List[_Row] = []
        self._faults = Faults(where)

    def catch(self) -> "AbstractContextManager[None]":
        """Record a DataError of the statements below as a fault of this image."""
        return self._faults.catch()

    def add_fault(self, message: str) -> None:
        """Record a fault of this image.

        Parameters
        ----------
        message : str
            One line that names the file and the place in it.
        """
        self._faults.add(message)

    def add(
        self,
        name: object,
        box: Sequence[float],
        label: int,
        crowd: bool = False,
        segmentation: Any = None,
    ) -> None:
        """Add an object.

        Parameters
        ----------
        name : object
            The object's number or name for messages.
        box : sequence of float
            x1, y1, x2 and y2 in pixels.
        label : int
            0-based foreground class.
        crowd : bool
            Whether it is marked as crowd or difficult.
        segmentation : list or dict, optional
            Its mask as ``read_segmentation`` takes it: polygons in pixels, or run lengths.
        """
        self._rows.append(_Row(str(name), box, label, crowd, segmentation))

    def check(
        self, size: Tuple[int, int], faults: Faults, masks: bool = False
    ) -> Optional[ImageAnnotations]:
        """Check all objects of the image.

        Parameters
        ----------
        size : tuple of int
            Height and width of the image in pixels.
        faults : Faults
            Gets every fault of the image.
        masks : bool
            Whether every object needs a mask.

        Returns
        -------
        ImageAnnotations or None
            The annotations; None if the image has a fault.
        """
        annotations = make_annotations(
            boxes=[row.box for row in self._rows],
            # Boxes without an area are dropped. The labels tell which rows are left.
            labels=range(len(self._rows)),
            crowd=[row.crowd for row in self._rows],
            size=size,
            where=self._where,
            row_names=[row.name for row in self._rows],
            faults=self._faults,
        )
        kept = [self._rows[position] for position in annotations.labels.tolist()]
        run_lengths = []
        for row in kept if masks else []:
            with self._faults.catch():
                run_lengths.append(
                    read_segmentation(row.segmentation, size, f"{self._where} {row.name}")
                )
        for message in self._faults.messages:
            faults.add(message)
        if self._faults.messages:
            return None
        labels = np.array([row.label for row in kept], np.int32)
        return annotations._replace(labels=labels, masks=run_lengths if masks else None)
