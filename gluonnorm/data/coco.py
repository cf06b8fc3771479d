"""Data sets in COCO's format: one JSON file and a folder of images."""

import os
from collections import defaultdict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from gluonnorm.data.annotations import ImageAnnotations, check_boxes
from gluonnorm.data.coco_file import (
    SHOWN_NAMES,
    Annotation,
    Categories,
    read_annotation,
    read_categories,
    read_coco_file,
    select_categories,
    stated_category,
    stated_size,
    usable_ids,
)
from gluonnorm.data.faults import Faults
from gluonnorm.data.file_dataset import AnnotatedFile, FileDataset
from gluonnorm.data.image_files import ImageFolder
from gluonnorm.data.images import image_size
from gluonnorm.data.json_file import required_integer, required_text
from gluonnorm.data.labeled_image import DataError, MissingImagesError
from gluonnorm.data.masks import RunLengths, empty_mask, read_segmentation, text_run_lengths
from gluonnorm.errors import first_few
from gluonnorm.photos.boxes import clip_boxes, valid_boxes
from gluonnorm.types import PathLike

import numpy as np


class _Image(NamedTuple):
    """One entry of the file's list ``images`` whose image file exists."""

    position: int
    image_id: int
    name: str
    path: str
    size: Tuple[int, int]


