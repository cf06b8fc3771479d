"""Inspect a data set before training: how many objects, of which sizes, and what can be learned."""

from typing import Dict, List, NamedTuple, Optional, Protocol, Sequence, Tuple

from gluonnorm.data.anchor_reach import best_anchor_ious
from gluonnorm.data.class_labels import misnamed_classes
from gluonnorm.data.faults import boxes_without_area, skipped_faults
from gluonnorm.data.labeled_image import DataError, Dataset
from gluonnorm.data.listing import listing_of
from gluonnorm.data.objects import ObjectTable, boxes_to_learn, list_objects
from gluonnorm.data.reachable import ClassReach, Reach, reach_of_classes, reach_warnings
from gluonnorm.errors import first_few
from gluonnorm.types import AnchorGrid, Preprocess

import numpy as np

# Boxes that reach farther out of their image than this are counted, if they are not few.
ALLOWED_OVERHANG = 2.0  # pixels
FEW = 0.05  # of the boxes
UNSCALED = np.ones(2)


class AnchorSettings(Protocol):
    """The settings of a detector that decide which objects its anchors reach."""

    @property
    def rpn_pos_iou_thresh(self) -> float:
        """IoU from which an anchor is positive."""

    @property
    def pos_iou_thresh(self) -> float:
        """IoU from which a proposal is positive."""

    def anchor_grids(self, strides: Optional[Sequence[int]] = None) -> Tuple[AnchorGrid, ...]:
        """Return the anchors of each feature map."""


class Inspection(NamedTuple):
    """What a data set holds, and what stands against learning from it.

    Attributes
    ----------
    images : int
        Number of images.
    boxes : int
        Number of annotated boxes, crowd included. Boxes without an area are counted in COCO files;
        other formats leave them out.
    crowd : int
        Boxes that are COCO's ``iscrowd`` or VOC's ``difficult``, which training leaves out.
    learnable : int
        Boxes that training can learn from: no crowd, and each side of at least a pixel, in the
        image and in the network's input (more than a pixel in the image, if the network's corners
        are inclusive).
    images_without_boxes : int
        Images without any box to learn from.
    boxes_of_class : dict of str to int
        The number of boxes to learn from, for each class.
    images_of_class : dict of str to int
        The number of images with such boxes, for each class.
    image_sizes : numpy.ndarray
        (N, 2) int, height and width of each image in pixels.
    box_sizes : numpy.ndarray
        (M, 2) float64, height and width of each box that is no crowd, clipped to its image, in
        pixels of the image.
    objects : ObjectTable
        Every annotated object with its box in the network's input. Without ``preprocess`` the input
        is the image itself.
    boxes_of_image : numpy.ndarray
        (N,) int, how many boxes to learn from each image has.
    reach : Reach or None
        The best IoU of each object to learn from with the anchors, and with a trained network's
        proposals; None without ``config``.
    reach_of_class : dict of str to ClassReach
        The same as shares of each class that has objects; empty without ``config``.
    faults : tuple of str
        What ``skip_bad`` left out.
    problems : tuple of str
        Reasons why nothing can be learned, or not what is meant.
    warnings : tuple of str
        What is probably not meant so, and what will hardly be learned.
    """

    images: int
    boxes: int
    crowd: int
    learnable: int
    images_without_boxes: int
    boxes_of_class: Dict[str, int]
    images_of_class: Dict[str, int]
    image_sizes: np.ndarray
    box_sizes: np.ndarray
    objects: ObjectTable
    boxes_of_image: np.ndarray
    reach: Optional[Reach]
    reach_of_class: Dict[str, ClassReach]
    faults: Tuple[str, ...]
    problems: Tuple[str, ...]
    warnings: Tuple[str, ...]

    def require_boxes(self) -> None:
        """Refuse a data set from which nothing can be learned, or not what is meant.

        Raises
        ------
        DataError
            There are ``problems``.
        """
        if self.problems:
            raise DataError("; ".join(self.problems))

    def with_proposals(self, candidate_ious: np.ndarray, proposal_ious: np.ndarray) -> "Inspection":
        """Add what a trained network proposes, such as ``rcnn.proposal_ious`` measures.

        Parameters
        ----------
        candidate_ious : numpy.ndarray
            (L,), for each object to learn from, in the order of ``objects``, the best IoU with the
            boxes that enter the NMS of the proposals; NaN where it is not known.
        proposal_ious : numpy.ndarray
            (L,), the same with the proposals.

        Returns
        -------
        Inspection
            A copy with them in ``reach``, ``reach_of_class`` and ``warnings``.

        Raises
        ------
        DataError
            There are more or fewer numbers than objects, or the inspection had no ``config``.
        """
        if self.reach is None:
            raise DataError("the inspection has no anchors; give inspect preprocess and config")
        for ious in (candidate_ious, proposal_ious):
            if np.shape(ious) != (self.learnable,):
                raise DataError(
                    f"the proposals have shape {np.shape(ious)}; want one IoU for each of the "
                    f"{self.learnable} objects to learn from"
                )
        reach = self.reach._replace(candidates=candidate_ious, proposals=proposal_ious)
        own_warnings = [text for text in self.warnings if text not in self._reach_warnings()]
        completed = self._replace(reach=reach)
        shares = reach_of_classes(completed.learnable_objects, reach, tuple(self.boxes_of_class))
        completed = completed._replace(reach_of_class=shares)
        warnings = (*own_warnings, *completed._reach_warnings())
        return completed._replace(warnings=warnings)

    @property
    def learnable_objects(self) -> ObjectTable:
        """The rows of ``objects`` that training can learn from."""
        return self.objects.rows(self.objects.learnable)

    def _reach_warnings(self) -> List[str]:
        """Say which classes will hardly be learned."""
        return [] if self.reach is None else reach_warnings(self.reach_of_class, self.reach)


