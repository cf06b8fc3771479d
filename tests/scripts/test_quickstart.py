"""quickstart.py, as `make demo` runs it, on fewer pictures."""

import io
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

from gluonnorm import deploy

import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def quickstart(output):
    """Run the script inside this process and return what it printed."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(
            sys,
            "argv",
            [
                "quickstart.py",
                "--images",
                "8",
                "--val-images",
                "4",
                "--epochs",
                "1",
                "--output",
                str(output),
            ],
        )
        patch.syspath_prepend(str(SCRIPTS))
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPTS / "quickstart.py"), run_name="__main__")
    assert not stop.value.code
    return out.getvalue()


@pytest.mark.slow
def test_the_whole_way_and_a_second_time(tmp_path):
    for _ in range(2):  # the second run finds the first one's files
        printed = quickstart(tmp_path)
        assert "on 4 held-out images, before and after training: AP " in printed
        for name, file in (
            ("data set", "data"),
            ("checkpoint", "run/shapes-0000004.json"),
            ("curve", "run/shapes-curve.png"),
            ("exported", "export/shapes-symbol.json"),
            ("picture", "detections.jpg"),
        ):
            assert f"{name:<11}{tmp_path / file}\n" in printed and (tmp_path / file).exists()
    _, record = deploy.load(str(tmp_path / "export" / "shapes"))
    assert record["classes"] == ["circle", "square", "triangle"]
    assert Image.open(tmp_path / "detections.jpg").width >= 160
    assert sorted(path.name for path in (tmp_path / "run").glob("*.json")) == [
        "shapes-0000004.json",
        "shapes-arguments.json",
        "shapes-best.json",
    ]
