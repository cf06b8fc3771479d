"""Make the site's navigation of its index pages, so that no second list of pages is needed.

Each section of an index becomes a part of the navigation, and each page that the section links a
page of it, under the text of the first link. The text before the first section has a part without a
caption.
"""

import re
from typing import Any, Dict, List

from sphinx.application import Sphinx

SECTION = re.compile(r"^## ", re.MULTILINE)
PAGE_LINK = re.compile(r"\[(?P<title>[^\]]+)\]\((?P<page>[^)#:]+)\.md\)")


def navigation_of(index: str) -> str:
    """Write the toctrees for an index.

    Parameters
    ----------
    index : str
        The index in Markdown.

    Returns
    -------
    str
        One hidden toctree for each section that has links to pages.

    Examples
    --------
    >>> print(navigation_of("# Title\\n\\n## Start\\n\\n[This\\npage](../a.md), [it](../a.md).\\n"))
    ```{toctree}
    :hidden:
    :caption: Start
    <BLANKLINE>
    This page <../a>
    ```
    """
    trees = []
    introduction, *sections = SECTION.split(index)
    for section in ["\n" + introduction, *sections]:
        caption, _, text = section.partition("\n")
        titles: Dict[str, str] = {}
        for link in PAGE_LINK.finditer(text):
            # The text of a link may go on in the next line.
            titles.setdefault(link["page"], " ".join(link["title"].split()))
        entries = [f"{title} <{page}>" for page, title in titles.items()]
        if entries:
            options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
            trees.append("\n".join(["```{toctree}", *options, "", *entries, "```"]))
    return "\n\n".join(trees)


def add_navigation(app: Sphinx, page: str, source: List[str]) -> None:
    """Append the navigation to the text of an index page, when Sphinx has read it.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The build.
    page : str
        The page that was read.
    source : list of str
        Its text, which may be changed in place.
    """
    if page in app.config.index_pages:
        source[0] += "\n\n" + navigation_of(source[0])


def setup(app: Sphinx) -> Dict[str, Any]:
    """Register the extension, as Sphinx asks for it."""
    app.add_config_value("index_pages", default=[], rebuild="env")
    app.connect("source-read", add_navigation)
    return {"parallel_read_safe": True}
