"""The mixing weights of switchable norms as a PNG. Imports matplotlib, so only scripts import this file."""
import os
from typing import Dict, Sequence, Tuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws files; needs no display
from matplotlib.figure import Figure

COLOURS = {"in": "tab:green", "ln": "tab:orange", "bn": "tab:blue"}

Row = Tuple[str, Dict[str, float], Dict[str, float]]  # layer, weights of the mean, weights of the variance


def plot_mixing_weights(rows: Sequence[Row], png_path: str, title: str = "") -> None:
    """Draw a bar a layer, cut into the shares of in, ln and bn: those of the mean above, those of the variance below.

    Parameters
    ----------
    rows : sequence of (layer, mean, var)
        As ``gluonnorm.nn.mixing_weights`` returns them: mean and var are {"in", "ln", "bn": share of 1}.
    png_path : str
        File to write.
    title : str
        Headline, such as the network's name.
    """
    if not rows:
        raise ValueError("there is nothing to plot: no row; the network has no switchable norm (norm='sn', 'sn_nobn')")
    figure = Figure(figsize=(max(6.0, 2 + 0.22 * len(rows)), 8))
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(rows))
    for axis, kind, weights in zip(axes, ("mean", "variance"), ([row[1] for row in rows], [row[2] for row in rows])):
        bottom = np.zeros(len(rows))
        for source, colour in COLOURS.items():
            shares = np.array([each.get(source, 0.0) for each in weights])
            axis.bar(places, shares, bottom=bottom, width=1, color=colour, edgecolor="white", label=source)
            bottom += shares
        axis.set_ylabel(f"share in the {kind}")
        axis.set_ylim(0, 1)
    axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes[0].set_title(title)
    axes[1].set_xticks(places)
    axes[1].set_xticklabels([row[0] for row in rows], rotation=90, fontsize="x-small")
    figure.tight_layout()
    os.makedirs(os.path.dirname(png_path) or ".", exist_ok=True)
    figure.savefig(png_path, dpi=120, format="png")
