"""The picture of how switchable norms mix their statistics, layer by layer, during training."""

from statistics import mean
from typing import Dict, List, Sequence

from experiments.summary import RowSummary
from gluonnorm.training.figure_file import blank_figure, save_png
from gluonnorm.training.mixing_plot import COLORS

from matplotlib.axes import Axes

# Lengths in inches.
WIDTH = 14.0
HEIGHT_PER_ROW = 1.8
NAMES_HEIGHT = 3.0
# Where a layer's entry of a result has its shares, and what they are shares of.
SHARES = {1: "mean", 2: "variance"}


def plot_mixing(summaries: Sequence[RowSummary], png_path: str) -> None:
    """Draw two panels side by side for each row: the shares in the mean and in the variance.

    A curve goes over the layers, from the image to the heads. Earlier epochs are paler. The shares
    are the means of the seeds.

    Parameters
    ----------
    summaries : sequence of RowSummary
        The results of rows with switchable norms, at least one, all of the same layers.
    png_path : str
        The file to write.
    """
    figure = blank_figure(WIDTH, HEIGHT_PER_ROW * len(summaries) + NAMES_HEIGHT)
    grid = figure.subplots(len(summaries), len(SHARES), sharex=True, sharey="row", squeeze=False)
    for panels, summary in zip(grid, summaries):
        for axes, place in zip(panels, SHARES):
            _draw_epochs(axes, summary, place)
        panels[0].set_ylabel(summary.row.label)
    for axes, quantity in zip(grid[0], SHARES.values()):
        axes.set_title(f"share in the {quantity}")
    grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    names = [layer[0] for layer in summaries[0].results[0].mixing_weights[0]["layers"]]
    for axes in grid[-1]:
        axes.set_xticks(range(len(names)))
        axes.set_xticklabels(names, rotation=90, fontsize="xx-small")
    save_png(figure, png_path)


def _draw_epochs(axes: Axes, summary: RowSummary, place: int) -> None:
    """Draw the shares of each statistic after each epoch that was kept."""
    count = min(len(result.mixing_weights) for result in summary.results)
    for epoch in range(count):
        runs = [result.mixing_weights[epoch]["layers"] for result in summary.results]
        shares = _mean_shares(runs, place)
        for statistic, of_layers in shares.items():
            axes.plot(
                of_layers,
                color=COLORS[statistic],
                alpha=(epoch + 1) / count,
                linewidth=1,
                # Without a label, a curve is not in the legend.
                label=statistic if epoch + 1 == count else None,
            )
    axes.grid(axis="y", alpha=0.3)


def _mean_shares(runs: Sequence[Sequence[Sequence]], place: int) -> Dict[str, List[float]]:
    """Compute the mean over runs of the share of each statistic in each layer."""
    shares: Dict[str, List[float]] = {}
    for layers in zip(*runs):
        for statistic in layers[0][place]:
            of_runs = [layer[place][statistic] for layer in layers]
            shares.setdefault(statistic, []).append(mean(of_runs))
    return shares
