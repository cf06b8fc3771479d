"""Charts as SVG that takes its colors from the page: lines, and stacked bars."""

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

from run_report.html import Html, element, join

WIDTH = 640
HEIGHT = 300
LEFT = 54
RIGHT = 12
TOP = 12
BOTTOM = 50
NUM_COLORS = 8  # of the variables --s0, --s1 ... of page.css
# Lengths of lines and gaps in pixels, for the first NUM_COLORS lines, the next ones and so on.
DASHES = ("", "9 4", "2 4")
MOST_TICKS = 6
# Of a number in a chart: lengths of axes beyond these are infinite or 0 for a computer.
LARGEST = 1e300
SMALLEST = 1e-300


class Line(NamedTuple):
    """A curve of a chart.

    Attributes
    ----------
    name : str
        What the legend says.
    points : sequence of (float, float)
        x and y; the points of the curve in the order in which they are joined.
    color : int
        The number of its color. Each ``NUM_COLORS`` further, a line has the same color and other
        dashes.
    markers : bool
        Whether the points are marked.
    """

    name: str
    points: Sequence[Tuple[float, float]]
    color: int
    markers: bool = False


class Bars(NamedTuple):
    """One part of each bar of a chart.

    Attributes
    ----------
    name : str
        What the legend says.
    heights : sequence of float
        One height a bar.
    color : int
        The number of its color.
    """

    name: str
    heights: Sequence[float]
    color: int


class _Scale(NamedTuple):
    """From numbers to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        """The place of a number, rounded to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)


def line_chart(
    lines: Sequence[Line],
    x_title: str,
    y_title: str,
    x_limits: Optional[Tuple[float, float]] = None,
    y_limits: Optional[Tuple[float, float]] = None,
) -> Html:
    """Draw curves on one pair of axes, with a legend below.

    Parameters
    ----------
    lines : sequence of Line
        The curves. Points that are not finite, or beyond ``LARGEST``, are left out.
    x_title, y_title : str
        What the axes show, with the unit.
    x_limits, y_limits : (float, float) or None
        The ends of the axes; None takes those of the points, and 0.

    Returns
    -------
    Html
        A figure.
    """
    finite = [line._replace(points=_finite(line.points)) for line in lines]
    points = [point for line in finite for point in line.points]
    x_scale = _scale([x for x, _ in points], x_limits, LEFT, WIDTH - RIGHT)
    y_scale = _scale([y for _, y in points], y_limits, HEIGHT - BOTTOM, TOP)
    parts = [_grid(x_scale, y_scale, x_title)]
    for line in finite:
        parts.append(_curve(line, x_scale, y_scale))
    swatches = [(line.name, _swatch(line.color)) for line in lines]
    return _figure(parts, swatches, x_title, y_title)


def bar_chart(parts: Sequence[Bars], labels: Sequence[str], x_title: str, y_title: str) -> Html:
    """Draw bars whose parts are stacked, with a legend below.

    Parameters
    ----------
    parts : sequence of Bars
        The parts, the lowest first.
    labels : sequence of str
        What is written below each bar.
    x_title, y_title : str
        What the axes show.

    Returns
    -------
    Html
        A figure.
    """
    heights_of_parts = [part.heights for part in parts]
    totals = [sum(heights) for heights in zip(*heights_of_parts)]
    y_scale = _scale(totals, None, HEIGHT - BOTTOM, TOP)
    x_scale = _Scale(0, max(1, len(labels)), LEFT, WIDTH - RIGHT)
    drawn: List[Html] = [_grid(None, y_scale, x_title)]
    bases = [0.0] * len(labels)
    for part in parts:
        for column, height in enumerate(part.heights):
            top = bases[column] + height
            drawn.append(
                element(
                    "rect",
                    element("title", f"{labels[column]}: {part.name} {height:g}"),
                    x=x_scale.place(column + 0.1),
                    width=round((x_scale.stop - x_scale.start) / len(labels) * 0.8, 1),
                    y=y_scale.place(top),
                    height=round(y_scale.place(bases[column]) - y_scale.place(top), 1),
                    style=f"fill:var(--s{part.color % NUM_COLORS})",
                )
            )
            bases[column] = top
    for column, label in enumerate(labels):
        drawn.append(_text(label, x_scale.place(column + 0.5), HEIGHT - BOTTOM + 20, "middle"))
    return _figure(drawn, [(part.name, _swatch(part.color)) for part in parts], x_title, y_title)


