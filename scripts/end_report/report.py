"""The lines that end a training run: what keeps its score below what its data allow."""

from typing import List

from end_report.class_findings import class_findings, percent
from end_report.progress_findings import longer_run, progress_findings
from end_report.run_result import ClassResult, RunResult


def end_report(result: RunResult) -> List[str]:
    """Say what stands between the score of a run and what its data allow.

    Parameters
    ----------
    result : RunResult
        The numbers of the run.

    Returns
    -------
    list of str
        One line for each finding, with its numbers and the flag to try; one line that says so if
        there is no finding.
    """
    findings = class_findings(result) + progress_findings(result)
    if not findings:
        return [_without_findings(result)]
    lines = [f"{_headline(result)}:"]
    for finding in findings:
        lines.append(f"  {finding}")
    return lines


def _headline(result: RunResult) -> str:
    """Say what the findings are about, and on what they rest."""
    with_objects = int((result.objects_of_image > 0).sum())
    basis = ""
    if 0 < result.proposed_images < with_objects:
        basis = (
            f" (proposals of {result.proposed_images} of {with_objects} {result.split} images, "
            "evenly spaced)"
        )
    if not result.evaluations:
        return f"what may keep the score down{basis}"
    return f"what keeps {result.decisive} at {result.evaluations[-1][1]:.3f}{basis}"


def _without_findings(result: RunResult) -> str:
    """Say that no finding is no proof."""
    if not result.evaluations:
        return (
            "nothing in the losses and the anchors speaks against this run, but it was not scored: "
            "scripts/eval_faster_rcnn.py --params PREFIX-best.json tells what it finds"
        )
    score = f"{result.decisive} is {result.evaluations[-1][1]:.3f}"
    if result.is_good:
        return f"{score}, and nothing stands out that keeps it down"
    return (
        f"{score}, and no single cause stands out that keeps it down{_lowest_class(result)}; try "
        f"{longer_run(result)}, or more training images"
    )


def _lowest_class(result: RunResult) -> str:
    """Name the class with the lowest score; "" if no class has one."""
    scored = [entry for entry in result.classes if entry.box_score is not None]
    if not scored:
        return ""
    lowest = min(scored, key=_box_score)
    proposed = ""
    if lowest.proposal_reach is not None:
        proposed = f", while proposals reach {percent(lowest.proposal_reach)} of its objects"
    return f" (the lowest AP50 is that of {lowest.name}, {lowest.box_score:.3f}{proposed})"


def _box_score(entry: ClassResult) -> float:
    """Return the AP50 of a class, for sorting."""
    return entry.box_score or 0.0
