"""Inspect a data set before training: how many boxes, of which sizes, and what can be learned."""

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Protocol, Sequence, Tuple

from gluonnorm.data.faults import skipped_faults
from gluonnorm.data.labeled_image import DataError, Dataset
from gluonnorm.errors import first_few
from gluonnorm.photos.prepare import resized_size
from gluonnorm.types import Preprocess

import numpy as np

SMALLEST_SIDE = 1.0  # pixels; a shorter side shows nothing
# Boxes that reach farther out of their image than this are counted, if they are not few.
ALLOWED_OVERHANG = 2.0  # pixels
FEW = 0.05  # of the boxes


class AnchorSettings(Protocol):
    """The settings of a detector that decide which boxes its anchors reach."""

    @property
    def anchor_sizes(self) -> Tuple[Tuple[float, ...], ...]:
        """Square roots of the anchors' areas in pixels, for each feature map."""

    @property
    def anchor_ratios(self) -> Tuple[float, ...]:
        """Heights of the anchors divided by their widths."""

    @property
    def rpn_neg_iou_thresh(self) -> float:
        """IoU below which an anchor counts as background."""


class Inspection(NamedTuple):
    """What a data set holds, and what stands against learning from it.

    Attributes
    ----------
    images : int
        Number of images.
    boxes : int
        Number of annotated boxes, crowd and boxes without an area included.
    crowd : int
        Boxes that are COCO's ``iscrowd`` or VOC's ``difficult``, which training leaves out.
    learnable : int
        Boxes that training can learn from: no crowd, and each side of at least a pixel, in the
        image and in the network's input.
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
    faults : tuple of str
        What ``skip_bad`` left out.
    problems : tuple of str
        Reasons why nothing can be learned.
    warnings : tuple of str
        What is probably not meant so.
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
    faults: Tuple[str, ...]
    problems: Tuple[str, ...]
    warnings: Tuple[str, ...]

    def require_boxes(self) -> None:
        """Refuse a data set from which nothing can be learned.

        Raises
        ------
        DataError
            There are ``problems``.
        """
        if self.problems:
            raise DataError("; ".join(self.problems))


class _Boxes(NamedTuple):
    """All annotated boxes of a data set, a row for each: places of image and class, and corners."""

    images: np.ndarray  # (M,) int, position of the image
    labels: np.ndarray  # (M,) int
    crowd: np.ndarray  # (M,) bool
    corners: np.ndarray  # (M, 4) float64, as the files have them
    image_sizes: np.ndarray  # (M, 2) int, height and width of each box's image


def inspect(
    dataset: Dataset,
    preprocess: Optional[Preprocess] = None,
    config: Optional[AnchorSettings] = None,
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
        The settings of the network. With ``preprocess``, boxes that no anchor reaches are counted.

    Returns
    -------
    Inspection
        Counts, sizes, faults, problems and warnings.

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
    truth = dataset.coco_truth()
    image_sizes = np.asarray(dataset.sizes(), np.int64).reshape(-1, 2)
    boxes = _list_boxes(truth, dataset.category_ids, image_sizes)
    sides = _clipped_sides(boxes)
    scales = _resizing_scales(image_sizes, preprocess)[boxes.images]
    resized_sides = sides * scales
    shown_in_image = (sides >= SMALLEST_SIDE).all(axis=1)
    shown_to_network = (resized_sides >= SMALLEST_SIDE).all(axis=1)
    is_learnable = ~boxes.crowd & shown_in_image & shown_to_network

    boxes_of_class: Dict[str, int] = {}
    images_of_class: Dict[str, int] = {}
    for label, name in enumerate(dataset.classes):
        rows = is_learnable & (boxes.labels == label)
        boxes_of_class[name] = int(rows.sum())
        images_of_class[name] = _count_images(boxes, rows)
    problems = _problems(boxes, shown_in_image, is_learnable)
    warnings: List[str] = []
    if not problems:
        warnings += _class_warnings(boxes_of_class)
        warnings += _size_warnings(boxes, is_learnable)
        if preprocess is not None and config is not None:
            warnings += _anchor_warnings(resized_sides[is_learnable], config)
    warnings += _name_warnings(truth)
    return Inspection(
        images=len(image_sizes),
        boxes=len(boxes.labels),
        crowd=int(boxes.crowd.sum()),
        learnable=int(is_learnable.sum()),
        images_without_boxes=len(image_sizes) - _count_images(boxes, is_learnable),
        boxes_of_class=boxes_of_class,
        images_of_class=images_of_class,
        image_sizes=image_sizes,
        box_sizes=sides[~boxes.crowd],
        faults=skipped_faults(dataset),
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _list_boxes(
    truth: Dict[str, Any], category_ids: Sequence[int], image_sizes: np.ndarray
) -> _Boxes:
    """Collect the boxes of the ground truth in arrays."""
    position_of = {entry["id"]: position for position, entry in enumerate(truth["images"])}
    label_of = {category: label for label, category in enumerate(category_ids)}
    entries = truth["annotations"]
    images = np.array([position_of[entry["image_id"]] for entry in entries], np.int64)
    labels = np.array([label_of[entry["category_id"]] for entry in entries], np.int64)
    crowd = np.array([entry.get("iscrowd", 0) for entry in entries], bool)
    corners = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return _Boxes(images, labels, crowd, corners, image_sizes[images])


def _count_images(boxes: _Boxes, rows: np.ndarray) -> int:
    """Count the images of some boxes; ``rows`` are (M,) bool."""
    return len(np.unique(boxes.images[rows]))


def _clipped_sides(boxes: _Boxes) -> np.ndarray:
    """Return (M, 2), height and width of each box inside its image."""
    widths_and_heights = np.tile(boxes.image_sizes[:, ::-1], 2)
    clipped = np.clip(boxes.corners, 0, widths_and_heights)
    return np.maximum(clipped[:, 3:1:-1] - clipped[:, 1::-1], 0)


def _resizing_scales(image_sizes: np.ndarray, preprocess: Optional[Preprocess]) -> np.ndarray:
    """Return (N, 2), the factors by which the network's input is higher and wider."""
    if preprocess is None:
        return np.ones(image_sizes.shape)
    longest = replace(preprocess, short=(max(preprocess.short),))
    scale_of: Dict[Tuple[int, int], List[float]] = {}
    for height, width in image_sizes.tolist():
        if (height, width) not in scale_of:
            new_height, new_width = resized_size(height, width, longest)
            scale_of[height, width] = [new_height / height, new_width / width]
    scales = [scale_of[height, width] for height, width in image_sizes.tolist()]
    return np.array(scales, np.float64).reshape(-1, 2)


