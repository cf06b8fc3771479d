"""What works in a process that cannot import MXNet."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gluonnorm.nn import NORM_NAMES

import pytest
from in_process import run_script

REPOSITORY = Path(__file__).resolve().parent.parent
NO_MXNET = "import sys; sys.modules['mxnet'] = None\n"


def run(code: str, *arguments: Any) -> str:
    """What a fresh interpreter without MXNet prints."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "error", "-c", NO_MXNET + code, *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


IMPORTS = """
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
imported = {name for name, module in sys.modules.items() if module is not None}
print(sorted({"mxnet", "gluoncv", "model_zoo"} & imported))
"""


def test_rooms_that_serve_photos_import_no_mxnet() -> None:
    photos = [f"gluonnorm.photos.{path.stem}" for path in REPOSITORY.glob("gluonnorm/photos/*.py")]
    assert len(photos) > 5
    rooms = ["gluonnorm.weight_files", "gluonnorm.coco_results", "gluonnorm.visualize"]
    rooms += [
        "gluonnorm.detection_formats",
        "gluonnorm.deploy",
        "gluonnorm.deploy.backends.choice",
        "gluonnorm.deploy.bundle",
    ]
    assert run(IMPORTS, *rooms, *photos) == "[]"


EXPORT = """
import gluonnorm.deploy as deploy
print(deploy.Predictor.__name__, deploy.DTYPES)
for name in ("export", "load", "expotr"):
    try:
        getattr(deploy, name)
    except (AttributeError, deploy.DeployError) as error:
        print(type(error).__name__, error)
"""


def test_export_and_load_say_that_they_need_mxnet() -> None:
    first, *errors = run(EXPORT).splitlines()
    assert first == "Predictor ('float32', 'bfloat16', 'int8')"
    for name, message in zip(("export", "load"), errors):
        assert message.startswith(f"DeployError gluonnorm.deploy.{name} needs MXNet (")
        assert message.endswith("install it with pip install 'gluonnorm[cpu]'")
    assert errors[2] == "AttributeError module 'gluonnorm.deploy' has no attribute 'expotr'"


WEIGHTS = """
import numpy as np
from gluonnorm.weight_files import WeightFileError, read_arrays, write_arrays
folder = sys.argv[1]
write_arrays(folder + "/a.safetensors", {"weight": np.float32([1, 2])})
print(read_arrays(folder + "/a.safetensors")["weight"].tolist())
for work in (lambda: read_arrays(folder + "/b.params"),
             lambda: write_arrays(folder + "/c.params", {"weight": np.float32([1])})):
    try:
        work()
    except WeightFileError as error:
        print(error)
"""


def test_weights_in_formats_of_other_programs_are_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "b.params").write_bytes(b"\x12\x01\0\0\0\0\0\0" + bytes(100))
    arrays, *errors = run(WEIGHTS, tmp_path).splitlines()
    assert arrays == "[1.0, 2.0]"
    assert len(errors) == 2
    for message in errors:
        assert ".params files are read and written by MXNet" in message
        assert "pip install 'gluonnorm[cpu]'" in message


ALIASES = """
import numpy as np
before = set(np.__dict__)
import gluonnorm, os
print(set(np.__dict__) - before, os.environ["OMP_NUM_THREADS"] != "")
"""


def test_numpy_stays_as_it_is_and_the_number_of_threads_is_set() -> None:
    assert run(ALIASES) == "set() True"


@pytest.mark.parametrize("script", ["demo.py", "export.py"])
def test_the_flags_without_mxnet_name_every_norm(script: str) -> None:
    shown = " ".join(run_script(script, "--help").stdout.split())
    assert f"--norm NORM {', '.join(NORM_NAMES)}, or one that a --plugin registers" in shown