class COCODataset(FileDataset):
    """Images, boxes and masks of a COCO annotation file with any categories.

    Images without boxes are kept. A box ``x y w h`` becomes ``x, y, x + w, y + h``, is clipped to
    the image, and is dropped if it has no area; ``coco_truth`` keeps it as the file has it.

    Masks are read from polygons, run lengths and compressed run lengths. They stay compressed in
    memory until their image is read. With ``masks=True`` every box needs one.

    The constructor reads every annotation of the chosen classes and looks for every image file, so
    that faults show before training starts. One error reports all faults.

    Parameters
    ----------
    annotation_file : str or path-like
        The JSON file.
    image_dir : str or path-like
        The folder that the file's ``file_name`` entries are relative to. An exporter's path in
        front of the file name is left out where it does not exist.
    classes : sequence of str, optional
        Names of the categories to use, in the order of the labels. Annotations of other categories
        are left out. None uses all categories, sorted by their ids, without a supercategory that
        has no annotations.
    masks : bool
        Whether masks are read.
    skip_bad : bool
        Whether images and annotations with faults are left out, instead of an error. Every image
        is then decoded once, so that damaged ones are left out too.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        The file's category id of each class.
    skipped : tuple of str
        A message for each fault whose image or annotation is left out. Empty without ``skip_bad``.

    Raises
    ------
    DataError
        The file cannot be read, keys are missing or have values of another kind, it lists no
        images, an image file does not exist, a category or an image is unknown, a box is outside
        its image, or a mask is absent, empty or of another size than its image.

    Examples
    --------
    >>> dataset = COCODataset("annotations/instances_val.json", "val")  # doctest: +SKIP
    >>> image, boxes, labels, *_ = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        annotation_file: PathLike,
        image_dir: PathLike,
        classes: Optional[Sequence[str]] = None,
        masks: bool = False,
        skip_bad: bool = False,
    ) -> None:
        self._path = os.fspath(annotation_file)
        self._image_dir = os.fspath(image_dir)
        self._masks = masks
        self._stamp = _file_stamp(annotation_file)
        content = read_coco_file(annotation_file)
        categories = read_categories(content, annotation_file)
        chosen = select_categories(categories, classes, annotation_file)
        self._label_of = {number: label for label, number in enumerate(chosen)}

        faults = Faults(annotation_file, skip_bad)
        listed_ids, images = self._read_images(content["images"], faults)
        self._position_of = {image.image_id: image.position for image in images}
        # Which entries of the file's list ``annotations`` belong to this data set, and their masks.
        self._is_used = np.zeros(len(content["annotations"]), bool)
        self._mask_of: Dict[int, RunLengths] = {}
        grouped = self._read_annotations(content["annotations"], categories, listed_ids, faults)
        files = [self._annotated_file(image, grouped[image.image_id], faults) for image in images]
        super().__init__(self._path, tuple(chosen.values()), files, faults, tuple(chosen))

    def with_masks(self) -> "COCODataset":
        """Open the same data set with ``masks=True``. The file is read again.

        Returns
        -------
        COCODataset
            The data set with masks.

        Raises
        ------
        DataError
            A mask is absent or faulty.
        """
        return COCODataset(
            self._path,
            self._image_dir,
            self.classes,
            masks=True,
            skip_bad=self._skip_bad,
        )

    def coco_truth(self) -> Dict[str, Any]:
        """Return the annotation file's content for the chosen classes, ready for pycocotools.

        Entries that the evaluation needs and some files lack are filled in: ``area`` (w * h),
        ``iscrowd`` (0), and the sizes of images. Annotation ids are replaced by 1, 2, ... if one is
        absent, repeated, below 1 or not an integer. With masks, ``segmentation`` holds run lengths;
        without them it is kept as it is. What ``skip_bad`` left out is left out here as well. The
        file is read again, because it is not kept in memory.

        Returns
        -------
        dict
            The content of a COCO annotation file.

        Raises
        ------
        DataError
            The file was changed after the data set was opened.
        """
        stamp = _file_stamp(self._path)
        content = read_coco_file(self._path)
        if stamp != self._stamp or _file_stamp(self._path) != stamp:
            raise DataError(
                f"{self._path}: was changed after it was opened; open it again, since its boxes "
                "may be others now"
            )
        content["categories"] = self._truth_categories(content["categories"])
        content["images"] = self._truth_images(content["images"])
        content["annotations"] = self._truth_annotations(content["annotations"])
        return content

    def _read_images(self, entries: List[Any], faults: Faults) -> Tuple[Set[int], List[_Image]]:
        """Read the file's list ``images``: all ids in it, and the images that can be used."""
        folder = ImageFolder(self._image_dir)
        position_of: Dict[int, int] = {}
        missing: List[str] = []
        images: List[_Image] = []
        for position, entry in enumerate(entries):
            where = f"{self._path}: image {position}"
            with faults.catch():
                image_id = required_integer(entry, "id", where)
                if image_id in position_of:
                    raise DataError(
                        f"{where} has the id {image_id} of image {position_of[image_id]}: two "
                        "images have the same id; every image needs an id of its own"
                    )
                position_of[image_id] = position
                name = required_text(entry, "file_name", where)
                path = folder.find(name)
                if path is None:
                    missing.append(name)
                    raise DataError(
                        f"{where}: {os.path.join(self._image_dir, name)}: no such image file; add "
                        "the file or correct its file_name"
                    )
                # Some annotation files leave out the sizes, which the images' headers have too.
                size = stated_size(entry, where) or image_size(path)
                images.append(_Image(position, image_id, name, path, size))
        if len(missing) == len(entries):
            raise MissingImagesError(
                f"{self._path}: none of its {len(entries)} images is in {self._image_dir}; no such "
                f"image file: {first_few(missing)}; name the folder that holds the images"
            )
        return set(position_of), images

    def _read_annotations(
        self,
        entries: List[Any],
        categories: Categories,
        listed_ids: Set[int],
        faults: Faults,
    ) -> Dict[int, List[Annotation]]:
        """Read the annotations of the chosen categories, grouped by the id of their image."""
        chosen = set(self._label_of)
        grouped: Dict[int, List[Annotation]] = defaultdict(list)
        for position, entry in enumerate(entries):
            category = stated_category(entry)
            if category in categories.names and category not in chosen:
                continue
            with faults.catch():
                annotation = read_annotation(entry, position, self._path)
                where = f"{self._path}: annotation {annotation.name}"
                if annotation.category_id not in chosen:
                    known = first_few([str(number) for number in categories.names], SHOWN_NAMES)
                    raise DataError(
                        f"{where} has category_id {annotation.category_id}, which is not among the "
                        f"file's categories {known}; correct or remove it"
                    )
                if annotation.image_id not in listed_ids:
                    raise DataError(
                        f"{where} has image_id {annotation.image_id}, but the file has no such "
                        "image; correct or remove it"
                    )
                grouped[annotation.image_id].append(annotation)
        return grouped

    def _annotated_file(
        self, image: _Image, annotations: List[Annotation], faults: Faults
    ) -> AnnotatedFile:
        """Check the annotations of one image against its size, and read their masks."""
        height, width = image.size
        where = f"{self._path}: image {image.name}, annotation"
        names = [annotation.name for annotation in annotations]
        boxes = np.array([annotation.box for annotation in annotations], np.float64).reshape(-1, 4)
        is_sound = check_boxes(boxes, image.size, where, names, faults)
        clipped = clip_boxes(boxes, height, width)
        has_area = valid_boxes(clipped)
        rows: List[int] = []
        for row in np.flatnonzero(is_sound).tolist():
            annotation = annotations[row]
            with faults.catch():
                # A box without an area stays in `coco_truth` alone, so it needs no mask.
                if has_area[row]:
                    if self._masks:
                        name = f"{where} {annotation.name}"
                        mask = read_segmentation(annotation.segmentation, image.size, name)
                        self._mask_of[annotation.position] = mask
                    rows.append(row)
                self._is_used[annotation.position] = True
        used = [annotations[row] for row in rows]
        return AnnotatedFile(
            path=image.path,
            name=image.name,
            size=image.size,
            annotations=self._image_annotations(clipped[rows], used),
            listed_in=f"{self._path}: image {image.position}",
            size_source=self._path,
            image_id=image.image_id,
        )

    def _image_annotations(
        self, boxes: np.ndarray, annotations: Sequence[Annotation]
    ) -> ImageAnnotations:
        """Join the checked boxes of an image with their labels, crowd flags and masks."""
        labels = [self._label_of[annotation.category_id] for annotation in annotations]
        masks = None
        if self._masks:
            masks = [self._mask_of[annotation.position] for annotation in annotations]
        return ImageAnnotations(
            boxes=boxes,
            labels=np.array(labels, np.int32),
            crowd=np.array([annotation.crowd for annotation in annotations], bool),
            masks=masks,
        )

    def _truth_categories(self, entries: List[Any]) -> List[Dict[str, Any]]:
        """List the chosen categories, in the order of the file."""
        chosen = dict(zip(self.category_ids, self.classes))
        truth = []
        for entry in entries:
            category_id = int(entry["id"])
            if category_id in chosen:
                truth.append({**entry, "id": category_id, "name": chosen[category_id]})
        return truth

    def _truth_images(self, entries: List[Any]) -> List[Dict[str, Any]]:
        """List the images that are used, with their sizes."""
        truth = []
        for image_id, (height, width) in zip(self.image_ids, self.sizes().tolist()):
            entry = entries[self._position_of[image_id]]
            truth.append({**entry, "id": image_id, "height": height, "width": width})
        return truth

    def _truth_annotations(self, entries: List[Any]) -> List[Dict[str, Any]]:
        """List the annotations that are used, with all that the evaluation needs."""
        size_of = dict(zip(self.image_ids, self.sizes().tolist()))
        truth = []
        for position in np.flatnonzero(self._is_used).tolist():
            entry = entries[position]
            annotation = read_annotation(entry, position, self._path)
            # ``skip_bad`` leaves out images that cannot be decoded, with their annotations.
            if annotation.image_id not in size_of:
                continue
            checked = {
                **entry,
                "image_id": annotation.image_id,
                "category_id": annotation.category_id,
                "area": annotation.area,
                "iscrowd": int(annotation.crowd),
            }
            if self._masks:
                mask = self._mask_of.get(position)
                if mask is None:
                    # The box has no area, so its mask was not read.
                    mask = empty_mask(size_of[annotation.image_id])
                checked["segmentation"] = text_run_lengths(mask)
            truth.append(checked)
        if not usable_ids([entry.get("id") for entry in truth]):
            truth = [{**entry, "id": number} for number, entry in enumerate(truth, start=1)]
        return truth


def _file_stamp(path: PathLike) -> Tuple[int, int]:
    """Return the size and the time of change of a file, which tell whether it was changed."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # reading the file will tell what is wrong
        return 0, 0
    return status.st_size, status.st_mtime_ns
