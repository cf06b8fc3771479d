"""What a run loses AP by, as analyze.py prints it."""

from typing import List

from gluonnorm.errors import InputError, one_line
from gluonnorm.evaluation import ErrorBreakdown, explain_errors
from run_report.detected_run import DetectedRun
from run_report.html import Html, element, folded, note, score, section, table

from _error_report import (
    SHAPES,
    TOTALS,
    causes_by_loss,
    classes_by_ap,
    error_notes,
    explain_cause,
)

TITLE = "What AP is lost by"


def error_section(detected: DetectedRun) -> Html:
    """Split the lost AP of boxes, and of masks if there are any, into its causes.

    Parameters
    ----------
    detected : DetectedRun
        The run.

    Returns
    -------
    Html
        A section.
    """
    parts: List[Html] = []
    for iou_type in detected.matches:
        try:
            breakdown = explain_errors(detected.ground_truth, detected.results, iou_type)
        except InputError as error:
            return section(TITLE, note(f"{one_line(error)}."))
        parts += _breakdown_parts(breakdown)
    parts.append(
        note(
            "The causes are those of TIDE. Each loss is the AP at an IoU of 0.5 that mending these "
            "errors alone would gain, so the losses do not add up. The AP50 can differ from COCO's "
            "by rounding of the 101 recalls that it is a mean over. analyze.py prints the same."
        )
    )
    return section(TITLE, *parts)


def _breakdown_parts(breakdown: ErrorBreakdown) -> List[Html]:
    """Write the losses, the advice and the losses of each class."""
    overall = breakdown.overall
    causes = causes_by_loss(breakdown)
    meanings = {name: explain_cause(breakdown.iou_type, name).meaning for name in causes}
    rows = []
    for name, meaning in {**meanings, **TOTALS}.items():
        title = name.replace("_", " ")
        rows.append([title, score(overall.lost[name]), str(overall.errors[name]), meaning])
    shape = SHAPES[breakdown.iou_type]
    parts = [
        element("h4", f"{shape.capitalize()}: AP50 {score(overall.ap)}"),
        table(["cause", "AP lost", "errors", "what it is"], rows, text_columns=(0, 3)),
    ]
    parts += [note(f"{text}.") for text in error_notes(breakdown)]
    advice = []
    for name in causes:
        if overall.lost[name] > 0:
            text = explain_cause(breakdown.iou_type, name).advice
            advice.append(element("li", element("b", name), f": {text}."))
    if advice:
        parts.append(folded(f"What to try against the errors of {shape}", element("ul", *advice)))
    return [*parts, _class_table(breakdown, causes)]


def _class_table(breakdown: ErrorBreakdown, causes: List[str]) -> Html:
    """Write what each class loses by each cause, the class with the lowest AP first."""
    rows = []
    for name, shares in classes_by_ap(breakdown).items():
        losses = [score(shares.lost[cause]) for cause in causes]
        rows.append([name, str(shares.objects), score(shares.ap), *losses])
    return folded(
        f"AP lost by each class, {SHAPES[breakdown.iou_type]}",
        table(["class", "objects", "AP50", *causes], rows),
    )
