"""The wheel in a clean environment: the base install and MXNet are enough to serve a model."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import List

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
COMPATIBILITY_FILES = REPOSITORY / "tests" / "compatibility" / "version_0_1.tar.xz"
TRAINING_PACKAGES = ("gluoncv", "opencv-python", "pycocotools", "matplotlib", "scipy", "pandas")

# What a program that only serves a model does.
SERVE = """
import sys
import tarfile
import numpy as np
from gluonnorm.deploy import Predictor

expected = np.load(sys.argv[1] + "/expected.npz")
detections = Predictor(sys.argv[1] + "/float32")(expected["photo"])
assert len(detections.ids) > 0
np.testing.assert_array_equal(detections.ids, expected["float32_ids"])
np.testing.assert_allclose(detections.scores, expected["float32_scores"], atol=1e-4)
np.testing.assert_allclose(detections.boxes, expected["float32_boxes"], atol=0.05)
print("served")
"""


def run(arguments: List[str], cwd: Path) -> str:
    """Run a program outside the repository, without the caller's Python path, and return its
    output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository, built from a copy, since setuptools leaves files in the folder
    it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for package in ("gluonnorm", "model_zoo"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, source / package, ignore=ignored)
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    run([*pip_wheel, "--wheel-dir", str(folder), str(source)], folder)
    (built,) = folder.glob("gluonnorm-*.whl")
    return built


@pytest.mark.slow
@pytest.mark.network
def test_the_base_install_and_mxnet_serve_an_exported_model(wheel: Path, tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", "clean"], tmp_path)
    python = str(tmp_path / "clean" / "bin" / "python")
    pip_install = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    run([*pip_install, str(wheel), "mxnet==1.9.1"], tmp_path)
    installed = run([python, "-m", "pip", "list", "--format=freeze"], tmp_path).lower()
    for package in TRAINING_PACKAGES:
        assert f"{package}==" not in installed
    with tarfile.open(COMPATIBILITY_FILES) as archive:
        archive.extractall(tmp_path / "exported")
    assert run([python, "-c", SERVE, str(tmp_path / "exported")], tmp_path).strip() == "served"
    assert run([python, "-m", "gluonnorm"], tmp_path).startswith("gluonnorm ")


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_holds_the_packages_and_their_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {
        path.relative_to(REPOSITORY).as_posix()
        for package in ("gluonnorm", "model_zoo")
        for path in (REPOSITORY / package).rglob("*.py")
    }
    assert modules <= names
    assert {"gluonnorm/py.typed", "model_zoo/py.typed"} <= names
    assert not any(name.startswith(("tests/", "scripts/")) for name in names)
