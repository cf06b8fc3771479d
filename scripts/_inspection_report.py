"""What is known of a split of a data set, as lines of text and as JSON."""

from typing import Any, Dict, List, Optional, Tuple

from gluonnorm.data import Inspection

import numpy as np
from _terminal import class_cell, width_of

# COCO's limits between small, medium and large boxes: square roots of areas, in pixels.
SMALL = 32
LARGE = 96
DECIMALS = 3  # of numbers in the JSON file


def report(split: str, inspection: Inspection, show: int) -> List[str]:
    """Write what was found in one split.

    Parameters
    ----------
    split : str
        Its name.
    inspection : Inspection
        What ``inspect`` returns.
    show : int
        How many faults are listed one by one.

    Returns
    -------
    list of str
        The lines to print.
    """
    lines = [
        f"{split}: {inspection.images} images, {inspection.images_without_boxes} of them without "
        "boxes to learn from",
        f"  {inspection.boxes} boxes, {inspection.learnable} to learn from, {inspection.crowd} "
        "crowd or difficult",
        f"  {np.median(inspection.boxes_of_image):g} boxes to learn from in an image (median), "
        f"{inspection.boxes_of_image.max()} at most",
    ]
    lines += class_table(inspection)
    lines += size_table(inspection)
    lines += reach_table(inspection)
    lines += [f"  fault: {message}" for message in inspection.faults[:show]]
    hidden = len(inspection.faults) - show
    if hidden > 0:
        lines.append(f"  and {hidden} more faults; --show {len(inspection.faults)} prints all")
    lines += [f"  problem: {message}" for message in inspection.problems]
    lines += [f"  warning: {message}" for message in inspection.warnings]
    lines.append(
        f"  {len(inspection.faults)} faults, {len(inspection.problems)} problems, "
        f"{len(inspection.warnings)} warnings"
    )
    return lines


def class_table(inspection: Inspection) -> List[str]:
    """Write the number of boxes and images of each class.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.

    Returns
    -------
    list of str
        The lines of the table, the classes in the order of their labels.
    """
    width = width_of(["class", *inspection.boxes_of_class])
    lines = [f"  {'class':{width}}  {'boxes':>9}  {'images':>9}"]
    for name, boxes in inspection.boxes_of_class.items():
        lines.append(
            f"  {class_cell(name, width)}  {boxes:9}  {inspection.images_of_class[name]:9}"
        )
    return lines


def size_table(inspection: Inspection) -> List[str]:
    """Write the smallest, median and largest sizes of images and boxes.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.

    Returns
    -------
    list of str
        The lines of the table, and how many boxes are small, medium and large as COCO counts them.
    """
    lines = [f"  {'pixels':12}  {'smallest':>9}  {'median':>9}  {'largest':>9}"]
    lengths = np.sqrt(inspection.box_sizes.prod(axis=1))
    rows: Tuple[Tuple[str, np.ndarray], ...] = (
        ("image height", inspection.image_sizes[:, 0]),
        ("image width", inspection.image_sizes[:, 1]),
        ("box height", inspection.box_sizes[:, 0]),
        ("box width", inspection.box_sizes[:, 1]),
        ("box size", lengths),
    )
    for name, values in rows:
        if len(values):
            cells = (values.min(), np.median(values), values.max())
            lines.append(f"  {name:12}  " + "  ".join(f"{cell:9.5g}" for cell in cells))
    small = int((lengths < SMALL).sum())
    large = int((lengths > LARGE).sum())
    medium = len(lengths) - small - large
    lines.append(
        f"  boxes below {SMALL} pixels: {small}, up to {LARGE}: {medium}, above: {large} (box size "
        "is the square root of the area)"
    )
    return lines


def reach_table(inspection: Inspection) -> List[str]:
    """Write the sizes of each class in the network's input, and what share of it is reached.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.

    Returns
    -------
    list of str
        The lines of the table; none without a network.
    """
    reach = inspection.reach
    if reach is None:
        return []
    width = width_of(["in the input", *inspection.reach_of_class])
    shares = [f"IoU {reach.positive:g}", f"IoU {reach.reached:g}", "pre-NMS", "proposals"]
    titles = ["size", "high/wide", "best IoU", *shares]
    lines = [f"  {'in the input':{width}}" + "".join(f"  {title:>9}" for title in titles)]
    objects = inspection.learnable_objects
    labels = {name: label for label, name in enumerate(inspection.boxes_of_class)}
    for name, share in inspection.reach_of_class.items():
        ratio = float(np.median(objects.ratios[objects.labels == labels[name]]))
        cells = [f"{share.length:9.1f}", f"{ratio:9.2f}", f"{share.mean_iou:9.2f}"]
        for value in (share.positive, share.reached, share.candidates, share.proposals):
            cells.append(_percent(value))
        lines.append(f"  {class_cell(name, width)}  " + "  ".join(cells))
    lines.append(
        "  size and ratio are medians; shares of objects have an anchor, a box before the NMS or a "
        "proposal with this IoU"
    )
    return lines


def _percent(share: Optional[float]) -> str:
    """Write a share in a cell of a table; a hyphen if it is not known."""
    return f"{'-':>9}" if share is None else f"{100 * share:7.1f} %"


def as_json(inspection: Inspection) -> Dict[str, Any]:
    """Turn what is known of a split into values that JSON has.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.

    Returns
    -------
    dict
        Counts, classes, and under ``objects`` a column for each property of the objects to learn
        from: image, label, width and height in the network's input, and the best IoU of each stage.
    """
    classes: Dict[str, Dict[str, Any]] = {}
    for name, count in inspection.boxes_of_class.items():
        classes[name] = {"boxes": count, "images": inspection.images_of_class[name]}
        share = inspection.reach_of_class.get(name)
        if share is not None:
            classes[name]["reach"] = share._asdict()
    objects = inspection.learnable_objects
    columns: Dict[str, Optional[np.ndarray]] = {
        "image": objects.images,
        "label": objects.labels,
        "width": objects.widths,
        "height": objects.heights,
    }
    reach = inspection.reach
    if reach is not None:
        columns["anchor_iou"] = reach.anchors
        columns["candidate_iou"] = reach.candidates
        columns["proposal_iou"] = reach.proposals
    return {
        "images": inspection.images,
        "boxes": inspection.boxes,
        "crowd": inspection.crowd,
        "learnable": inspection.learnable,
        "images_without_boxes": inspection.images_without_boxes,
        "boxes_of_image": inspection.boxes_of_image.tolist(),
        "image_sizes": inspection.image_sizes.tolist(),
        "thresholds": None if reach is None else [reach.positive, reach.reached],
        "anchor_sizes": None if reach is None else _rounded(reach.anchor_lengths),
        "classes": classes,
        "objects": {name: _rounded(column) for name, column in columns.items()},
        "faults": list(inspection.faults),
        "problems": list(inspection.problems),
        "warnings": list(inspection.warnings),
    }


def _rounded(column: Optional[np.ndarray]) -> Optional[List[Any]]:
    """Return the values of a column with few decimals; None for NaN, which JSON does not have."""
    if column is None:
        return None
    values = np.round(column, DECIMALS).tolist()
    return [None if value != value else value for value in values]
