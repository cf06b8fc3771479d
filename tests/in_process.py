"""Run scripts as the shell does, but inside the test process, which saves the import of MXNet."""

import io
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


class ScriptResult(NamedTuple):
    """How a script ended; the names are those of ``subprocess.CompletedProcess``.

    Attributes
    ----------
    returncode : int
        The exit code; 0 for success.
    stdout, stderr : str
        What the script printed.
    """

    returncode: int
    stdout: str
    stderr: str


def run_script(script: str, *arguments: Any) -> ScriptResult:
    """Run a script of the repository.

    Parameters
    ----------
    script : str
        The name of a file in ``scripts/``.
    *arguments : object
        The command line; each argument is converted to text.

    Returns
    -------
    ScriptResult
        How it ended.
    """
    stdout = io.StringIO()
    stderr = io.StringIO()
    command_line = [script, *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", command_line)
        patch.syspath_prepend(str(SCRIPTS))
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return ScriptResult(stop.value.code or 0, stdout.getvalue(), stderr.getvalue())
