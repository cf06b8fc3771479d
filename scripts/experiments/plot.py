"""The picture of an experiment: the mean of each row with its spread."""

from statistics import mean, stdev
from typing import Any, Dict, List, Sequence

from experiments.rows import Experiment
from experiments.summary import RowSummary
from gluonnorm.training.figure_file import blank_figure, save_png

from matplotlib.axes import Axes

# Lengths in inches.
PANEL_WIDTH = 6.0
LEGEND_WIDTH = 2.0
HEIGHT = 4.5
# Rows of one place on the axis stand side by side within this width, in places.
SPREAD = 0.5
# So many names stand level below the axis; more are turned, so that they do not overlap.
LEVEL_NAMES = 6


def plot_experiment(experiment: Experiment, summaries: Sequence[RowSummary], png_path: str) -> None:
    """Draw the first score of each row: the mean, and the standard deviation as its error bar.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    summaries : sequence of RowSummary
        The results of its rows.
    png_path : str
        The file to write.
    """
    panels = _values_of(experiment.panel, summaries)
    # Each series has the same color in all panels.
    series = _values_of(experiment.series, summaries)
    figure = blank_figure(PANEL_WIDTH * len(panels) + LEGEND_WIDTH, HEIGHT)
    grid = figure.subplots(1, len(panels), sharey="row", squeeze=False)
    for axes, panel in zip(grid[0], panels):
        shown = [summary for summary in summaries if summary.row.factors[experiment.panel] == panel]
        _draw_panel(axes, experiment, shown, series)
        axes.set_title(f"{experiment.panel}: {panel}")
    if experiment.series != experiment.x:
        _draw_legend(grid[0], experiment.series)
    save_png(figure, png_path)


def _values_of(factor: str, summaries: Sequence[RowSummary]) -> List[str]:
    """Collect the values of a factor, in the order of the rows."""
    return list(dict.fromkeys(summary.row.factors[factor] for summary in summaries))


def _draw_panel(
    axes: Axes, experiment: Experiment, summaries: Sequence[RowSummary], series: Sequence[str]
) -> None:
    """Draw the rows of one panel: a color for each series, side by side at each place."""
    places = _values_of(experiment.x, summaries)
    score = experiment.scores[0]
    is_side_by_side = experiment.series != experiment.x
    for index, name in enumerate(series):
        offset = SPREAD * ((index + 0.5) / len(series) - 0.5) if is_side_by_side else 0
        of_series = []
        for summary in summaries:
            if summary.row.factors[experiment.series] == name and summary.values(score):
                of_series.append(summary)
        if not of_series:
            continue
        positions = [places.index(summary.row.factors[experiment.x]) for summary in of_series]
        values = [summary.values(score) for summary in of_series]
        axes.errorbar(
            [position + offset for position in positions],
            [mean(row_values) for row_values in values],
            yerr=[_deviation(row_values) for row_values in values],
            fmt="o",
            capsize=3,
            label=name,
            # Colors tell series apart that share a place, and mean nothing otherwise.
            color=f"C{index}" if is_side_by_side else "C0",
        )
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xticks(range(len(places)))
    if len(places) > LEVEL_NAMES:
        axes.set_xticklabels(places, rotation=30, ha="right")
    else:
        axes.set_xticklabels(places)
    axes.set_xlabel(experiment.x)
    axes.set_ylabel(score)
    axes.grid(axis="y", alpha=0.3)


def _draw_legend(panels: Sequence[Axes], title: str) -> None:
    """Draw one legend for all panels, to the right of them, where it hides no row."""
    shown: Dict[str, Any] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels()):
            shown.setdefault(name, handle)
    panels[-1].legend(
        list(shown.values()),
        list(shown),
        title=title,
        fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
    )


def _deviation(values: Sequence[float]) -> float:
    """Compute the standard deviation of a sample; 0 of a single value."""
    return stdev(values) if len(values) > 1 else 0.0