def inspect(
    dataset: Dataset,
    preprocess: Optional[Preprocess] = None,
    config: Optional[AnchorSettings] = None,
    strides: Optional[Sequence[int]] = None,
    validation: bool = False,
) -> Inspection:
    """Count a data set's boxes, and find what stands against learning from it.

    No image is decoded, unless the data set itself has to decode them for ``sizes``.

    Parameters
    ----------
    dataset : Dataset
        The data set. With ``skip_bad`` the inspection has its faults as well.
    preprocess : Preprocess, optional
        How the network wants its images. Boxes are then judged after resizing as well, with the
        longest of its lengths ``short``.
    config : DetectorConfig, optional
        The settings of the network. With ``preprocess``, each object is compared with the anchors
        of its image.
    strides : sequence of int, optional
        The strides of the network's maps; None takes the usual ones, see
        ``DetectorConfig.anchor_grids``.
    validation : bool
        False judges a training set, in which a class without any object is a problem if objects of
        a class with a similar name are left out. Of a validation set this is a warning: classes may
        be absent from it.

    Returns
    -------
    Inspection
        Counts, sizes, the reach of the anchors, faults, problems and warnings.

    Raises
    ------
    DataError
        The data set's own files cannot be read.

    Examples
    --------
    >>> from gluonnorm.data import GluonCVDataset
    >>> image = np.zeros((20, 30, 3), np.uint8)
    >>> dataset = GluonCVDataset([(image, np.array([[1, 2, 1.5, 8, 0]]))], classes=["cell"])
    >>> inspect(dataset).problems[0]
    'all 1 boxes are less than a pixel wide or high; are their coordinates fractions?'
    """
    listing = listing_of(dataset)
    objects = list_objects(listing, preprocess)
    inspection = _count(dataset, listing.image_sizes, objects)
    inclusive = preprocess is not None and preprocess.inclusive
    problems = _problems(objects, inclusive)
    warnings: List[str] = []
    if not problems:
        warnings += _class_warnings(inspection.boxes_of_class)
        warnings += _size_warnings(objects, inclusive)
    warnings += _spelling_warnings(dataset.classes, objects)
    warnings += _area_warnings(boxes_without_area(dataset))
    warnings += _repetition_warnings(objects, listing.image_names)
    (warnings if validation else problems).extend(misnamed_classes(dataset))
    inspection = inspection._replace(problems=tuple(problems), warnings=tuple(warnings))
    if not inspection.learnable or preprocess is None or config is None:
        return inspection
    return _with_anchors(inspection, config.anchor_grids(strides), preprocess, config)


def _count(dataset: Dataset, image_sizes: np.ndarray, objects: ObjectTable) -> Inspection:
    """Count images and objects; nothing is judged yet."""
    learnable = objects.rows(objects.learnable)
    boxes_of_image = np.bincount(learnable.images, minlength=len(image_sizes))
    boxes_of_class: Dict[str, int] = {}
    images_of_class: Dict[str, int] = {}
    for label, name in enumerate(dataset.classes):
        images = learnable.images[learnable.labels == label]
        boxes_of_class[name] = len(images)
        images_of_class[name] = len(np.unique(images))
    return Inspection(
        images=len(image_sizes),
        boxes=len(objects.labels),
        crowd=int(objects.crowd.sum()),
        learnable=len(learnable.labels),
        images_without_boxes=int((boxes_of_image == 0).sum()),
        boxes_of_class=boxes_of_class,
        images_of_class=images_of_class,
        image_sizes=image_sizes,
        box_sizes=_sides_in_image(objects.rows(~objects.crowd)),
        objects=objects,
        boxes_of_image=boxes_of_image,
        reach=None,
        reach_of_class={},
        faults=skipped_faults(dataset),
        problems=(),
        warnings=(),
    )


def _with_anchors(
    inspection: Inspection,
    grids: Sequence[AnchorGrid],
    preprocess: Preprocess,
    config: AnchorSettings,
) -> Inspection:
    """Compare the objects to learn from with the anchors of their images."""
    learnable = inspection.learnable_objects
    reach = Reach(
        positive=config.rpn_pos_iou_thresh,
        reached=config.pos_iou_thresh,
        anchor_lengths=np.concatenate([grid.lengths for grid in grids]),
        finest_stride=min(grid.stride for grid in grids),
        anchors=best_anchor_ious(
            learnable.boxes, learnable.input_sizes, grids, preprocess.multiple
        ),
    )
    shares = reach_of_classes(learnable, reach, tuple(inspection.boxes_of_class))
    warnings = (*inspection.warnings, *reach_warnings(shares, reach))
    return inspection._replace(reach=reach, reach_of_class=shares, warnings=warnings)


