"""The benchmark's page and plot."""
from statistics import median
from textwrap import shorten
from typing import List, Optional, Sequence

from gluonnorm.photos.boxes import box_iou

import matplotlib
import numpy as np
from benchmarks.machine import Machine
from benchmarks.measure import GroupResult, RowResult
from benchmarks.row import SCORE

matplotlib.use("Agg")  # draws files; needs no display

from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen first)

HEAD = ("| row | seconds: median (least to most) | against the reference | target | reached | peak GB | found |\n"
        "|---|---|---|---|---|---|---|")
PROFILE_TITLE = "## Where the time goes"
OPERATORS = 12  # lines of a profile
COLOURS = {"ours": "tab:blue", "gluoncv": "tab:orange", "torchvision": "tab:green"}
NOTES = f"""\
- A row is a process of its own; those of a table take turns, one computing at a time, all with the same threads.
  Ratios are medians over the rounds. Seconds are from the normalized image to detections, masks as they leave the head.
- Rows of this package run exported files. Weights are drawn from the seed, written in the peer's format and loaded
  there. They are set such that 1000 proposals go to the heads and about 400 pairs of RoI and class score above {SCORE}.
- "found" compares the best detections above {SCORE}, at most 100, with the reference's: how many there are, how many of
  the reference's are among them (same class, IoU above 0.5 or within a pixel), and the largest differences of corners
  and scores. Drawn weights decide nothing as clearly as trained ones, and bfloat16 and int8 move many of their scores
  past others. In training: the four losses of the first step (RPN class and box, RoI class and box), which differ by
  what is sampled.
- GluonCV's pyramids are timed as they are, but on the CPU they read uninitialised memory: what they should find comes
  from one more process, with that call corrected. Its training step does not count the RPN's targets, which its loader
  makes, and which leave out the anchors that cross the image's border: its RPN losses are others.
- GluonCV runs as its own scripts run it, but for the threads. gluoncv-tuned has two settings more that this package
  makes: MXNET_CPU_PARALLEL_SIZE, and static_shape when it is hybridized.
- torchvision is timed without its transform and without pasting masks, because ours do neither; in training with
  FrozenBatchNorm2d, as with published weights.
"""


def page(results: Sequence[GroupResult], machine: Machine, command: str, rounds: int, picture: str) -> str:
    """The whole page in Markdown; ``picture`` is the plot's path, from the page."""
    size = "x".join(map(str, machine.size))
    parts = ["# Benchmarks", f"Images of {size} pixels, {rounds} rounds, seed {machine.seed}.", f"```\n{command}\n```",
             "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in machine.facts.items()),
             f"![seconds of each row]({picture})", NOTES.rstrip()]
    for result in results:
        reference = f" The reference is {result.group.reference}." if result.group.reference else ""
        parts.append(f"## {result.group.name}\n\n{sentence(result.group.title)}{reference}\n\n"
                     + "\n".join([HEAD, *(line(result, row) for row in result.rows)]))
    text = "\n\n".join(parts) + "\n"
    for result in results:
        for row in result.rows:
            if row.operators:
                text = put_profile(text, profile_section(result.group.name, row))
    return text


def sentence(text: str) -> str:
    """With a capital, where it does not begin with a name, and a full stop."""
    return (text if "_" in text.split()[0] else text[0].upper() + text[1:]) + "."


def line(result: GroupResult, row: RowResult) -> str:
    """A row of a table."""
    target = str(row.row.target or "")
    if not row.seconds:
        return f"| {row.row.label} | {shorten(row.error.replace('|', '/'), 200)} | | {target} | | | |"
    ratio, reached = result.ratio(row), result.reached(row)
    against = "" if ratio is None else (
        f"{1 / ratio:.2f}x the time" if row.row.target and row.row.target.kind == "slower" else f"{ratio:.2f}x as fast")
    if row.row.against and against:
        against += f" ({row.row.against})"
    verdict = {None: "", True: "yes", False: "no"}[reached]
    return (f"| {row.row.label} | {figure(median(row.seconds))} ({figure(min(row.seconds))} to "
            f"{figure(max(row.seconds))}) | {against} | {target} | {verdict} | {row.memory / 1e9:.2f} "
            f"| {found(result, row)} |")


def figure(seconds: float) -> str:
    """Three digits."""
    return f"{seconds:.2f}" if seconds >= 1 else f"{seconds:.3f}" if seconds >= 0.1 else f"{seconds:.4f}"


