"""HTML from Python: elements, in which every plain text is escaped, and tables."""

import html
import unicodedata
from typing import Any, Sequence

# What Unicode calls letters and numbers that are written from right to left.
RIGHT_TO_LEFT = ("R", "AL", "AN")
VOID_ELEMENTS = ("img", "input", "meta")  # they hold nothing and have no end


class Html(str):
    """Text that is HTML already, and is not escaped again."""


def element(tag: str, *parts: str, **attributes: Any) -> Html:
    """Write an element of HTML or SVG.

    Parameters
    ----------
    tag : str
        Its name.
    *parts : str
        What it holds. Texts are escaped; ``Html`` is not.
    **attributes : any
        Its attributes. A trailing ``_`` is taken off, and another ``_`` becomes ``-``: ``class_``,
        ``stroke_width``. One that is True has no value; one that is False or None is left out.

    Returns
    -------
    Html
        The element.

    Examples
    --------
    >>> element("p", "a < b ", element("b", "c"), class_="note")
    '<p class="note">a &lt; b <b>c</b></p>'
    """
    opening = tag
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        opening += f" {key.rstrip('_').replace('_', '-')}"
        if value is not True:
            opening += f'="{html.escape(str(value))}"'
    if tag in VOID_ELEMENTS:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(parts)}</{tag}>")


def join(parts: Sequence[str]) -> Html:
    """Put parts one after the other.

    Parameters
    ----------
    parts : sequence of str
        Texts are escaped; ``Html`` is not.

    Returns
    -------
    Html
        All of them.
    """
    return Html("".join(_escaped(part) for part in parts))


def _escaped(part: str) -> str:
    """Escape a text that is not HTML yet."""
    return part if isinstance(part, Html) else html.escape(part, quote=False)


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Sequence[int] = (0,)
) -> Html:
    """Write a table that scrolls sideways where the page is too narrow for it.

    Parameters
    ----------
    titles : sequence of str
        Of the columns.
    rows : sequence of sequence of str
        The cells.
    text_columns : sequence of int
        The columns that begin at the left; all others are numbers, which end at the right.

    Returns
    -------
    Html
        The table.
    """
    head = _row("th", titles, text_columns)
    body = join([_row("td", row, text_columns) for row in rows])
    content = element("table", element("thead", head), element("tbody", body))
    return element("div", content, class_="scroll")


def _row(kind: str, cells: Sequence[str], text_columns: Sequence[int]) -> Html:
    """Write a row of a table."""
    written = []
    for column, cell in enumerate(cells):
        written.append(element(kind, cell, class_=None if column in text_columns else "number"))
    return element("tr", *written)


def section(title: str, *parts: str) -> Html:
    """Write a section with a headline.

    Parameters
    ----------
    title : str
        The headline.
    *parts : str
        What follows it.

    Returns
    -------
    Html
        The section.
    """
    return element("section", element("h3", title), *parts)


def note(text: str) -> Html:
    """Write a remark, such as why something is not on the page.

    Parameters
    ----------
    text : str
        The remark.

    Returns
    -------
    Html
        A paragraph.
    """
    return element("p", text, class_="note")


def folded(summary: str, *parts: Html) -> Html:
    """Hide parts until the reader asks for them.

    Parameters
    ----------
    summary : str
        What is seen of them.
    *parts : Html
        What is hidden.

    Returns
    -------
    Html
        A ``<details>``.
    """
    return element("details", element("summary", summary), *parts)


def isolated(name: str) -> str:
    """Keep a name that is written from right to left from reordering the text around it.

    Parameters
    ----------
    name : str
        A name that becomes a part of a text.

    Returns
    -------
    str
        The same name, between Unicode's marks of an isolate if it needs them.
    """
    directions = map(unicodedata.bidirectional, name)
    is_reversed = any(direction in RIGHT_TO_LEFT for direction in directions)
    return f"\u2068{name}\u2069" if is_reversed else name


def score(value: float) -> str:
    """Write a score.

    Parameters
    ----------
    value : float
        In 0..1; -1 and NaN stand for none.

    Returns
    -------
    str
        Three decimals, or a dash.
    """
    # NaN is not at least 0 either.
    return f"{value:.3f}" if value >= 0 else "–"
