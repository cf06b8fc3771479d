"""The benchmark's picture: the median seconds of each row as bars."""

from statistics import median
from typing import Sequence

from benchmarks.page import format_seconds
from benchmarks.results import GroupResult

import matplotlib

# This backend draws files and needs no display. It must be chosen before pyplot is imported.
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402

COLORS = {
    "gluonnorm": "tab:blue",
    "gluoncv": "tab:orange",
    "torchvision": "tab:green",
    "onnxruntime": "tab:purple",
    "openvino": "tab:red",
    "nncf": "tab:red",
}


def plot(results: Sequence[GroupResult], path: str) -> None:
    """Draw the median seconds of each row, a panel for each group.

    Parameters
    ----------
    results : sequence of GroupResult
        The measurements.
    path : str
        The PNG file to write.
    """
    heights = [1 + 0.32 * len(result.rows) for result in results]
    figure, axes = plt.subplots(
        len(results),
        1,
        figsize=(9, sum(heights)),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    try:
        for axis, result in zip(axes[:, 0], results):
            _draw_bars(axis, result)
        figure.tight_layout()
        figure.savefig(path, dpi=110)
    finally:
        plt.close(figure)


def _draw_bars(axis: plt.Axes, result: GroupResult) -> None:
    """Draw one group's panel, the first row on top."""
    labels = []
    for position, row_result in enumerate(result.rows):
        labels.append(row_result.row.label)
        if row_result.seconds:
            seconds = median(row_result.seconds)
            text = f" {format_seconds(seconds)}"
        else:
            seconds = 0
            text = " not measured"
        axis.barh(position, seconds, color=COLORS[row_result.row.program])
        axis.text(seconds, position, text, va="center", fontsize=8)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    if result.group.name == "nms":
        axis.set_xscale("log")
    axis.set_title(f"{result.group.name}: seconds", fontsize=9, loc="left")
