"""The page of one or several runs, put together."""

import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from run_report.case_sections import case_sections
from run_report.detected_run import DetectedRun
from run_report.error_section import error_section
from run_report.html import Html, element, note, score, section
from run_report.progress_sections import curves, headline, images_per_second
from run_report.run_files import RunFiles
from run_report.score_sections import (
    class_scores,
    confusion_tables,
    found_sizes,
    precision_recall,
    reachable_recall,
    score_calibration,
    size_scores,
)
from run_report.setup_sections import commands, configuration, differences, environment

STYLE_FILE = Path(__file__).with_name("page.css")
# In training the arithmetic may have been that of another device or of half precision.
SAME_SCORE = 0.01
# Without a script the table of the score that was asked for is shown.
SCRIPT = """
function showTable(slider) {
  slider.closest(".slider").querySelectorAll(".confusion").forEach(function (table, index) {
    table.hidden = index !== Number(slider.value);
  });
}
"""


class ReportedRun(NamedTuple):
    """A run and what is known of its detections.

    Attributes
    ----------
    files : RunFiles
        What it left on disk.
    detected : DetectedRun or None
        Its detections.
    reason : str
        Why there are none.
    """

    files: RunFiles
    detected: Optional[DetectedRun]
    reason: str


class Shown(NamedTuple):
    """What the user chooses.

    Attributes
    ----------
    score_thresh : float
        Detections with a lower score find nothing.
    num_cases : int
        Pictures of each kind; 0 leaves the sections of pictures out.
    data_root : str or None
        Where the data set is now; None is the place of the training.
    """

    score_thresh: float
    num_cases: int
    data_root: Optional[str]


def make_page(runs: Sequence[ReportedRun], shown: Shown) -> str:
    """Write the page.

    Parameters
    ----------
    runs : sequence of ReportedRun
        The runs.
    shown : Shown
        The lowest score, the number of pictures, and the place of the data set.

    Returns
    -------
    str
        One HTML file that needs no other.
    """
    files = [run.files for run in runs]
    title = ", ".join(run.name for run in files)
    date = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Training report: {title}"),
        element("style", Html(STYLE_FILE.read_text(encoding="utf-8"))),
        element("script", Html(SCRIPT)),
    )
    body = element(
        "body",
        element("h1", f"Training report: {title}"),
        headline(files),
        *differences(files),
        *curves(files),
        *[_run_part(run, shown) for run in runs],
        element("footer", note(f"Made by scripts/report.py on {date} UTC.")),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _run_part(run: ReportedRun, shown: Shown) -> Html:
    """Write the sections of one run."""
    parts: List[Html] = [note(text) for text in run.files.notes]
    weights = None
    if run.detected is None:
        missing = "Scores by class, pictures and all else that needs detections are missing"
        parts.append(note(f"{missing}: {run.reason}."))
    else:
        weights = run.detected.weights
        parts += [note(text) for text in run.detected.notes]
        parts += [note(text) for text in _judged(run.files, run.detected)]
        parts += _detection_sections(run.detected, shown)
    parts.append(_speed(run))
    parts += [configuration(run.files), environment(run.files)]
    parts.append(commands(run.files, weights, shown.data_root))
    return element("div", element("h2", run.files.name, id=run.files.name), *parts)


def _judged(files: RunFiles, detected: DetectedRun) -> List[str]:
    """Say which weights were judged, on which images, and with what scores, now and in training."""
    scores = detected.scores
    images = f"{len(detected.dataset)} images of {detected.data_root}"
    text = f"{detected.weights} on {images}: AP {score(scores['AP'])}"
    text += f", AP50 {score(scores['AP50'])}"
    if detected.has_masks:
        text += f", masks AP {score(scores['segm/AP'])}, AP50 {score(scores['segm/AP50'])}"
    sentences = [f"{text}."]
    trained = [row["eval"] for row in files.evaluations if row["step"] == detected.step]
    name = files.decisive
    if trained and name in trained[0] and name in scores:
        earlier, now = trained[0][name], scores[name]
        if abs(earlier - now) > SAME_SCORE:
            sentences.append(
                f"In training the same weights had {name} {score(earlier)}, and here they have "
                f"{score(now)}: they are judged on other images, objects or classes than then."
            )
    return sentences


def _detection_sections(detected: DetectedRun, shown: Shown) -> List[Html]:
    """Write everything that needs detections, in the order in which it is wanted."""
    cases: List[Html] = []
    if shown.num_cases:
        cases = case_sections(detected, shown.score_thresh, shown.num_cases)
    return [
        class_scores(detected),
        size_scores(detected),
        error_section(detected),
        precision_recall(detected),
        confusion_tables(detected, shown.score_thresh),
        score_calibration(detected),
        *cases,
        found_sizes(detected, shown.score_thresh),
        reachable_recall(detected),
    ]


def _speed(run: ReportedRun) -> Html:
    """Write how fast the run was trained and judged."""
    lines = [f"Training: {images_per_second(run.files.steps)} images/s (median of the updates)."]
    if run.detected is not None:
        count = len(run.detected.dataset)
        lines.append(
            f"Detection: {count} images in {run.detected.seconds:.1f} s, "
            f"{count / run.detected.seconds:.3g} images/s, with reading the files."
        )
    return section("Speed", *[element("p", line) for line in lines])
