"""What the detections of a run are worth: scores, precision and recall, confusion, calibration."""

from typing import List, Sequence, Tuple

from gluonnorm.evaluation.calibration import Calibration, calibrate
from gluonnorm.evaluation.confusion import Confusion, confuse_classes, unfound_objects
from run_report.detected_run import DetectedRun
from run_report.html import Html, element, folded, isolated, note, score, section, table
from run_report.svg import NUM_COLORS, Bars, Line, bar_chart, line_chart

import numpy as np
from _error_report import SHAPES
from _scores import MASK_PREFIX

MOST_CLASSES = 20  # of a table; a larger one is folded, or has the worst classes only
MOST_PAIRS = 20
NO_OBJECT = "no object"
CONFUSION_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PERFECT_COLOR = 2 * NUM_COLORS - 1  # gray and dashed
SIZES = (("small", "s"), ("medium", "m"), ("large", "l"))
RECALLS = np.linspace(0, 1, 101)


def class_scores(detected: DetectedRun) -> Html:
    """Write the AP and AP50 of each class.

    Parameters
    ----------
    detected : DetectedRun
        The run.

    Returns
    -------
    Html
        A section.
    """
    prefixes = _prefixes(detected)
    titles = ["class", "objects"]
    for shape, _ in prefixes:
        titles += [f"AP of {shape}", "AP50"]
    counts = detected.matches["bbox"].counts
    annotations = detected.ground_truth["annotations"]
    numbers = np.array([annotation["category_id"] for annotation in annotations], int)[counts]
    rows = []
    for name, category_id in zip(detected.dataset.classes, detected.dataset.category_ids):
        row = [name, str(int((numbers == category_id).sum()))]
        for _, prefix in prefixes:
            row.append(score(detected.scores[f"{prefix}AP/{name}"]))
            row.append(score(detected.scores[f"{prefix}AP50/{name}"]))
        rows.append(row)
    total = ["all", str(int(counts.sum()))]
    for _, prefix in prefixes:
        total += [score(detected.scores[f"{prefix}AP"]), score(detected.scores[f"{prefix}AP50"])]
    title = "Average precision by class"
    if len(rows) <= MOST_CLASSES:
        return section(title, table(titles, [*rows, total]))
    last_prefix = prefixes[-1][1]
    last_column = np.array([detected.scores[f"{last_prefix}AP50/{row[0]}"] for row in rows])
    order = np.argsort(last_column, kind="stable")
    lowest = [rows[index] for index in order if last_column[index] >= 0][:MOST_CLASSES]
    return section(
        title,
        note(f"The {len(lowest)} of {len(rows)} classes with the lowest AP50 in the last column."),
        table(titles, [total, *lowest]),
        folded(f"All {len(rows)} classes", table(titles, rows)),
    )


def size_scores(detected: DetectedRun) -> Html:
    """Write AP and AR of small, medium and large objects.

    Parameters
    ----------
    detected : DetectedRun
        The run.

    Returns
    -------
    Html
        A section.
    """
    prefixes = _prefixes(detected)
    titles = ["size"]
    for shape, _ in prefixes:
        titles += [f"AP of {shape}", "AR"]
    rows = []
    for size, letter in SIZES:
        row = [size]
        for _, prefix in prefixes:
            row += [
                score(detected.scores[f"{prefix}AP{letter}"]),
                score(detected.scores[f"{prefix}AR{letter}"]),
            ]
        rows.append(row)
    explanation = note(
        "COCO's sizes: small objects have an area below 32² pixels, large ones above 96². "
        "AR is the recall with 100 detections of a class in an image. Both are means over the IoUs "
        "0.5, 0.55, ... 0.95."
    )
    return section("Average precision by size", table(titles, rows), explanation)


def precision_recall(detected: DetectedRun) -> Html:
    """Draw precision against recall at an IoU of 0.5.

    Parameters
    ----------
    detected : DetectedRun
        The run.

    Returns
    -------
    Html
        A section with a chart for boxes and perhaps one for masks. Of many classes those with the
        lowest AP are drawn.
    """
    title = "Precision and recall"
    if not detected.matches["bbox"].precisions:
        return section(title, note("There is no object that counts."))
    parts: List[Html] = []
    for iou_type, matches in detected.matches.items():
        precisions = matches.precisions
        names = sorted(precisions, key=lambda name: precisions[name].mean())[:NUM_COLORS]
        lines = []
        for color, name in enumerate(names):
            points = list(zip(RECALLS.tolist(), precisions[name].tolist()))
            text = f"{isolated(name)} {precisions[name].mean():.3f}"
            lines.append(Line(text, points, color))
        y_title = f"precision of {SHAPES[iou_type]}"
        parts.append(line_chart(lines, "recall", y_title, (0, 1), (0, 1)))
        if len(names) < len(precisions):
            parts.append(
                note(f"The {len(names)} of {len(precisions)} classes with the lowest AP50.")
            )
    parts.append(note("At an IoU of 0.5, as pycocotools computes it; the numbers are the AP50."))
    return section(title, *parts)


