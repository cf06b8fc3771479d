"""What the colors of a picture mean, as a strip of rows that is put below it."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from gluonnorm.class_colors import Color
from gluonnorm.visualize.lettering import Font

import numpy as np
from PIL import Image, ImageDraw

WHITE = (255, 255, 255)
BLACK = (0, 0, 0)


class LegendEntry(NamedTuple):
    """One class in a legend.

    Attributes
    ----------
    text : str
        What is written.
    color : tuple of int or None
        The RGB color of the square in front of the text; None for no square.
    """

    text: str
    color: Optional[Color]


def legend_strip(entries: Sequence[LegendEntry], width: int, font: Font) -> np.ndarray:
    """Draw a legend, as many entries beside each other as there is room for.

    Parameters
    ----------
    entries : sequence of LegendEntry
        The classes, in the order of reading.
    width : int
        Width of the picture in pixels. An entry that is wider is cut off.
    font : PIL.ImageFont.FreeTypeFont
        How the texts are written.

    Returns
    -------
    numpy.ndarray
        (H, width, 3) uint8. Without entries, H is 0.
    """
    if not entries:
        return np.zeros((0, width, 3), np.uint8)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    # The letters of this text reach as high and as low as any Latin ones.
    side = int(measure.textbbox((0, 0), "Ag", font=font)[3])
    gap = max(2, side // 3)

    widths = []
    for entry in entries:
        square_width = 0 if entry.color is None else side + gap
        widths.append(square_width + int(measure.textlength(entry.text, font=font)))
    places = _places(widths, width, side + gap, gap)

    strip = Image.new("RGB", (width, places[-1][1] + side + gap), WHITE)
    canvas = ImageDraw.Draw(strip)
    for entry, (left, top) in zip(entries, places):
        if entry.color is not None:
            canvas.rectangle((left, top, left + side - 1, top + side - 1), fill=entry.color)
            left += side + gap
        canvas.text((left, top), entry.text, fill=BLACK, font=font)
    return np.array(strip)


def _places(
    widths: Sequence[int], strip_width: int, row_height: int, gap: int
) -> List[Tuple[int, int]]:
    """Find left and top of each entry, from left to right and row by row."""
    places = []
    left = gap
    top = gap
    for width in widths:
        if left > gap and left + width + gap > strip_width:
            left = gap
            top += row_height
        places.append((left, top))
        left += width + 3 * gap
    return places
