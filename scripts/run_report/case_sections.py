"""The worst cases of a run as pictures, with the ground truth beside them."""

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from gluonnorm.evaluation.confusion import best_first, overlaps, unfound_objects
from gluonnorm.evaluation.matches import RIGHT, WRONG
from run_report.detected_run import DetectedRun
from run_report.html import Html, element, note, section
from run_report.pictures import PhotoShelf, crop_around

import numpy as np

MOST_CASES_OF_IMAGE = 2  # one bad photo shall not fill the page
Entry = Mapping[str, Any]


class Case(NamedTuple):
    """Something to look at.

    Attributes
    ----------
    image_id : int
        The photo.
    focus : mapping
        The annotation or result whose place is shown.
    detected, objects : sequence of mapping
        What is drawn at the left and at the right.
    caption : str
        What is wrong.
    """

    image_id: int
    focus: Entry
    detected: Sequence[Entry]
    objects: Sequence[Entry]
    caption: str


def case_sections(detected: DetectedRun, score_thresh: float, num_cases: int) -> List[Html]:
    """Show the worst false positives, misses and masks.

    Parameters
    ----------
    detected : DetectedRun
        The run.
    score_thresh : float
        Detections with a lower score find nothing.
    num_cases : int
        How many of each kind are shown, at most.

    Returns
    -------
    list of Html
        Sections.
    """
    shelf = PhotoShelf(detected.dataset, detected.ground_truth)
    sections = [
        _section(
            "Worst false positives",
            "Left: the wrong detection with its score, the most certain ones first. Right: the "
            "ground truth there.",
            false_positives(detected, shelf, num_cases),
            shelf,
        ),
        _section(
            "Worst misses",
            f"Left: all detections there with a score of {score_thresh:g} or more. Right: the "
            "object that none of them finds, the largest ones first.",
            misses(detected, shelf, score_thresh, num_cases),
            shelf,
        ),
    ]
    if detected.has_masks:
        sections.append(
            _section(
                "Worst masks",
                "Left: a detection whose box is right (IoU 0.5). Right: its object. The masks that "
                "agree least come first.",
                wrong_masks(detected, shelf, score_thresh, num_cases),
                shelf,
            )
        )
    return sections


def false_positives(detected: DetectedRun, shelf: PhotoShelf, num_cases: int) -> List[Case]:
    """Choose the wrong detections with the highest scores.

    Parameters
    ----------
    detected : DetectedRun
        The run.
    shelf : PhotoShelf
        Its photos.
    num_cases : int
        How many are chosen, at most.

    Returns
    -------
    list of Case
        The highest score first.
    """
    verdicts = detected.matches["bbox"].verdicts
    order = [index for index in best_first(detected.results) if verdicts[index] == WRONG]
    annotations = _by_image(detected.ground_truth["annotations"])
    cases = []
    for index in _spread(order, detected.results, num_cases):
        result = detected.results[index]
        objects = annotations.get(result["image_id"], [])
        name = shelf.class_name(result["category_id"])
        caption = f"{name} {result['score']:.2f}: {_why_wrong(result, objects, shelf)}"
        cases.append(Case(result["image_id"], result, [result], objects, caption))
    return cases


def misses(
    detected: DetectedRun, shelf: PhotoShelf, score_thresh: float, num_cases: int
) -> List[Case]:
    """Choose the largest objects that no detection finds.

    Parameters
    ----------
    detected : DetectedRun
        The run.
    shelf : PhotoShelf
        Its photos.
    score_thresh : float
        Detections with a lower score find nothing.
    num_cases : int
        How many are chosen, at most.

    Returns
    -------
    list of Case
        The largest one first.
    """
    annotations = detected.ground_truth["annotations"]
    matches = detected.matches["bbox"]
    unfound = np.flatnonzero(unfound_objects(detected.results, matches, score_thresh))
    areas = np.array([np.prod(annotations[index]["bbox"][2:]) for index in unfound])
    order = unfound[np.argsort(-areas, kind="stable")].tolist()
    shown = [result for result in detected.results if result["score"] >= score_thresh]
    results = _by_image(shown)
    cases = []
    for index in _spread(order, annotations, num_cases):
        entry = annotations[index]
        caption = f"{shelf.class_name(entry['category_id'])} missed"
        finder = matches.finders[index]
        if finder >= 0:
            caption += f"; found with the score {detected.results[finder]['score']:.2f} only"
        found = results.get(entry["image_id"], [])
        cases.append(Case(entry["image_id"], entry, found, [entry], caption))
    return cases


