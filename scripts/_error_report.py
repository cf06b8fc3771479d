"""What AP is lost by, as tables and as advice."""

from typing import Dict, List, NamedTuple, Tuple

from gluonnorm.errors import first_few
from gluonnorm.evaluation import ErrorBreakdown, ErrorShares
from gluonnorm.evaluation.error_breakdown import MAX_DETECTIONS

from _terminal import class_cell, width_of

SHAPES = {"bbox": "boxes", "segm": "masks"}


class Cause(NamedTuple):
    """What an error is, and what to try against it.

    Attributes
    ----------
    meaning : str
        What the detection or the object is.
    advice : str
        Flags and scripts; a flag without a script is one of train_faster_rcnn.py.
    """

    meaning: str
    advice: str


_CAUSES = {
    "class": Cause(
        "on an object, but called another class",
        "look at the labels (check_dataset.py --draw), then --class-weights NAME=2 or "
        "--repeat-threshold 0.1 for the rarer of the classes, more --epochs, and --augment "
        "color_jitter where color does not tell the classes apart",
    ),
    "location": Cause(
        "of the right class, but too far from the object",
        "--set short=... with a larger input, anchors that fit (check_dataset.py --params shows "
        "the reach), more --epochs with --lr-mode cosine, or --box-loss with a loss of your own",
    ),
    "both": Cause(
        "near an object, but of another class and too far away",
        "first what helps against class and location; many of them mean a network that has learned "
        "too little: more --epochs, --pretrained-base, or --recipe auto",
    ),
    "duplicate": Cause(
        "on an object that a better detection has already",
        "a lower --set nms_thresh=0.3, which needs no training: eval_faster_rcnn.py shows what it "
        "gives; objects that really overlap set the limit",
    ),
    "background": Cause(
        "where the files have no object",
        "look for objects without a label (check_dataset.py --draw), then train on images without "
        "objects too (leave out --skip-empty), --class-weights background=2, or --class-loss focal",
    ),
    "missed": Cause(
        "objects that no detection would reach if it were mended",
        "check_dataset.py --params shows whether anchors and proposals reach them: if not, --set "
        "anchor_sizes=..., rpn_test_post_nms=... or a larger short=...; if they do, "
        "--class-weights or --repeat-threshold for rare classes, and --set score_thresh=0.01",
    ),
}
_MASK_ADVICE = {
    "location": "if the boxes lose less here, --set mask_roi_size=28 or more --epochs; otherwise "
    "first what helps the boxes",
}
TOTALS = {
    "false_positives": "all detections that are wrong, ranked behind the right ones",
    "false_negatives": "all objects without a right detection, not asked for",
}


def error_report(breakdown: ErrorBreakdown, num_images: int) -> List[str]:
    """Write what boxes or masks lose AP by, what to try, and the losses of each class.

    Parameters
    ----------
    breakdown : ErrorBreakdown
        What ``explain_errors`` returns.
    num_images : int
        How many images were looked at.

    Returns
    -------
    list of str
        The lines to print. Causes and classes that lose most come first.
    """
    overall = breakdown.overall
    causes = causes_by_loss(breakdown)
    lines = [
        f"{SHAPES[breakdown.iou_type]}: AP {overall.ap:.4f} at IoU {breakdown.iou_thresh:g}; "
        f"{num_images} images, {overall.objects} objects, {overall.detections} detections",
        f"  {'cause':16}  {'AP lost':>8}  {'errors':>7}  what it is",
    ]
    for name in causes:
        lines.append(_row(name, overall, explain_cause(breakdown.iou_type, name).meaning))
    for name in TOTALS:
        lines.append(_row(name, overall, TOTALS[name]))
    lines.append("  Each loss is what mending these errors alone would gain, so they do not add up")
    lines += [f"  {note}" for note in error_notes(breakdown)]
    costly = [name for name in causes if overall.lost[name] > 0]
    if costly:
        lines.append("  what to try:")
    elif overall.errors["false_positives"] or overall.errors["false_negatives"]:
        lines.append("  no cause loses AP alone, as where many detections have the same score")
    else:
        lines.append("  no cause loses AP")
    for name in costly:
        lines.append(f"    {name}: {explain_cause(breakdown.iou_type, name).advice}")
    return [*lines, "", *_class_table(breakdown, causes)]


