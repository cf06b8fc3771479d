"""The benchmark's page in Markdown."""

from statistics import median
from textwrap import shorten
from typing import List, Optional, Sequence, Tuple

from benchmarks.agreement import agreement
from benchmarks.inputs import MIN_SCORE
from benchmarks.machine import Machine
from benchmarks.results import GroupResult, RowResult

import numpy as np

TABLE_HEAD = (
    "| row | seconds: median (least to most) | against the reference | target | reached | peak GB "
    "| found |\n"
    "|---|---|---|---|---|---|---|"
)
PROFILE_TITLE = "## Where the time goes"
PROFILE_HEAD = "| operator | calls | ms | share |\n|---|---|---|---|"
PROFILE_LINES = 12
MAX_ERROR_LENGTH = 200
INTRODUCTION = """\
This page compares detection and training steps with those of GluonCV and torchvision, on the same
weights, images and threads, and shows where the time goes. Each group below is a table: its title
says what is measured, and "against the reference" how fast a row is beside the row of the peer.
"""
NOTES = f"""\
- Each row is a process of its own. The processes of a table take turns, one computes at a time, and
  all use the same number of threads. Ratios are medians over the rounds. Seconds are from the
  normalized image to detections, with masks as the head makes them.
- Rows of this package run exported files. Weights are drawn from the seed, written in the peer's
  format and loaded by the peer. They are scaled such that 1000 proposals go to the heads and about
  400 pairs of RoI and class score above {MIN_SCORE}.
- "found" compares the best detections above {MIN_SCORE}, at most 100, with the reference's: how
  many there are, how many of the reference's are among them (same class, IoU above 0.5 or within a
  pixel), and the largest differences of corners and scores. Drawn weights decide nothing as clearly
  as trained ones, and bfloat16 and int8 move many of their scores past others. In training: the
  four losses of the first step (RPN class and box, RoI class and box), which differ by what is
  sampled.
- GluonCV's pyramids are timed as they are, but on the CPU they read uninitialized memory. The
  detections they should give come from one more process, with that call corrected. Its training
  step does not count the RPN's targets, which its loader makes, and which leave out the anchors
  that cross the image's border, so its RPN losses are different.
- GluonCV runs as its own scripts run it, except for the threads. gluoncv-tuned has two more
  settings that this package makes: MXNET_CPU_PARALLEL_SIZE, and static_shape when it is hybridized.
- In the groups shared-machine, a row says how often threads look for work before they sleep:
  libgomp's default (300000 times), 300, 1000 (what this package sets) or 10000 times, or not at
  all (passive). The rows called -beside are measured while as many other processes compute as
  there are cores, in shared-machine-small beside a single one of another login. Peers have
  libgomp's default in all groups.
- torchvision is timed without its transform and without pasting masks, because this package's rows
  do neither. In training it has FrozenBatchNorm2d, as with published weights.
  torchvision-bfloat16 is its forward pass and its losses under torch.autocast.
"""


def make_page(
    results: Sequence[GroupResult], machine: Machine, command: str, rounds: int, picture: str
) -> str:
    """Write the complete page.

    Parameters
    ----------
    results : sequence of GroupResult
        The measurements.
    machine : Machine
        Where they were made.
    command : str
        How the script was called.
    rounds : int
        How many times each row was measured.
    picture : str
        The path of the plot, relative to the page.

    Returns
    -------
    str
        Markdown: the machine, the plot, notes, a table for each group, and profiles.
    """
    size = "x".join(str(side) for side in machine.size)
    facts = [f"| {name} | {value} |" for name, value in machine.facts.items()]
    parts = [
        "# Benchmarks",
        INTRODUCTION.rstrip(),
        f"Images of {size} pixels, {rounds} rounds, seed {machine.seed}.",
        f"```\n{command}\n```",
        "\n".join(["| | |\n|---|---|", *facts]),
        f"![seconds of each row]({picture})",
        NOTES.rstrip(),
    ]
    parts += [group_section(result) for result in results]
    text = "\n\n".join(parts) + "\n"
    for result in results:
        for row_result in result.rows:
            if row_result.operators:
                text = put_profile(text, profile_section(result.group.name, row_result))
    return text


def group_section(result: GroupResult) -> str:
    """Write the title and the table of a group.

    Parameters
    ----------
    result : GroupResult
        The group's measurements.

    Returns
    -------
    str
        Markdown without a last newline.
    """
    group = result.group
    title = sentence(group.title)
    if group.reference:
        title += f" The reference is {group.reference}."
    lines = [table_line(result, row_result) for row_result in result.rows]
    table = "\n".join([TABLE_HEAD, *lines])
    return f"## {group.name}\n\n{title}\n\n{table}"


def sentence(text: str) -> str:
    """Add a capital and a full stop; a text that starts with a network's name gets no capital.

    Parameters
    ----------
    text : str
        At least one word.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> sentence("training step")
    'Training step.'
    """
    first_word = text.split()[0]
    if "_" not in first_word:
        text = text[0].upper() + text[1:]
    return text + "."