def confusion_tables(detected: DetectedRun, score_thresh: float) -> Html:
    """Write which classes are taken for which others, at several scores.

    Parameters
    ----------
    detected : DetectedRun
        The run.
    score_thresh : float
        The score whose tables are shown first.

    Returns
    -------
    Html
        A section with tables of boxes, and perhaps of masks.
    """
    form = "Row: the object. Column: the detection on it."
    if len(detected.dataset.classes) > MOST_CLASSES:
        form = f"The {MOST_PAIRS} most frequent mistakes."
    explanation = note(
        f"{form} A detection on no object counts as one on {NO_OBJECT!r}, and so does a second one "
        "on the same object."
    )
    parts = [explanation]
    for iou_type in detected.matches:
        parts.append(element("h4", f"{SHAPES[iou_type].capitalize()} at an IoU of 0.5"))
        parts.append(_confusions_by_score(detected, iou_type, score_thresh))
    return section("Confusion between classes", *parts)


def _confusions_by_score(detected: DetectedRun, iou_type: str, score_thresh: float) -> Html:
    """Write the tables of boxes or of masks at several scores, with a slider that chooses one."""
    thresholds = sorted({*CONFUSION_SCORES, score_thresh})
    tables = []
    for thresh in thresholds:
        confusion = confuse_classes(
            detected.ground_truth, detected.results, detected.matches[iou_type], thresh, iou_type
        )
        is_first = thresh == score_thresh
        tables.append(
            element(
                "div",
                element("p", f"Detections with a score of {thresh:g} or more:"),
                confusion_table(confusion),
                class_="confusion",
                hidden=not is_first,
            )
        )
    control = element(
        "p",
        element(
            "input",
            type="range",
            min=0,
            max=len(thresholds) - 1,
            value=thresholds.index(score_thresh),
            aria_label=f"lowest score of {SHAPES[iou_type]}",
            oninput="showTable(this)",
        ),
    )
    return element("div", control, *tables, class_="slider")


def confusion_table(confusion: Confusion) -> Html:
    """Write counts as a table, or its largest entries if there are many classes.

    Parameters
    ----------
    confusion : Confusion
        The counts.

    Returns
    -------
    Html
        A table.
    """
    rows = [*confusion.classes, NO_OBJECT]
    columns = [*confusion.classes, "not detected"]
    counts = confusion.counts
    if len(confusion.classes) > MOST_CLASSES:
        return _frequent_pairs(counts, rows, columns)
    totals = np.maximum(counts.sum(axis=1), 1)
    cells = []
    for row, name in enumerate(rows):
        line: List[str] = [name]
        for column in range(len(columns)):
            share = counts[row, column] / totals[row]
            # No object that is not detected: there is nothing to count.
            text = "" if row == column == len(confusion.classes) else str(counts[row, column])
            style = f"--share:{0.65 * share:.2f}"
            line.append(element("span", text, class_="heat", style=style))
        cells.append(line)
    return table(["", *columns], cells)