def _problems(boxes: _Boxes, shown_in_image: np.ndarray, is_learnable: np.ndarray) -> List[str]:
    """Say why there is no box to learn from, if there is none."""
    count = len(boxes.labels)
    if is_learnable.any():
        return []
    if count == 0:
        return ["there is not one box to learn from; are these the right annotations?"]
    if boxes.crowd.all():
        return [f"all {count} boxes are crowd or difficult, and training leaves these out"]
    plain = ~boxes.crowd
    without_crowd = " that are not crowd or difficult" if boxes.crowd.any() else ""
    if not shown_in_image[plain].any():
        return [
            f"all {plain.sum()} boxes{without_crowd} are less than a pixel wide or high; are their "
            "coordinates fractions?"
        ]
    return [
        f"all {plain.sum()} boxes{without_crowd} are less than a pixel wide or high after resizing "
        "to the network's input; give it larger images (short, max_size)"
    ]


def _class_warnings(boxes_of_class: Dict[str, int]) -> List[str]:
    """Name the classes without boxes."""
    empty = [name for name, count in boxes_of_class.items() if count == 0]
    return [f"no box to learn from for the classes {first_few(empty)}"] if empty else []


def _size_warnings(boxes: _Boxes, is_learnable: np.ndarray) -> List[str]:
    """Count boxes that are too small, and those that reach far out of their images."""
    warnings = []
    plain = ~boxes.crowd
    small = int((plain & ~is_learnable).sum())
    if small:
        warnings.append(
            f"{small} of {plain.sum()} boxes are less than a pixel wide or high, in the image or "
            "in the network's input"
        )
    heights_and_widths = boxes.image_sizes
    overhang = np.maximum(-boxes.corners[:, :2], boxes.corners[:, 2:] - heights_and_widths[:, ::-1])
    reaches_out = plain & (overhang > ALLOWED_OVERHANG).any(axis=1)
    if reaches_out.sum() > FEW * plain.sum():
        warnings.append(
            f"{reaches_out.sum()} of {plain.sum()} boxes reach more than {ALLOWED_OVERHANG:g} "
            "pixels out of their images; is the order of their numbers x, y, width, height?"
        )
    return warnings


def _anchor_warnings(sides: np.ndarray, config: AnchorSettings) -> List[str]:
    """Count the boxes that no anchor reaches, wherever it is; ``sides`` are (M, 2) after resizing.

    The best IoU of a box and an anchor is that of a common center.
    """
    areas = np.array([size for level in config.anchor_sizes for size in level]) ** 2.0
    ratios = np.array(config.anchor_ratios)
    heights = np.sqrt(areas[:, None] * ratios).ravel()
    widths = np.sqrt(areas[:, None] / ratios).ravel()
    best = np.zeros(len(sides))
    for height, width in zip(heights, widths):
        common = np.minimum(sides[:, 0], height) * np.minimum(sides[:, 1], width)
        union = sides.prod(axis=1) + height * width - common
        best = np.maximum(best, common / union)
    missed = best < config.rpn_neg_iou_thresh
    if missed.sum() <= FEW * len(sides):
        return []
    lengths = np.sqrt(sides[missed].prod(axis=1))
    return [
        f"{missed.sum()} of {len(sides)} boxes have an IoU below {config.rpn_neg_iou_thresh:g} "
        f"with every anchor; after resizing they are {lengths.min():.0f} to {lengths.max():.0f} "
        f"pixels large, the anchors {np.sqrt(areas.min()):.0f} to {np.sqrt(areas.max()):.0f}: "
        "choose other anchor_sizes, or another short"
    ]


def _name_warnings(truth: Dict[str, Any]) -> List[str]:
    """Name the image files that are in the data set more than once."""
    seen = set()
    repeated: List[str] = []
    for entry in truth["images"]:
        name = entry.get("file_name")
        if name in seen:
            repeated.append(str(name))
        seen.add(name)
    if not repeated:
        return []
    return [
        f"{len(repeated)} images are listed more than once, {first_few(repeated)}; the boxes of "
        "one entry are background in the other"
    ]
