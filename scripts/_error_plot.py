"""Draw what AP is lost by, over all classes and in each class."""

from typing import Optional, Sequence

from gluonnorm.evaluation import ErrorBreakdown
from gluonnorm.training.figure_file import blank_figure, save_png

import numpy as np
from _error_report import SHAPES, TOTALS, causes_by_loss, classes_by_ap
from matplotlib.axes import Axes

WIDTH = 13.0  # inches
HEIGHT = 4.5  # inches, for boxes or masks
SHOWN_CLASSES = 20  # those with the lowest AP
# The same color for a cause in every picture.
COLORS = {
    "class": "tab:blue",
    "location": "tab:orange",
    "both": "tab:purple",
    "duplicate": "tab:green",
    "background": "tab:red",
    "missed": "tab:brown",
    "false_positives": "tab:gray",
    "false_negatives": "tab:gray",
}


def plot_errors(
    breakdowns: Sequence[ErrorBreakdown], png_path: str, font: Optional[str] = None
) -> None:
    """Draw a bar for each cause, and for the classes with the lowest AP a bar of all causes.

    Parameters
    ----------
    breakdowns : sequence of ErrorBreakdown
        Those of boxes, of masks, or of both; each gets a row of two panels.
    png_path : str
        The file to write. A missing folder is made.
    font : str or None
        A TrueType or OpenType file for the names of classes; see ``figure_file.save_png``.
    """
    figure = blank_figure(WIDTH, HEIGHT * len(breakdowns))
    rows = figure.subplots(len(breakdowns), 2, squeeze=False)
    for (causes_axes, classes_axes), breakdown in zip(rows, breakdowns):
        _draw_causes(causes_axes, breakdown)
        _draw_classes(classes_axes, breakdown)
    save_png(figure, png_path, font)


def _draw_causes(axes: Axes, breakdown: ErrorBreakdown) -> None:
    """Draw a bar for each cause and total, the one that loses most at the top."""
    names = [*causes_by_loss(breakdown), *TOTALS]
    positions = np.arange(len(names))
    losses = [breakdown.overall.lost[name] for name in names]
    axes.barh(positions, losses, color=[COLORS[name] for name in names])
    for position, loss, name in zip(positions, losses, names):
        count = breakdown.overall.errors[name]
        axes.text(loss, position, f" {loss:.3f} ({count})", va="center", fontsize="small")
    axes.set_yticks(positions)
    axes.set_yticklabels([name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlabel("AP that mending these errors alone would gain (number of errors)")
    shape = SHAPES[breakdown.iou_type]
    axes.set_title(f"{shape}: AP {breakdown.overall.ap:.3f} at IoU {breakdown.iou_thresh:g}")


def _draw_classes(axes: Axes, breakdown: ErrorBreakdown) -> None:
    """Draw the losses of each class behind its AP, the class with the lowest AP at the top."""
    classes = classes_by_ap(breakdown)
    names = list(classes)[:SHOWN_CLASSES]
    positions = np.arange(len(names))
    left = np.array([classes[name].ap for name in names])
    axes.barh(positions, left, color="lightgray", label="AP")
    for cause in causes_by_loss(breakdown):
        losses = np.array([classes[name].lost[cause] for name in names])
        axes.barh(positions, losses, left=left, color=COLORS[cause], label=cause)
        left = left + losses
    axes.set_yticks([])
    # Labels of the axis would be drawn without the font's care for characters that it lacks.
    to_the_left = axes.get_yaxis_transform()
    for position, name in zip(positions, names):
        axes.text(-0.01, position, name, ha="right", va="center", transform=to_the_left)
    axes.invert_yaxis()
    axes.set_xlabel("AP of the class, and what it loses by each cause (the parts need not add up)")
    axes.legend(fontsize="x-small")
    hidden = len(classes) - len(names)
    axes.set_title(f"the {len(names)} classes with the lowest AP" if hidden else "by class")