def _frequent_pairs(counts: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Html:
    """List the largest entries off the diagonal."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    cells = []
    for row, column in zip(*np.unravel_index(order, wrong.shape)):
        if wrong[row, column]:
            cells.append([rows[row], columns[column], str(wrong[row, column])])
    if not cells:
        return note("There is none.")
    return table(["object", "detected as", "times"], cells, text_columns=(0, 1))


def score_calibration(detected: DetectedRun) -> Html:
    """Draw the share of right detections against their score.

    Parameters
    ----------
    detected : DetectedRun
        The run.

    Returns
    -------
    Html
        A section with a curve of boxes, and perhaps one of masks.
    """
    title = "Calibration of the scores"
    if not detected.results:
        return section(title, note("There is no detection."))
    lines = []
    errors = []
    numbers = []
    for color, (iou_type, matches) in enumerate(detected.matches.items()):
        shape = SHAPES[iou_type]
        calibration = calibrate(detected.results, matches)
        points = list(zip(calibration.scores.tolist(), calibration.right.tolist()))
        lines.append(Line(f"share of right {shape}", points, color, markers=True))
        errors.append(f"{score(calibration.error)} ({shape})")
        numbers.append(folded(f"Numbers of {shape}", _calibration_table(calibration)))
    lines.append(Line("perfect calibration", [(0, 0), (1, 1)], PERFECT_COLOR))
    return section(
        title,
        line_chart(lines, "score", "share right", (0, 1), (0, 1)),
        note(
            f"Expected calibration error {', '.join(errors)}. Above the dashed line the scores are "
            "too modest, below it too high. Right is a detection with an IoU of 0.5, and only the "
            "first one of an object."
        ),
        *numbers,
    )


def _calibration_table(calibration: Calibration) -> Html:
    """Write the points of a curve, and how many detections each stands for."""
    rows = []
    for index, count in enumerate(calibration.counts.tolist()):
        low, high = calibration.edges[index : index + 2]
        shares = [calibration.scores[index], calibration.right[index]]
        rows.append([f"{low:.1f} to {high:.1f}", str(count), *map(score, shares)])
    return table(["score", "detections", "mean score", "share right"], rows)


def found_sizes(detected: DetectedRun, score_thresh: float) -> Html:
    """Draw how many objects of each size are found and missed.

    Parameters
    ----------
    detected : DetectedRun
        The run.
    score_thresh : float
        Detections with a lower score find nothing.

    Returns
    -------
    Html
        A section.
    """
    matches = detected.matches["bbox"]
    annotations = detected.ground_truth["annotations"]
    sides = np.array([annotation["bbox"][2:] for annotation in annotations], np.float64)
    lengths = np.sqrt(sides.reshape(-1, 2).prod(axis=1))
    missed = unfound_objects(detected.results, matches, score_thresh)
    labels, found_counts, missed_counts = size_histogram(lengths, matches.counts & ~missed, missed)
    if not labels:
        return section("Sizes found and missed", note("There is no object that counts."))
    bars = [Bars("found", found_counts, 2), Bars("missed", missed_counts, 1)]
    return section(
        "Sizes found and missed",
        bar_chart(bars, labels, "size of the object (root of the box's area) in pixels", "objects"),
        note(
            f"Found: by a box with an IoU of 0.5 and a score of {score_thresh:g} or more. The "
            "number below a bar is the smallest size in it; the next bar has 1.4 times that."
        ),
    )


def size_histogram(
    lengths: np.ndarray, found: np.ndarray, missed: np.ndarray
) -> Tuple[List[str], List[int], List[int]]:
    """Count objects in classes of size, each of which doubles the area.

    Parameters
    ----------
    lengths : numpy.ndarray
        (G,) float64, square roots of areas in pixels.
    found, missed : numpy.ndarray
        (G,) bool.

    Returns
    -------
    labels : list of str
        The smallest length of each class.
    found_counts, missed_counts : list of int
        One number a class.
    """
    counted = found | missed
    if not counted.any():
        return [], [], []
    # Half steps of the logarithm: 8, 11.3, 16, 22.6 pixels and so on.
    steps = np.floor(2 * np.log2(np.maximum(lengths, 1)) + 1e-9).astype(int)
    first, last = steps[counted].min(), steps[counted].max()
    num_bins = int(last - first + 1)
    labels = [f"{2 ** (step / 2):.0f}" for step in range(first, last + 1)]
    found_counts = np.bincount(steps[found] - first, minlength=num_bins)
    missed_counts = np.bincount(steps[missed] - first, minlength=num_bins)
    return labels, found_counts.tolist(), missed_counts.tolist()


def reachable_recall(detected: DetectedRun) -> Html:
    """Write what anchors and proposals reach of each class.

    Parameters
    ----------
    detected : DetectedRun
        The run.

    Returns
    -------
    Html
        A section.
    """
    title = "Reachable recall"
    inspection = detected.inspection
    if inspection is None or inspection.reach is None:
        return section(title, note("It is not known for this network or data set."))
    reach = inspection.reach
    titles = [
        "class",
        "objects",
        "size in the input",
        "mean of best IoU",
        f"anchor that learns (IoU {reach.positive:g})",
        f"any anchor (IoU {reach.reached:g})",
        "before the NMS",
        "proposal",
    ]
    rows = []
    for name, share in inspection.reach_of_class.items():
        cells = [name, str(share.objects), f"{share.length:.1f}", score(share.mean_iou)]
        for value in (share.positive, share.reached, share.candidates, share.proposals):
            cells.append("–" if value is None else f"{100 * value:.1f} %")
        rows.append(cells)
    shares = table(titles, rows)
    if len(rows) > MOST_CLASSES:
        shares = folded(f"All {len(rows)} classes with objects", shares)
    warnings = [element("li", warning) for warning in inspection.warnings]
    hidden = warnings[MOST_CLASSES:]
    lists = [element("ul", *warnings[:MOST_CLASSES])] if warnings else []
    if hidden:
        lists.append(folded(f"{len(hidden)} more", element("ul", *hidden)))
    return section(
        title,
        shares,
        note(
            "Shares of objects that an anchor, a box before the NMS of the proposals or a proposal "
            f"overlaps with an IoU of {reach.reached:g}. No detection can find an object that no "
            "proposal reaches. check_dataset.py prints the same."
        ),
        *lists,
    )


def _prefixes(detected: DetectedRun) -> List[Tuple[str, str]]:
    """List boxes, and masks if there are any, each with the prefix of its scores."""
    boxes = (SHAPES["bbox"], "")
    return [boxes, (SHAPES["segm"], MASK_PREFIX)] if detected.has_masks else [boxes]
