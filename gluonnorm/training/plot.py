"""Draw the curves of a run. Needs matplotlib, so only scripts import it."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

from gluonnorm.errors import InputError
from gluonnorm.training.figure_file import blank_figure, save_png
from gluonnorm.training.log import read_metrics

import numpy as np
from matplotlib.axes import Axes

WIDTH = 9.0  # inches
PANEL_HEIGHT = 4.0  # inches
WINDOWS_PER_RUN = 50  # the running mean of a loss covers one part in this many of the run


class _Curve(NamedTuple):
    """The values of one name, and the steps at which they were measured."""

    steps: List[int]
    values: List[float]


def plot_curves(
    metrics: Union[str, Sequence[Dict[str, Any]]],
    png_path: str,
    title: str = "",
    font: Optional[str] = None,
) -> None:
    """Draw the losses of a run, and below them its evaluation metrics if there are any.

    Each loss has a pale line of its values, and a strong line of their running mean over a fiftieth
    of the run.

    Parameters
    ----------
    metrics : str or list of dict
        A ``metrics.jsonl`` file, or its rows. Rows with ``losses`` and rows with ``eval`` are
        drawn; both are dictionaries of numbers by name.
    png_path : str
        The file to write. A missing folder is made.
    title : str
        The title of the picture, such as the name of the network.
    font : str or None
        A TrueType or OpenType file for the names of classes; see ``figure_file.save_png``.

    Raises
    ------
    InputError
        No row has losses or metrics.
    """
    rows = read_metrics(metrics) if isinstance(metrics, str) else list(metrics)
    losses = _collect_curves(rows, "losses")
    scores = _collect_curves(rows, "eval")
    panel_count = bool(losses) + bool(scores)
    if panel_count == 0:
        raise InputError(
            "there is nothing to plot: no row has losses or eval; train for at least one step first"
        )
    figure = blank_figure(WIDTH, PANEL_HEIGHT * panel_count)
    panels = figure.subplots(panel_count, 1, sharex=True, squeeze=False)[:, 0]
    if losses:
        _draw_losses(panels[0], losses)
    if scores:
        _draw_scores(panels[-1], scores)
    panels[0].set_title(title)
    panels[-1].set_xlabel("step")
    save_png(figure, png_path, font)


def _collect_curves(rows: Sequence[Dict[str, Any]], key: str) -> Dict[str, _Curve]:
    """Collect the values by name of the rows that have a dictionary under ``key``."""
    curves: Dict[str, _Curve] = {}
    for row in rows:
        for name, value in row.get(key, {}).items():
            curve = curves.setdefault(name, _Curve([], []))
            curve.steps.append(row["step"])
            curve.values.append(value)
    return curves


def _draw_losses(axes: Axes, curves: Dict[str, _Curve]) -> None:
    """Draw the losses pale, and their running means strong."""
    for name, curve in curves.items():
        window = max(1, len(curve.values) // WINDOWS_PER_RUN)
        weights = np.ones(window) / window
        means = np.convolve(np.asarray(curve.values, float), weights, mode="valid")
        (line,) = axes.plot(curve.steps[window - 1 :], means, label=name, linewidth=1.5)
        axes.plot(curve.steps, curve.values, color=line.get_color(), alpha=0.35, linewidth=0.7)
    _finish_panel(axes, "loss")


def _draw_scores(axes: Axes, curves: Dict[str, _Curve]) -> None:
    """Draw the evaluation metrics, with their last values in the legend."""
    for name, curve in curves.items():
        label = f"{name} (last {curve.values[-1]:.3f})"
        axes.plot(curve.steps, curve.values, marker="o", markersize=4, label=label)
    _finish_panel(axes, "metric")


def _finish_panel(axes: Axes, label: str) -> None:
    """Give a panel its label, limits, grid and legend."""
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.3)
    axes.legend(loc="best", fontsize="small")