def is_drawable(value: float) -> bool:
    """Tell whether a number has a place on an axis.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    bool
        False for NaN, which is in no range, and beyond ``LARGEST``.
    """
    return abs(value) <= LARGEST


def _finite(points: Sequence[Tuple[float, float]]) -> List[Tuple[float, float]]:
    """Leave out points that cannot be drawn."""
    return [(x, y) for x, y in points if is_drawable(x) and is_drawable(y)]


def _scale(
    values: Sequence[float], limits: Optional[Tuple[float, float]], start: float, stop: float
) -> _Scale:
    """Make the scale of an axis."""
    low, high = limits or (min([0.0, *values]), max([0.0, *values]))
    if high - low < SMALLEST:
        high = low + 1
    return _Scale(low, high, start, stop)


def ticks(low: float, high: float) -> List[float]:
    """Choose round numbers on an axis.

    Parameters
    ----------
    low, high : float
        The ends of the axis.

    Returns
    -------
    list of float
        At most ``MOST_TICKS``: multiples of 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> ticks(0, 1435)
    [0.0, 500.0, 1000.0]
    """
    rough = (high - low) / (MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = 10 * power
    for factor in (1, 2, 5):
        # A hair below, so that a fifth of 0..1 is 0.2 and not 0.5.
        if factor * power >= rough * (1 - 1e-9):
            step = factor * power
            break
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _grid(x_scale: Optional[_Scale], y_scale: _Scale, x_title: str) -> Html:
    """Draw the lines of the grid, their numbers and the title of the x axis."""
    bottom = HEIGHT - BOTTOM
    parts = []
    for value in ticks(y_scale.low, y_scale.high):
        y = y_scale.place(value)
        parts.append(_grid_line(LEFT, y, WIDTH - RIGHT, y))
        parts.append(_text(f"{value:g}", LEFT - 6, y + 5, "end"))
    if x_scale is not None:
        for value in ticks(x_scale.low, x_scale.high):
            x = x_scale.place(value)
            parts.append(_grid_line(x, TOP, x, bottom))
            parts.append(_text(f"{value:g}", x, bottom + 20, "middle"))
    parts.append(_text(x_title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle"))
    return join(parts)


def _grid_line(x1: float, y1: float, x2: float, y2: float) -> Html:
    """Draw a line of the grid."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="grid")


def _text(text: str, x: float, y: float, anchor: str) -> Html:
    """Write a text."""
    return element("text", text, x=x, y=y, text_anchor=anchor)


def _curve(line: Line, x_scale: _Scale, y_scale: _Scale) -> Html:
    """Draw a curve and its markers."""
    color = f"var(--s{line.color % NUM_COLORS})"
    places = [(x_scale.place(x), y_scale.place(y)) for x, y in line.points]
    path = " ".join(f"{x:g},{y:g}" for x, y in places)
    title = element("title", line.name)
    dashes = _dashes(line.color) or None
    parts = [
        element("polyline", title, points=path, style=f"stroke:{color}", stroke_dasharray=dashes)
    ]
    if line.markers:
        for x, y in places:
            parts.append(element("circle", cx=x, cy=y, r=3, style=f"fill:{color}"))
    return join(parts)


def _dashes(color: int) -> str:
    """Return the lengths of line and gap of a color's number; "" for a line without gaps."""
    return DASHES[color // NUM_COLORS % len(DASHES)]


def _swatch(color: int) -> Html:
    """Draw a color and its dashes for a legend."""
    paint = f"var(--s{color % NUM_COLORS})"
    dashes = _dashes(color)
    if dashes:
        # Half of their lengths: a swatch is short, and shall have two of them.
        line, gap = [int(length) / 2 for length in dashes.split()]
        stripes = f"{paint} 0 {line:g}px, transparent {line:g}px {line + gap:g}px"
        paint = f"repeating-linear-gradient(90deg, {stripes})"
    return element("i", style=f"background:{paint}")


def _figure(
    parts: Sequence[Html], legend: Sequence[Tuple[str, Html]], x_title: str, y_title: str
) -> Html:
    """Put the title of the y axis, the chart and its legend below each other."""
    title = element("div", y_title, class_="axis")
    label = f"{y_title}: {x_title}"
    drawing = element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)
    entries = [element("span", swatch, name) for name, swatch in legend]
    return element("figure", title, drawing, element("figcaption", *entries))