def table_line(result: GroupResult, row_result: RowResult) -> str:
    """Write the line of a row.

    Parameters
    ----------
    result : GroupResult
        The group's measurements.
    row_result : RowResult
        One of its rows.

    Returns
    -------
    str
        A line of a Markdown table; a row without measurements has its error instead.
    """
    row = row_result.row
    target = str(row.target or "")
    if not row_result.seconds:
        error = shorten(row_result.error.replace("|", "/"), MAX_ERROR_LENGTH)
        return f"| {row.label} | {error} | | {target} | | | |"
    seconds = row_result.seconds
    least = format_seconds(min(seconds))
    most = format_seconds(max(seconds))
    cells = [
        row.label,
        f"{format_seconds(median(seconds))} ({least} to {most})",
        ratio_cell(result, row_result),
        target,
        {None: "", True: "yes", False: "no"}[result.reached(row_result)],
        f"{row_result.memory / 1e9:.2f}",
        found_cell(result, row_result),
    ]
    return f"| {' | '.join(cells)} |"


def ratio_cell(result: GroupResult, row_result: RowResult) -> str:
    """Write how a row compares with its reference.

    Parameters
    ----------
    result : GroupResult
        The group's measurements.
    row_result : RowResult
        One of its rows.

    Returns
    -------
    str
        The ratio, and the reference's label if it is not the group's; ``""`` without a reference.
    """
    ratio = result.ratio(row_result)
    if ratio is None:
        return ""
    row = row_result.row
    if row.target and row.target.rule == "slower":
        text = f"{1 / ratio:.2f}x the time"
    else:
        text = f"{ratio:.2f}x as fast"
    return f"{text} ({row.compared_with})" if row.compared_with else text


def format_seconds(seconds: float) -> str:
    """Write a time with about three digits.

    Parameters
    ----------
    seconds : float
        The time.

    Returns
    -------
    str
        The number without a unit.
    """
    if seconds >= 1:
        return f"{seconds:.2f}"
    if seconds >= 0.1:
        return f"{seconds:.3f}"
    return f"{seconds:.4f}"


def found_cell(result: GroupResult, row_result: RowResult) -> str:
    """Write what a row computed, compared with what it should compute.

    Parameters
    ----------
    result : GroupResult
        The group's measurements.
    row_result : RowResult
        One of its rows.

    Returns
    -------
    str
        The losses of a training step, or the agreement of the detections.
    """
    facts = row_result.facts
    if "losses" in facts:
        losses = "losses " + ", ".join(f"{loss:.3f}" for loss in facts["losses"])
        if "loading" not in facts:
            return losses
        return f"{losses}; its loader {format_seconds(facts['loading'])} s an image"
    detections = facts.get("detections")
    if detections is None:
        return ""
    expected = expected_detections(result, row_result)
    if expected is None or not result.group.same_detections:
        return f"{len(detections)} detections"
    return agreement(np.array(expected).reshape(-1, 6), np.array(detections).reshape(-1, 6))


def expected_detections(result: GroupResult, row_result: RowResult) -> Optional[List[List[float]]]:
    """Find the detections that a row should give.

    Parameters
    ----------
    result : GroupResult
        The group's measurements.
    row_result : RowResult
        One of its rows.

    Returns
    -------
    list of list of float, or None
        Those of the corrected row, or those of the reference; None without either.
    """
    if result.corrected_detections is not None:
        return result.corrected_detections
    reference = result.reference(row_result)
    if reference is None:
        return None
    return reference.facts.get("detections")


def profile_section(group: str, row_result: RowResult) -> str:
    """Write the operators that take most of a row's time.

    Parameters
    ----------
    group : str
        The name of the row's group.
    row_result : RowResult
        A row with ``operators``.

    Returns
    -------
    str
        Markdown that ends with a newline.
    """
    total = sum(seconds for seconds, _ in row_result.operators.values())
    ordered = sorted(row_result.operators.items(), key=_operator_seconds, reverse=True)
    lines = []
    for name, (seconds, calls) in ordered[:PROFILE_LINES]:
        lines.append(f"| {name} | {calls} | {1000 * seconds:.1f} | {seconds / total:.0%} |")
    table = "\n".join([PROFILE_HEAD, *lines])
    return (
        f"### {group}/{row_result.row.label}\n\n"
        f"One run, each operator by itself: {1000 * total:.0f} ms in all.\n\n"
        f"{table}\n"
    )


def put_profile(text: str, section: str) -> str:
    """Put a profile into a page: in place of the same row's, or at the end.

    Parameters
    ----------
    text : str
        The page.
    section : str
        What ``profile_section`` returns.

    Returns
    -------
    str
        The page with the profile.
    """
    if PROFILE_TITLE not in text:
        text = f"{text.rstrip()}\n\n{PROFILE_TITLE}\n"
    page_before, _, profiles = text.partition(PROFILE_TITLE)
    sections = []
    for part in profiles.split("\n### ")[1:]:
        sections.append(f"### {part.rstrip()}\n")
    titles = [other.splitlines()[0] for other in sections]
    title = section.splitlines()[0]
    if title in titles:
        sections[titles.index(title)] = section
    else:
        sections.append(section)
    return f"{page_before}{PROFILE_TITLE}\n\n" + "\n".join(sections)


def _operator_seconds(operator: Tuple[str, List[float]]) -> float:
    """The key that sorts operators, each a name with its seconds and calls, by their seconds."""
    _, (seconds, _) = operator
    return seconds
