"""Curves of a run as a PNG. Imports matplotlib, so only scripts import this file."""
import os
from typing import Any, Dict, List, Sequence, Tuple, Union

from gluonnorm.training.log import read_metrics

import matplotlib
import numpy as np

matplotlib.use("Agg")  # draws files; needs no display

from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen first)

Series = Dict[str, Tuple[List[int], List[float]]]


def plot_curves(metrics: Union[str, Sequence[Dict[str, Any]]], png_path: str, title: str = "") -> None:
    """Draw the losses above and, if there are any, the evaluation metrics below, against the step.

    Parameters
    ----------
    metrics : str or list of dict
        A ``metrics.jsonl`` file, or its rows: those with ``losses`` and those with ``eval``, each {name: number}.
    png_path : str
        File to write.
    title : str
        Headline, such as the network's name.

    Losses are drawn pale as they are and strong as a running mean over a fiftieth of the run.
    """
    rows = read_metrics(metrics) if isinstance(metrics, str) else list(metrics)
    losses, scores = _series(rows, "losses"), _series(rows, "eval")
    if not losses and not scores:
        raise ValueError("there is nothing to plot: no row has losses or eval; train for at least one step first")
    drawn = [panel for panel in ((losses, "loss", _draw_loss), (scores, "metric", _draw_score)) if panel[0]]
    figure, axes = plt.subplots(len(drawn), 1, figsize=(9, 4 * len(drawn)), sharex=True, squeeze=False)
    try:
        for axis, (series, label, draw) in zip(axes[:, 0], drawn):
            for name, (steps, values) in series.items():
                draw(axis, name, np.asarray(steps), np.asarray(values, float))
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
            axis.grid(True, alpha=0.3)
            axis.legend(loc="best", fontsize="small")
        axes[-1, 0].set_xlabel("step")
        axes[0, 0].set_title(title)
        figure.tight_layout()
        os.makedirs(os.path.dirname(png_path) or ".", exist_ok=True)
        figure.savefig(png_path, dpi=120, format="png")
    finally:
        plt.close(figure)


def _series(rows: Sequence[Dict[str, Any]], kind: str) -> Series:
    """{name: (steps, values)} of the rows that have a ``kind`` dict."""
    series: Series = {}
    for row in rows:
        for name, value in row.get(kind, {}).items():
            steps, values = series.setdefault(name, ([], []))
            steps.append(row["step"])
            values.append(value)
    return series


def _draw_loss(axis: Any, name: str, steps: np.ndarray, values: np.ndarray) -> None:
    window = max(1, len(values) // 50)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    line, = axis.plot(steps[window - 1:], mean, label=name, linewidth=1.5)
    axis.plot(steps, values, color=line.get_color(), alpha=0.35, linewidth=0.7)


def _draw_score(axis: Any, name: str, steps: np.ndarray, values: np.ndarray) -> None:
    axis.plot(steps, values, marker="o", markersize=4, label=f"{name} (last {values[-1]:.3f})")
