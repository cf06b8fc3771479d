"""Scripts as the shell runs them, but inside this process, which has MXNet loaded already."""
import io
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


class Ended(NamedTuple):
    """How a script ended."""
    returncode: int
    stdout: str
    stderr: str


def run_script(script, *args):
    """Run ``scripts/<script>`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [script, *map(str, args)])
        patch.syspath_prepend(str(SCRIPTS))
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return Ended(stop.value.code or 0, out.getvalue(), err.getvalue())
