"""benchmark_service.py: its table, and a service that does not start. No time is judged."""

import re

from gluonnorm import deploy

import pytest
from http_service import SIZES, photo
from in_process import run_script
from tiny_detector import tiny_detector

for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(package)


def test_both_are_measured(tmp_path):
    (tmp_path / "photos").mkdir()
    for number, size in enumerate(SIZES):
        (tmp_path / "photos" / f"{number}.png").write_bytes(photo(number, size))
    prefix = str(tmp_path / "tiny")
    deploy.export(tiny_detector("fpn", short=64, max_size=96), prefix)
    flags = ("--exported", prefix, "--rounds", 2, "--clients", 2)
    ended = run_script("benchmark_service.py", tmp_path / "photos", *flags)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "photos 3, rounds 2, clients 2"
    stream, service = [float(re.search(r"(\S+) photos/s$", line).group(1)) for line in lines[1:3]]
    assert stream > 0 and service > 0
    middle, lowest, highest = map(float, re.findall(r"\d+\.\d+", lines[3]))
    assert lowest <= middle <= highest

    (tmp_path / "photos" / "3.png").write_bytes(b"no image")
    ended = run_script("benchmark_service.py", tmp_path / "photos" / "3.png", *flags)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["--rounds", "--clients", "--batch-size"])
def test_wrong_flags_are_one_line(tmp_path, flag):
    ended = run_script("benchmark_service.py", tmp_path, "--exported", "out", flag, 0)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"error: {flag} is 0; want at least 1\n"
