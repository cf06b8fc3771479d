"""The script that unpacks the headers of onnxruntime for the program in C++."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "docs/deploy/cpp/onnxruntime_headers.sh"


def test_a_system_without_a_mirror_of_debian_gets_a_line(tmp_path):
    """apt of Ubuntu, which lists its own mirrors."""
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho http://archive.ubuntu.com/ubuntu/\n")
    apt.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path / "headers")],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: apt has no mirror of Debian here; take the headers of a ")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "headers").exists()
