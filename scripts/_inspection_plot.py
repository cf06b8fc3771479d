"""Draw what is known of a split of a data set."""

from typing import Dict, Optional

from gluonnorm.data import Inspection
from gluonnorm.training.figure_file import blank_figure, save_png

import numpy as np
from matplotlib.axes import Axes

WIDTH = 15.0  # inches
HEIGHT = 9.0  # inches
BINS = 30
SHOWN_CLASSES = 10  # with a color of their own; the others share the last one
SHOWN_OBJECTS = 5000  # points of the first panel

# The rows of each class among the objects to learn from, by the text of the legend.
Groups = Dict[str, np.ndarray]


def plot_inspection(
    inspection: Inspection, png_path: str, title: str = "", font: Optional[str] = None
) -> None:
    """Draw sizes, aspect ratios, counts, and how well anchors and proposals reach the objects.

    Parameters
    ----------
    inspection : Inspection
        What ``inspect`` returns.
    png_path : str
        The file to write. A missing folder is made.
    title : str
        The title of the picture, such as the name of the split.
    font : str or None
        A TrueType or OpenType file for the names of classes; see ``figure_file.save_png``.
    """
    figure = blank_figure(WIDTH, HEIGHT)
    (sides, lengths, ratios), (counts, crowding, reached) = figure.subplots(2, 3)
    objects = inspection.learnable_objects
    groups = _groups(inspection)
    _draw_sides(sides, inspection, groups)
    _draw_histogram(lengths, objects.lengths, groups, "square root of the area in pixels")
    _draw_histogram(ratios, objects.ratios, groups, "height / width")
    _draw_counts(counts, groups)
    crowding.hist(inspection.boxes_of_image, bins=BINS, color="tab:gray")
    crowding.set_xlabel("boxes of an image")
    crowding.set_ylabel("images")
    _draw_reach(reached, inspection, groups)
    lengths.set_title(title)
    save_png(figure, png_path, font)


def _groups(inspection: Inspection) -> Groups:
    """Collect the rows of each class, the most frequent ones first."""
    labels = inspection.learnable_objects.labels
    names = list(inspection.boxes_of_class)
    frequent = sorted(range(len(names)), key=lambda label: -int((labels == label).sum()))
    groups = {}
    for label in frequent[: SHOWN_CLASSES - 1]:
        groups[names[label]] = labels == label
    others = frequent[SHOWN_CLASSES - 1 :]
    if others:
        groups[f"{len(others)} other classes"] = np.isin(labels, others)
    return groups


def _draw_sides(axes: Axes, inspection: Inspection, groups: Groups) -> None:
    """Draw a point for each object, at its width and height."""
    objects = inspection.learnable_objects
    step = max(1, len(objects.labels) // SHOWN_OBJECTS)
    for name, rows in groups.items():
        axes.scatter(objects.widths[rows][::step], objects.heights[rows][::step], s=5, label=name)
    if inspection.reach is not None:
        lengths = np.unique(inspection.reach.anchor_lengths)
        axes.scatter(lengths, lengths, marker="s", s=50, facecolors="none", edgecolors="black")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("width in pixels of the input; squares: anchor sizes")
    axes.set_ylabel("height in pixels of the input")
    axes.legend(fontsize="x-small")


def _draw_histogram(axes: Axes, values: np.ndarray, groups: Groups, label: str) -> None:
    """Draw how often the values of each class occur, on a logarithmic axis."""
    if not len(values):
        return
    bins = np.geomspace(values.min(), values.max() * 1.001, BINS + 1).tolist()
    for rows in groups.values():
        axes.hist(values[rows], bins=bins, histtype="step")
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("objects")


def _draw_counts(axes: Axes, groups: Groups) -> None:
    """Draw a bar for the objects of each class."""
    for position, rows in enumerate(groups.values()):
        axes.bar(position, rows.sum())
    axes.set_xticks([])
    axes.set_xlabel("classes in the order of the legend")
    axes.set_ylabel("objects to learn from")


def _draw_reach(axes: Axes, inspection: Inspection, groups: Groups) -> None:
    """Draw which share of each class has an anchor, or a dashed proposal, of at least an IoU."""
    reach = inspection.reach
    if reach is None:
        axes.set_axis_off()
        return
    for number, rows in enumerate(groups.values()):
        color = f"C{number}"
        axes.plot(*_shares(reach.anchors[rows]), color=color)
        if reach.proposals is not None:
            axes.plot(*_shares(reach.proposals[rows]), color=color, linestyle="dashed")
    for threshold in (reach.positive, reach.reached):
        axes.axvline(threshold, color="black", linewidth=0.5)
    axes.set_xlabel("IoU of the best anchor (dashed: proposal)")
    axes.set_ylabel("share of the objects with at least this IoU")


def _shares(ious: np.ndarray) -> np.ndarray:
    """Return (2, K): IoUs from 0 to 1, and the share of values that are at least as large."""
    known = ious[~np.isnan(ious)]
    limits = np.linspace(0, 1, 101)
    if not len(known):
        return np.stack([limits, np.full(len(limits), np.nan)])
    return np.stack([limits, (known[:, None] >= limits).mean(axis=0)])
