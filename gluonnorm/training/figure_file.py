"""Figures of matplotlib that are drawn to PNG files and need no display."""

import os

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def blank_figure(width: float, height: float) -> Figure:
    """Make an empty figure that needs no display.

    Parameters
    ----------
    width, height : float
        The size in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. pyplot does not know it, so it need not be closed.
    """
    figure = Figure(figsize=(width, height))
    # The canvas that draws to memory registers itself with the figure.
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, png_path: str) -> None:
    """Draw a figure to a PNG file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    png_path : str
        The file. A missing folder is made.
    """
    figure.tight_layout()
    os.makedirs(os.path.dirname(png_path) or ".", exist_ok=True)
    figure.savefig(png_path, dpi=120, format="png")