def found(result: GroupResult, row: RowResult) -> str:
    """What a row found, beside what it should have."""
    if "losses" in row.facts:
        text = "losses " + ", ".join(f"{loss:.3f}" for loss in row.facts["losses"])
        loading = row.facts.get("loading")
        return text if loading is None else f"{text}; its loader {figure(loading)} s an image"
    detections = row.facts.get("detections")
    reference = result.reference(row)
    wanted = result.judged if result.judged is not None else reference and reference.facts.get("detections")
    if detections is None or wanted is None or not result.group.alike:
        return "" if detections is None else f"{len(detections)} detections"
    return agreement(np.array(wanted).reshape(-1, 6), np.array(detections).reshape(-1, 6))


def agreement(wanted: np.ndarray, found: np.ndarray) -> str:
    """Rows id, score, box of two detectors: how many of the wanted are found, and how far off."""
    far = np.abs(wanted[:, None, 2:] - found[None, :, 2:]).max(axis=-1)
    near = (wanted[:, :1] == found[:, 0]) & ((box_iou(wanted[:, 2:], found[:, 2:]) > 0.5) | (far < 1))
    far[~near] = np.inf  # a flat box overlaps with nothing, itself included
    pairs = []
    for index in range(len(wanted)):
        if np.isfinite(far[index]).any():
            pairs.append((index, int(far[index].argmin())))
            far[:, pairs[-1][1]] = np.inf
    mine, theirs = (np.array([pair[side] for pair in pairs], int) for side in (1, 0))
    apart = np.abs(found[mine] - wanted[theirs])
    return (f"{len(found)}, and {len(pairs)} of the wanted {len(wanted)}"
            + (f"; {apart[:, 2:].max():.2g} px, {apart[:, 1].max():.1g}" if pairs else ""))


def profile_section(group: str, row: RowResult) -> str:
    """A row's operators, those first that take most."""
    whole = sum(seconds for seconds, _ in row.operators.values())
    ordered = sorted(row.operators.items(), key=lambda item: -item[1][0])
    lines = [f"| {name} | {calls} | {1000 * seconds:.1f} | {seconds / whole:.0%} |"
             for name, (seconds, calls) in ordered[:OPERATORS]]
    return (f"### {group}/{row.row.label}\n\nOne run, each operator by itself: {1000 * whole:.0f} ms in all.\n\n"
            "| operator | calls | ms | share |\n|---|---|---|---|\n" + "\n".join(lines) + "\n")


def put_profile(text: str, section: str) -> str:
    """The page with a profile in it: in place of the same row's, or at the end."""
    if PROFILE_TITLE not in text:
        text = f"{text.rstrip()}\n\n{PROFILE_TITLE}\n"
    before, _, after = text.partition(PROFILE_TITLE)
    head = section.splitlines()[0]
    sections = [f"### {part.rstrip()}\n" for part in after.split("\n### ")[1:]]
    places = [index for index, other in enumerate(sections) if other.splitlines()[0] == head]
    if places:
        sections[places[0]] = section
    else:
        sections.append(section)
    return f"{before}{PROFILE_TITLE}\n\n" + "\n".join(sections)


def plot(results: Sequence[GroupResult], path: str) -> None:
    """Bars of the median seconds, a panel a group."""
    height = [1 + 0.32 * len(result.rows) for result in results]
    figure_, axes = plt.subplots(len(results), 1, figsize=(9, sum(height)), squeeze=False,
                                 gridspec_kw={"height_ratios": height})
    try:
        for axis, result in zip(axes[:, 0], results):
            _bars(axis, result)
        figure_.tight_layout()
        figure_.savefig(path, dpi=110)
    finally:
        plt.close(figure_)


def _bars(axis: plt.Axes, result: GroupResult) -> None:
    values: List[Optional[float]] = [median(row.seconds) if row.seconds else None for row in result.rows]
    axis.barh(range(len(values)), [value or 0 for value in values],
              color=[COLOURS[row.row.program] for row in result.rows])
    for place, value in enumerate(values):
        axis.text(value or 0, place, " not measured" if value is None else f" {figure(value)}", va="center", fontsize=8)
    axis.set_yticks(range(len(values)), [row.row.label for row in result.rows], fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    if result.group.name == "nms":
        axis.set_xscale("log")
    axis.set_title(f"{result.group.name}: seconds", fontsize=9, loc="left")
