"""Checks of ground truth and results before they are scored.

pycocotools computes with whatever it gets: a crowd flag ``"0"`` is true for it, an area of -1 puts
a box into no range of sizes, a box of a negative width overlaps nothing, annotations of unknown
categories are left out, and NaN makes a wrong score without a word.
"""

import math
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Set

from gluonnorm.errors import InputError, first_few
from gluonnorm.types import is_number

IOU_TYPES = ("bbox", "segm")
BOX_NUMBERS = 4  # x, y, width, height
IDS = (("image_id", "images"), ("category_id", "categories"))
# The sections of a ground truth, what one of their entries is called, and the keys that it needs.
SECTIONS = (
    ("images", "image", ("id",)),
    ("annotations", "annotation", ("image_id", "category_id")),
    ("categories", "category", ("id", "name")),
)


def check_results(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Check that results and ground truth belong to the same data set, and that scores are numbers.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict with ``images``, ``annotations`` and ``categories``.
    results : sequence of mapping
        COCO result entries with ``image_id``, ``category_id``, ``score`` and perhaps ``bbox``.

    Raises
    ------
    InputError
        As for ``check_ids``; a result has an image or category that the ground truth does not have,
        a score is not a finite number, or a box of a result is not four finite numbers, of which
        the sides are not negative. The message names the ids or the result.
    """
    check_ids(ground_truth)
    _require_keys(results, "result", ("image_id", "category_id", "score"))
    way_out = "ground truth and results must come from the same data set"
    _require_known_ids(ground_truth, results, "results", way_out)
    for number, result in enumerate(results):
        score = result["score"]
        if not is_number(score):
            raise InputError(f"result number {number} has score {score!r}; want a number")
        _require_finite([score], f"result number {number} has score {score}")
    _check_boxes(results, "result")


def check_ids(ground_truth: Mapping[str, Any]) -> None:
    """Check that the annotations of a ground truth are of its images and categories.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict.

    Raises
    ------
    InputError
        A section is missing, an entry lacks its id or name, two categories have the same name, or
        an annotation has an image or category that the ground truth does not have.
    """
    for section, description, keys in SECTIONS:
        if section not in ground_truth:
            raise InputError(
                f"the ground truth has no {section}; want a COCO dict with images, annotations and "
                "categories"
            )
        _require_keys(ground_truth[section], description, keys)
    names = [category["name"] for category in ground_truth["categories"]]
    if len(set(names)) < len(names):
        raise InputError(
            f"two categories of the ground truth have the same name; the names are {names}"
        )
    way_out = "add what is missing, or leave these annotations out"
    _require_known_ids(ground_truth, ground_truth["annotations"], "annotations", way_out)


def check_comparison(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_type: str
) -> None:
    """Check that results can be compared with a ground truth, by their boxes or by their masks.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict.
    results : sequence of mapping
        COCO result entries.
    iou_type : str
        ``"bbox"`` or ``"segm"``: what is compared.

    Raises
    ------
    InputError
        ``iou_type`` is something else; ``check_results`` finds a fault; a result has no ``bbox``;
        an annotation or a result has no ``segmentation``, or one of another size than its image; or
        a result has something else than run lengths.
    """
    if iou_type not in IOU_TYPES:
        raise InputError(
            f"iou_type is {iou_type!r}; the types of COCO evaluation here are 'bbox' and 'segm'"
        )
    check_results(ground_truth, results)
    if iou_type == "segm":
        _require_masks(ground_truth, results)
    else:
        _require_boxes(results)


def _require_boxes(results: Sequence[Mapping[str, Any]]) -> None:
    """Check that every result has a box."""
    lacking = [number for number, result in enumerate(results) if _has_no_box(result)]
    if lacking:
        raise InputError(
            f"result number {lacking[0]} has no bbox, the first of {len(lacking)} without; "
            "evaluate masks with iou_type='segm', or give every one a box"
        )


def _require_masks(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Check that every annotation and result has a mask, of the size of its image."""
    sizes = {}
    for image in ground_truth["images"]:
        if image.get("height") is None or image.get("width") is None:
            raise InputError(
                f"image {image['id']} of the ground truth has no height and width, which masks need"
            )
        sizes[image["id"]] = (image["height"], image["width"])
    for description, entries in (
        ("annotation", ground_truth["annotations"]),
        ("result", results),
    ):
        lacking = [number for number, entry in enumerate(entries) if "segmentation" not in entry]
        if lacking:
            raise InputError(
                f"{description} number {lacking[0]} has no segmentation, the first of "
                f"{len(lacking)} without; evaluate boxes with iou_type='bbox', or give every one a "
                "mask"
            )
        for number, entry in enumerate(entries):
            mask = entry["segmentation"]
            if not isinstance(mask, Mapping):
                # Polygons have no size of their own.
                if description == "annotation":
                    continue
                raise InputError(
                    f"result number {number} has a {type(mask).__name__} as segmentation; want run "
                    "lengths, an object with size and counts"
                )
            if "size" not in mask or "counts" not in mask:
                raise InputError(
                    f"{description} number {number} has a segmentation with {', '.join(mask)}; "
                    "want run lengths, with size and counts"
                )
            size = sizes.get(entry["image_id"])
            if size is not None and tuple(mask["size"]) != size:
                raise InputError(
                    f"{description} number {number} has a mask of {mask['size'][0]} x "
                    f"{mask['size'][1]} pixels, and its image {entry['image_id']} has {size[0]} x "
                    f"{size[1]}; masks have the height and width of their photo"
                )


def checked_annotations(ground_truth: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Copy the annotations of a ground truth, each with a crowd flag and an area that are numbers.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict. It is not changed.

    Returns
    -------
    list of dict
        The annotations. ``iscrowd`` is 0 or 1, and 0 where it is missing or None. An ``area`` that
        is missing, None, negative or not finite is that of the box.

    Raises
    ------
    InputError
        Another crowd flag, an area that is no number, or a box that is missing or not four finite
        numbers, of which the sides are not negative.
    """
    annotations = ground_truth["annotations"]
    lacking = [number for number, entry in enumerate(annotations) if _has_no_box(entry)]
    if lacking:
        raise InputError(
            f"annotation number {lacking[0]} has no bbox, the first of {len(lacking)} without; "
            "give every one a box"
        )
    _check_boxes(annotations, "annotation")
    checked = []
    for number, entry in enumerate(annotations):
        crowd = entry.get("iscrowd")
        if crowd not in (None, 0, 1):
            raise InputError(f"annotation number {number} has iscrowd {crowd!r}; want 0 or 1")
        checked.append({**entry, "iscrowd": int(crowd or 0), "area": _area(entry, number)})
    return checked


def box_area(entry: Mapping[str, Any]) -> float:
    """Compute the area of the box of an annotation or result.

    Parameters
    ----------
    entry : mapping
        An annotation or result with ``bbox``: x, y, width, height in pixels.

    Returns
    -------
    float
        In square pixels.
    """
    _, _, width, height = entry["bbox"]
    return width * height


def _require_keys(
    entries: Sequence[Mapping[str, Any]], description: str, keys: Sequence[str]
) -> None:
    """Raise InputError if an entry lacks a key."""
    for number, entry in enumerate(entries):
        for key in keys:
            if key not in entry:
                raise InputError(f"{description} number {number} has no {key}")


def _require_known_ids(
    ground_truth: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], owner: str, way_out: str
) -> None:
    """Raise InputError if an entry has an image or category that the ground truth does not have."""
    for key, section in IDS:
        known = {entry["id"] for entry in ground_truth[section]}
        unknown = _in_order({entry[key] for entry in entries} - known)
        if unknown:
            raise InputError(
                f"{len(unknown)} {key} values of the {owner} are not in the ground truth: "
                f"{first_few(list(map(str, unknown)))}; it has {_described(section, known)}; "
                f"{way_out}"
            )


def _in_order(ids: Iterable[Any]) -> List[Any]:
    """Sort ids, which may be of several types."""
    return sorted(ids, key=lambda value: (type(value).__name__, value))


def _described(section: str, ids: Set[Any]) -> str:
    """Say which images or categories a ground truth has."""
    shown = first_few([str(known) for known in _in_order(ids)])
    return f"{len(ids)} {section} with the ids {shown}" if ids else f"no {section}"


def _has_no_box(entry: Mapping[str, Any]) -> bool:
    """Whether an annotation or result has no box; results of masks may have an empty one."""
    box = entry.get("bbox")
    return box is None or (isinstance(box, (list, tuple)) and not box)


def _check_boxes(entries: Sequence[Mapping[str, Any]], description: str) -> None:
    """Raise InputError if a box is not four finite numbers, or has a negative side."""
    for number, entry in enumerate(entries):
        if _has_no_box(entry):
            continue
        box = entry["bbox"]
        if not _is_box(box):
            raise InputError(
                f"{description} number {number} has bbox {box!r}; want four numbers: x, y, width, "
                "height"
            )
        _require_finite(box, f"{description} number {number} has bbox {list(box)}")
        if min(box[2], box[3]) < 0:
            raise InputError(
                f"{description} number {number} has bbox {list(box)}; want x, y, width, height, of "
                "which width and height are not negative"
            )


def _is_box(box: Any) -> bool:
    """Whether a value is a sequence of four numbers."""
    try:
        return len(box) == BOX_NUMBERS and all(is_number(value) for value in box)
    except TypeError:  # no sequence
        return False


def _area(annotation: Mapping[str, Any], number: int) -> float:
    """The stated area of an annotation if it is one, else that of its box."""
    area = annotation.get("area")
    if area is None:
        return box_area(annotation)
    if not is_number(area):
        raise InputError(f"annotation number {number} has the area {area!r}; want a number")
    stated = float(area)
    return stated if math.isfinite(stated) and stated >= 0 else box_area(annotation)


def _require_finite(values: Sequence[float], subject: str) -> None:
    """Raise InputError if a number is NaN or infinity; ``subject`` begins the message."""
    if not all(map(math.isfinite, values)):
        raise InputError(
            f"{subject}; want finite numbers, so the network has diverged or the file is damaged"
        )