def wrong_masks(
    detected: DetectedRun, shelf: PhotoShelf, score_thresh: float, num_cases: int
) -> List[Case]:
    """Choose the detections with a right box whose masks agree least with the object.

    Parameters
    ----------
    detected : DetectedRun
        The run; it has masks.
    shelf : PhotoShelf
        Its photos.
    score_thresh : float
        Detections with a lower score are left out.
    num_cases : int
        How many are chosen, at most.

    Returns
    -------
    list of Case
        The lowest IoU first.
    """
    annotations = detected.ground_truth["annotations"]
    matches = detected.matches["bbox"]
    ious: Dict[int, float] = {}
    for index in np.flatnonzero(matches.verdicts == RIGHT).tolist():
        result = detected.results[index]
        if result["score"] >= score_thresh:
            partner = annotations[matches.objects[index]]
            ious[index] = float(overlaps(result, [partner], "segm")[0])
    order = sorted(ious, key=ious.__getitem__)
    cases = []
    for index in _spread(order, detected.results, num_cases):
        result = detected.results[index]
        partner = annotations[matches.objects[index]]
        name = shelf.class_name(result["category_id"])
        caption = f"{name} {result['score']:.2f}: the masks have an IoU of {ious[index]:.2f}"
        cases.append(Case(result["image_id"], result, [result], [partner], caption))
    return cases


def _why_wrong(result: Entry, objects: Sequence[Entry], shelf: PhotoShelf) -> str:
    """Say what a wrong detection overlaps."""
    if not objects:
        return "the photo has no object"
    ious = overlaps(result, objects, "bbox")
    best = int(ious.argmax())
    name = shelf.class_name(objects[best]["category_id"])
    if ious[best] < 0.1:
        return "there is no object"
    if objects[best]["category_id"] != result["category_id"]:
        return f"IoU {ious[best]:.2f} with {name}"
    if ious[best] < 0.5:
        return f"IoU {ious[best]:.2f} with the nearest {name}"
    return f"IoU {ious[best]:.2f} with {name}, which a better detection has found"


def _by_image(entries: Sequence[Entry]) -> Dict[int, List[Entry]]:
    """Group annotations or results by their photo."""
    groups: Dict[int, List[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["image_id"], []).append(entry)
    return groups


def _spread(order: Sequence[int], entries: Sequence[Entry], num_cases: int) -> List[int]:
    """Take the first of some entries, but only a few of one photo."""
    chosen: List[int] = []
    taken: Dict[int, int] = {}
    for index in order:
        image_id = entries[index]["image_id"]
        if len(chosen) == num_cases:
            break
        if taken.get(image_id, 0) < MOST_CASES_OF_IMAGE:
            taken[image_id] = taken.get(image_id, 0) + 1
            chosen.append(index)
    return chosen


def _section(title: str, explanation: str, cases: Sequence[Case], shelf: PhotoShelf) -> Html:
    """Show cases of one kind."""
    if not cases:
        return section(title, note("There are none."))
    figures = [_figure(case, shelf) for case in cases]
    return section(title, note(explanation), element("div", *figures, class_="cases"))


def _figure(case: Case, shelf: PhotoShelf) -> Html:
    """Show one case: what was detected, and the ground truth."""
    photo = shelf.photo(case.image_id)
    crop = crop_around(case.focus["bbox"], photo.size)
    left, right = [
        photo.show(crop, entries, case.focus, f"{kind}: {case.caption}")
        for kind, entries in (("detected", case.detected), ("ground truth", case.objects))
    ]
    pair = element("div", left, right, class_="pair")
    caption = element("div", f"{case.caption} ({shelf.name(case.image_id)})")
    return element("div", pair, caption, class_="case")