def explain_cause(iou_type: str, name: str) -> Cause:
    """Say what a cause is, and what to try against it.

    Parameters
    ----------
    iou_type : str
        ``"bbox"`` for boxes, ``"segm"`` for masks.
    name : str
        One of the six causes.

    Returns
    -------
    Cause
        Meaning and advice.
    """
    cause = _CAUSES[name]
    if iou_type == "segm" and name in _MASK_ADVICE:
        return cause._replace(advice=_MASK_ADVICE[name])
    return cause


def causes_by_loss(breakdown: ErrorBreakdown) -> List[str]:
    """List the causes, the one that loses most first.

    Parameters
    ----------
    breakdown : ErrorBreakdown
        What ``explain_errors`` returns.

    Returns
    -------
    list of str
        The names of the six causes.
    """
    return sorted(_CAUSES, key=breakdown.overall.lost.__getitem__, reverse=True)


def classes_by_ap(breakdown: ErrorBreakdown) -> Dict[str, ErrorShares]:
    """List the classes that have objects, the one with the lowest AP first.

    Parameters
    ----------
    breakdown : ErrorBreakdown
        What ``explain_errors`` returns.

    Returns
    -------
    dict of str to ErrorShares
        By the name of each class.
    """
    with_objects = {}
    for name, shares in breakdown.classes.items():
        if shares.objects:
            with_objects[name] = shares
    return dict(sorted(with_objects.items(), key=_ap_of_item))


def error_notes(breakdown: ErrorBreakdown) -> List[str]:
    """Say what makes the AP differ from COCO's.

    Parameters
    ----------
    breakdown : ErrorBreakdown
        What ``explain_errors`` returns.

    Returns
    -------
    list of str
        Sentences without their periods: on images with too many detections, and on classes without
        objects.
    """
    notes = []
    if breakdown.truncated_images:
        notes.append(
            f"Images with more than {MAX_DETECTIONS} detections: {breakdown.truncated_images}. "
            "Only the best ones count, as in tidecv; COCO's AP50 has this limit for each class, "
            "and not for all together"
        )
    idle = []
    for name, shares in breakdown.classes.items():
        if not shares.objects and shares.detections:
            idle.append(name)
    if idle:
        notes.append(
            f"Classes without objects that have detections: {first_few(idle)}. As in tidecv they "
            "have an AP of 0 in the mean; COCO's AP50 leaves them out"
        )
    return notes


def _ap_of_item(item: Tuple[str, ErrorShares]) -> float:
    """The AP of a name and its shares, for sorting."""
    return item[1].ap


def _row(name: str, shares: ErrorShares, meaning: str) -> str:
    """Write the line of one cause or total."""
    title = name.replace("_", " ")
    return f"  {title:16}  {shares.lost[name]:8.4f}  {shares.errors[name]:7}  {meaning}"


def _class_table(breakdown: ErrorBreakdown, causes: List[str]) -> List[str]:
    """Write the AP of each class, and what it loses by each cause."""
    classes = classes_by_ap(breakdown)
    width = width_of(["AP lost by class", *classes])
    titles = "".join(f"  {name:>10}" for name in causes)
    lines = [f"  {'AP lost by class':{width}}  {'objects':>7}  {'AP':>8}{titles}"]
    for name, shares in classes.items():
        cells = "".join(f"  {shares.lost[cause]:10.4f}" for cause in causes)
        lines.append(f"  {class_cell(name, width)}  {shares.objects:7}  {shares.ap:8.4f}{cells}")
    return lines
