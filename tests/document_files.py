"""The files of the user that a document shows, as they would lie in the user's own folder."""

import re
from pathlib import Path
from typing import List

DOCS = Path(__file__).resolve().parents[1] / "docs"
FILE = re.compile(r"<!-- (?P<name>\w+\.py) -->\n```python\n(?P<code>.*?)^```$", re.M | re.S)


def write_document_files(document: str, folder: Path) -> List[str]:
    """Write the files that a document shows.

    Parameters
    ----------
    document : str
        The name of a file in ``docs/``.
    folder : pathlib.Path
        Where they are written.

    Returns
    -------
    list of str
        Their names.
    """
    names = []
    for match in FILE.finditer((DOCS / document).read_text(encoding="utf-8")):
        (folder / match["name"]).write_text(match["code"], encoding="utf-8")
        names.append(match["name"])
    return names