def _clipped_file_boxes(objects: ObjectTable) -> np.ndarray:
    """Return (M, 4), the boxes inside their images, in pixels of the images."""
    return np.clip(objects.file_boxes, 0, np.tile(objects.image_sizes[:, ::-1], 2))


def _sides_in_image(objects: ObjectTable) -> np.ndarray:
    """Return (M, 2), height and width of each box inside its image."""
    clipped = _clipped_file_boxes(objects)
    return np.maximum(clipped[:, 3:1:-1] - clipped[:, 1::-1], 0)


def _too_small(inclusive: bool) -> str:
    """Say which boxes are too small to learn from."""
    return f"{'no more' if inclusive else 'less'} than a pixel wide or high"


def _problems(objects: ObjectTable, inclusive: bool) -> List[str]:
    """Say why there is no box to learn from, if there is none."""
    count = len(objects.labels)
    if objects.learnable.any():
        return []
    if count == 0:
        return ["there is not one box to learn from; are these the right annotations?"]
    if objects.crowd.all():
        return [f"all {count} boxes are crowd or difficult, and training leaves these out"]
    plain = objects.rows(~objects.crowd)
    without_crowd = " that are not crowd or difficult" if objects.crowd.any() else ""
    all_boxes = f"all {len(plain.labels)} boxes{without_crowd} are {_too_small(inclusive)}"
    if not boxes_to_learn(_clipped_file_boxes(plain), plain.crowd, UNSCALED, inclusive).any():
        return [f"{all_boxes}; are their coordinates fractions?"]
    return [
        f"{all_boxes} after resizing to the network's input; give it larger images (short, "
        "max_size)"
    ]


def _class_warnings(boxes_of_class: Dict[str, int]) -> List[str]:
    """Name the classes without boxes."""
    empty = [name for name, count in boxes_of_class.items() if count == 0]
    return [f"no box to learn from for the classes {first_few(empty)}"] if empty else []


def _spelling_warnings(classes: Sequence[str], objects: ObjectTable) -> List[str]:
    """Name the classes that are probably one, because only case and spaces set them apart."""
    counts = np.bincount(objects.labels, minlength=len(classes)).tolist()
    spellings: Dict[str, List[str]] = {}
    for name, count in zip(classes, counts):
        plain = "".join(name.casefold().split())
        spellings.setdefault(plain, []).append(f"{name!r} (boxes: {count})")
    warnings = []
    for similar in spellings.values():
        if len(similar) > 1:
            warnings.append(
                f"the classes {' and '.join(similar)} differ only in case or spaces; if they are "
                "one, give them one name in the files (coco, yolo: or leave one out by --classes)"
            )
    return warnings


def _size_warnings(objects: ObjectTable, inclusive: bool) -> List[str]:
    """Count boxes that are too small, and those that reach far out of their images."""
    warnings = []
    plain = objects.rows(~objects.crowd)
    count = len(plain.labels)
    small = int((~plain.learnable).sum())
    if small:
        warnings.append(
            f"{small} of {count} boxes are {_too_small(inclusive)}, in the image or in the "
            "network's input, and are not trained on"
        )
    beyond = plain.file_boxes[:, 2:] - plain.image_sizes[:, ::-1]
    overhang = np.maximum(-plain.file_boxes[:, :2], beyond)
    reaches_out = (overhang > ALLOWED_OVERHANG).any(axis=1)
    if reaches_out.sum() > FEW * count:
        warnings.append(
            f"{reaches_out.sum()} of {count} boxes reach more than {ALLOWED_OVERHANG:g} pixels out "
            "of their images; is the order of their numbers x, y, width, height?"
        )
    return warnings


def _area_warnings(places: Sequence[str]) -> List[str]:
    """Count the boxes that the data set left out because they have no area."""
    if not places:
        return []
    return [
        f"boxes without an area are left out ({len(places)}): {first_few(places)}; correct or "
        "remove them"
    ]


def _repetition_warnings(objects: ObjectTable, image_names: Sequence[str]) -> List[str]:
    """Name what is in the data set more than once: image files, and boxes of one image."""
    warnings = []
    seen = set()
    repeated: List[str] = []
    for name in image_names:
        if name in seen:
            repeated.append(name)
        seen.add(name)
    if repeated:
        warnings.append(
            f"{len(repeated)} images are listed more than once, {first_few(repeated)}; the boxes "
            "of one entry are background in the other"
        )
    rows = np.column_stack([objects.images, objects.labels, objects.crowd, objects.file_boxes])
    copies = len(rows) - len(np.unique(rows, axis=0))
    if copies:
        warnings.append(
            f"{copies} boxes repeat another box of their image and class; an object that is "
            "annotated twice can be detected only once, so remove the copies"
        )
    return warnings
