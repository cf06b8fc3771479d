"""The directive ``script-help``: a section for each script, with what its ``--help`` prints."""

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
COLUMNS = 98  # letters of a line, as in the descriptions


def script_names() -> List[str]:
    """The names of all scripts, without the files that they share."""
    return sorted(path.stem for path in SCRIPTS.glob("[!_]*.py"))


@contextlib.contextmanager
def command_line(script: str) -> Iterator[None]:
    """Let the process look as if it had been started as ``python scripts/NAME.py --help``."""
    arguments = [f"scripts/{script}.py", "--help"]
    path = [str(SCRIPTS), *sys.path]
    with mock.patch.object(sys, "argv", arguments), mock.patch.object(sys, "path", path):
        with mock.patch.dict(os.environ, {"COLUMNS": str(COLUMNS)}):
            yield


def help_of(script: str) -> str:
    """Return what a script prints for ``--help``.

    The scripts run in this process, because each process would import MXNet again.

    Parameters
    ----------
    script : str
        The name of the script without ``.py``.

    Returns
    -------
    str
        The text.

    Raises
    ------
    RuntimeError
        The script does not end as it does after ``--help``.
    """
    printed = io.StringIO()
    with command_line(script), contextlib.redirect_stdout(printed):
        try:
            importlib.import_module(script).parse_args()
        except SystemExit as end:
            if end.code == 0:
                return printed.getvalue()
    raise RuntimeError(f"scripts/{script}.py --help does not end with status 0")


class ScriptHelp(SphinxDirective):
    """A section for each script."""

    def run(self) -> List[nodes.Node]:
        """Make the sections, in every build: scripts change while the page does not."""
        self.env.note_reread()
        sections: List[nodes.Node] = []
        for script in script_names():
            file_name = f"{script}.py"
            section = nodes.section(ids=[nodes.make_id(script)], names=[script])
            section += nodes.title("", file_name)
            text = help_of(script)
            section += nodes.literal_block(text, text, language="none", classes=["script-help"])
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> Dict[str, Any]:
    """Register the directive, as Sphinx asks for it."""
    app.add_directive("script-help", ScriptHelp)
    return {"parallel_read_safe": True}
