"""Data sets in YOLO's format: a text file of boxes or polygons for each image."""

import os
from typing import Dict, List, Optional, Sequence, Tuple

from gluonnorm.class_names import check_class_names
from gluonnorm.data.annotations import ImageAnnotations
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import ALL_FILES, AnnotatedFile, FileDataset
from gluonnorm.data.images import image_size
from gluonnorm.data.labeled_image import DataError
from gluonnorm.data.object_rows import ObjectRows
from gluonnorm.data.yolo_folder import (
    YOLOImage,
    class_names,
    find_labels_without_image,
    label_path,
    open_root,
    split_images,
)
from gluonnorm.data.yolo_labels import read_labels
from gluonnorm.errors import did_you_mean, first_few
from gluonnorm.types import PathLike


class YOLODataset(FileDataset):
    """Images and boxes of a YOLO data set, with masks if its rows are polygons.

    A label file has a row for each object, ``class x y width height`` with the box's center, or
    ``class x1 y1 x2 y2 x3 y3 ...`` with the corners of a polygon; all coordinates are fractions of
    the image's sides. An image without a label file, or with an empty one, has no objects. The
    label file of ``images/a.jpg`` is ``labels/a.txt``, or beside the image. The constructor reads
    all labels, so that all faults show before training starts.

    The classes are named in ``data.yaml``, ``classes.txt`` or ``obj.names``.

    Parameters
    ----------
    root : str or path-like
        The folder of the data set, or the path of its ``data.yaml``.
    split : str, optional
        Which images are used: a split of ``data.yaml``; without it, those of the folders
        ``images/<split>``, ``<split>/images`` or ``<split>``, or of the list ``<split>.txt``.
        "val" and "valid" are the same where only one of them exists. None or "." takes all images.
    classes : sequence of str, optional
        Names of the classes to use, in the order of the labels. Objects of other classes are left
        out. None uses all classes in the order of the file that names them. If no file does, these
        are the names of the classes 0, 1, 2, ...
    skip_bad : bool
        False raises an error for all faults. True leaves out the images that have one, and lists
        the faults in ``skipped``.
    masks : bool
        Whether masks are read. Every row must then be a polygon.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        1..C, the category id of each class in ``coco_truth``.
    skipped : tuple of str
        The faults for which an image was left out.

    Raises
    ------
    DataError
        The split or the class names are missing, no image has a label file; or, for single images,
        the image is missing or broken, or a row has other numbers than it should have.

    Examples
    --------
    >>> dataset = YOLODataset("coco128", "train")  # doctest: +SKIP
    >>> image, boxes, labels, *_ = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        root: PathLike,
        split: Optional[str] = None,
        classes: Optional[Sequence[str]] = None,
        skip_bad: bool = False,
        masks: bool = False,
    ) -> None:
        self._root = os.fspath(root)
        self._split = split
        folder, description = open_root(self._root)
        names = class_names(folder, split or ALL_FILES, description, classes)
        chosen = check_class_names(names if classes is None else classes, self._root, DataError)
        label_of = _label_of(names, chosen, self._root)

        faults = Faults(self._root, skip_bad)
        images, image_folders = split_images(folder, description, split or ALL_FILES, faults)
        label_paths = _label_files(self._root, images)
        find_labels_without_image(image_folders, label_paths, faults)
        files: List[AnnotatedFile] = []
        image_of: Dict[str, str] = {}
        for image, labels in zip(images, label_paths):
            with faults.catch():
                _require_own_labels(labels, image_of.setdefault(labels, image.path), image.path)
                rows = ObjectRows(f"{labels}: line")
                size = image_size(image.path)
                if os.path.isfile(labels):
                    read_labels(labels, rows, size, label_of)
                annotations = rows.check(size, faults, masks)
                if annotations is not None:
                    files.append(_annotated_file(image, folder, size, annotations))
        super().__init__(self._root, chosen, files, faults)

    def with_masks(self) -> "YOLODataset":
        """Open the same data set with ``masks=True``. The files are read again.

        Returns
        -------
        YOLODataset
            The data set with masks.

        Raises
        ------
        DataError
            A row is no polygon.
        """
        return YOLODataset(self._root, self._split, self.classes, self._skip_bad, masks=True)


def _label_files(root: str, images: Sequence[YOLOImage]) -> List[str]:
    """Return the path of each image's label file; at least one must exist."""
    paths = [label_path(image.path) for image in images]
    if not any(os.path.isfile(path) for path in paths):
        raise DataError(
            f"{root}: none of the {len(images)} images has a label file; looked for "
            f"{first_few(paths, 1)}"
        )
    return paths


def _annotated_file(
    image: YOLOImage, folder: str, size: Tuple[int, int], annotations: ImageAnnotations
) -> AnnotatedFile:
    """Name an image by its path below the data set's folder."""
    return AnnotatedFile(
        path=image.path,
        name=os.path.relpath(image.path, folder),
        size=size,
        annotations=annotations,
        listed_in=image.listed_in,
        size_source=image.path,
    )


def _require_own_labels(label_file: str, first_image: str, image: str) -> None:
    """Raise a DataError for a label file that belongs to another image as well."""
    if first_image != image and os.path.isfile(label_file):
        raise DataError(
            f"{label_file}: is the label file of both {first_image} and {image}; give each its own"
        )


def _label_of(names: Sequence[str], chosen: Sequence[str], root: str) -> Dict[int, Optional[int]]:
    """Map each class number of the label files to a label; None for a class that is left out."""
    for name in chosen:
        if name not in names:
            raise DataError(
                f"{root}: has no class {name!r}; it has {first_few(names)}"
                f"{did_you_mean(name, names)}"
            )
    label_of_name = {name: label for label, name in enumerate(chosen)}
    return {number: label_of_name.get(name) for number, name in enumerate(names)}
