"""Draw the mixing weights of switchable norms. Needs matplotlib, so only scripts import it."""

from typing import Dict, Sequence, Tuple

from gluonnorm.errors import InputError
from gluonnorm.training.figure_file import blank_figure, save_png

import numpy as np
from matplotlib.axes import Axes

# The color of each statistic, in the order in which the bars are stacked.
COLORS = {"in": "tab:green", "ln": "tab:orange", "bn": "tab:blue"}

# Lengths in inches.
HEIGHT = 8.0
MIN_WIDTH = 6.0
MARGIN = 2.0
WIDTH_PER_LAYER = 0.22

# The name of a layer, its weights of the mean, and its weights of the variance.
MixingRow = Tuple[str, Dict[str, float], Dict[str, float]]


def plot_mixing_weights(rows: Sequence[MixingRow], png_path: str, title: str = "") -> None:
    """Draw a bar for each switchable norm that shows its shares of in, ln and bn.

    The upper panel has the weights of the mean, the lower panel those of the variance.

    Parameters
    ----------
    rows : sequence of (str, dict, dict)
        The name of each layer, and its weights of the mean and of the variance, as
        ``gluonnorm.nn.mixing_weights`` returns them. The weights are the shares by the names "in",
        "ln" and "bn", 0..1.
    png_path : str
        The file to write. A missing folder is made.
    title : str
        The title of the picture, such as the name of the network.

    Raises
    ------
    InputError
        There are no rows.
    """
    if not rows:
        raise InputError(
            "there is nothing to plot: the network has no switchable norm; build it with norm='sn' "
            "or 'sn_nobn'"
        )
    width = max(MIN_WIDTH, MARGIN + WIDTH_PER_LAYER * len(rows))
    figure = blank_figure(width, HEIGHT)
    upper, lower = figure.subplots(2, 1, sharex=True)
    names = [row[0] for row in rows]
    mean_weights = [row[1] for row in rows]
    variance_weights = [row[2] for row in rows]
    _draw_bars(upper, mean_weights, "share in the mean")
    _draw_bars(lower, variance_weights, "share in the variance")
    upper.legend(loc="upper left", bbox_to_anchor=(1, 1))
    upper.set_title(title)
    lower.set_xticks(np.arange(len(rows)))
    lower.set_xticklabels(names, rotation=90, fontsize="x-small")
    save_png(figure, png_path)


def _draw_bars(axes: Axes, weights: Sequence[Dict[str, float]], label: str) -> None:
    """Draw a bar for each layer, the shares of the statistics one above the other."""
    positions = np.arange(len(weights))
    bottom = np.zeros(len(weights))
    for statistic, color in COLORS.items():
        shares = np.array([layer_weights.get(statistic, 0.0) for layer_weights in weights])
        axes.bar(
            positions,
            shares,
            bottom=bottom,
            width=1,
            color=color,
            edgecolor="white",
            label=statistic,
        )
        bottom += shares
    axes.set_ylabel(label)
    axes.set_ylim(0, 1)
