"""Checks of ground truth and results before they are scored.

pycocotools computes with whatever it gets: a crowd flag ``"0"`` is true for it, an area of -1 puts
a box into no range of sizes, and NaN makes a wrong score without a word.
"""

import math
from numbers import Real
from typing import Any, Dict, List, Mapping, Sequence, Set

from gluonnorm.errors import InputError, first_few

import numpy as np

IOU_TYPES = ("bbox", "segm")


def check_results(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Check that results and ground truth belong to the same data set, and that scores are numbers.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict with ``images`` and ``categories``.
    results : sequence of mapping
        COCO result entries with ``image_id``, ``category_id``, ``score`` and perhaps ``bbox``.

    Raises
    ------
    InputError
        A result has an image or category that the ground truth does not have, two categories have
        the same name, or a score or a box of a result is not finite. The message names the ids.
    """
    names = [category["name"] for category in ground_truth["categories"]]
    if len(set(names)) < len(names):
        raise InputError(
            f"two categories of the ground truth have the same name; the names are {names}"
        )
    for key, section in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in ground_truth[section]}
        used = {result[key] for result in results}
        unknown = sorted(used - known)
        if unknown:
            raise InputError(
                f"{len(unknown)} {key} values of the results are not in the ground truth: "
                f"{first_few(list(map(str, unknown)))}; it has {_described(section, known)}; "
                "ground truth and results must come from the same data set"
            )
    _require_finite([[result["score"]] for result in results], "result", "score")
    _require_finite([result.get("bbox", ()) for result in results], "result", "bbox")


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
        or an annotation or a result has no ``segmentation``, or one of another size than its image.
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
    lacking = [number for number, result in enumerate(results) if "bbox" not in result]
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
            # Polygons have no size of their own.
            if not isinstance(mask, Mapping):
                continue
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
        Another crowd flag, an area that is no number, or a box that is not finite.
    """
    annotations = ground_truth["annotations"]
    _require_finite([entry["bbox"] for entry in annotations], "annotation", "bbox")
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


def _described(section: str, ids: Set[int]) -> str:
    """Say which images or categories a ground truth has."""
    shown = first_few([str(known) for known in sorted(ids)])
    return f"{len(ids)} {section} with the ids {shown}" if ids else f"no {section}"


def _area(annotation: Mapping[str, Any], number: int) -> float:
    """The stated area of an annotation if it is one, else that of its box."""
    area = annotation.get("area")
    if area is None:
        return box_area(annotation)
    if not isinstance(area, Real):
        raise InputError(f"annotation number {number} has the area {area!r}; want a number")
    stated = float(area)
    return stated if math.isfinite(stated) and stated >= 0 else box_area(annotation)


def _require_finite(rows: Sequence[Sequence[float]], description: str, key: str) -> None:
    """Raise InputError if a row of numbers has NaN or infinity."""
    values = np.array([value for row in rows for value in row], np.float64)
    if np.isfinite(values).all():
        return
    for number, row in enumerate(rows):
        if not np.isfinite(row).all():
            raise InputError(
                f"{description} number {number} has {key} {list(row)}; want finite numbers, so the "
                "network has diverged or the file is damaged"
            )
