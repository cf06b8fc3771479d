"""Figures of matplotlib that are drawn to PNG files and need no display."""

import os
from typing import List, Optional

from gluonnorm.weight_files import atomic_files

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text


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


def save_png(figure: Figure, png_path: str, font: Optional[str] = None) -> None:
    """Draw a figure to a PNG file.

    Titles, legends and texts hold names of the user. A character that the font does not have is
    drawn as its code, such as ``\\u732b``: matplotlib would draw a box, and warn at every drawing.
    Dollar signs are drawn as they are.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    png_path : str
        The file. A missing folder is made.
    font : str or None
        A TrueType or OpenType file for titles, legends and texts; None for matplotlib's own font.
    """
    for text in _texts_with_names(figure):
        if font is not None:
            text.set_fontproperties(_resized_font(font, text))
        characters = get_font(findfont(text.get_fontproperties()))
        text.set_text(_drawable(text.get_text(), characters))
        text.set_parse_math(False)
    figure.tight_layout()
    os.makedirs(os.path.dirname(png_path) or ".", exist_ok=True)
    with atomic_files(png_path) as (temporary,):
        figure.savefig(temporary, dpi=120, format="png")


def _texts_with_names(figure: Figure) -> List[Text]:
    """Titles, legends and texts of all panels."""
    texts = []
    for axes in figure.axes:
        texts.append(axes.title)
        texts += axes.texts
        legend = axes.get_legend()
        if legend is not None:
            texts += legend.get_texts()
    return texts


def _resized_font(font: str, text: Text) -> FontProperties:
    """The font of a file, in the size of a text."""
    return FontProperties(fname=font, size=text.get_fontsize())


def _drawable(text: str, font: FT2Font) -> str:
    """Replace the characters that a font does not have by their codes."""
    characters = []
    for character in text:
        if character.isprintable() and font.get_char_index(ord(character)):
            characters.append(character)
        else:
            characters.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(characters)
