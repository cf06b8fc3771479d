"""The wheel in a clean environment: the base install and MXNet are enough to serve a model."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import List

from gluonnorm.data import draw_shapes
from gluonnorm.deploy import Predictor, export
from gluonnorm.photos.files import image_files

import numpy as np
import pytest
from tiny_detector import tiny_detector

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

# What writes the ONNX file of a graph that this process has converted, which needs no package onnx.
WRITE_ONNX = """
import pickle
import sys
from gluonnorm.deploy.onnx.model_file import model_bytes

with open(sys.argv[1], "rb") as file:
    arguments = pickle.load(file)
with open(sys.argv[2], "wb") as file:
    file.write(model_bytes(*arguments))
"""

# What a program without MXNet does.
SERVE_ONNX = """
import sys
import numpy as np
from gluonnorm.deploy import Predictor
from gluonnorm.photos.files import image_files

assert int(np.__version__.split(".")[0]) >= 2, np.__version__
expected = np.load(sys.argv[1] + "/expected.npz")
predictor = Predictor(sys.argv[1] + "/net", batch_size=2)
files = image_files(sys.argv[1] + "/shapes/val")
for number, found in enumerate(predictor.stream(files)):
    assert len(found.ids) > 3
    np.testing.assert_array_equal(found.ids, expected[f"ids{number}"])
    np.testing.assert_allclose(found.scores, expected[f"scores{number}"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.boxes, expected[f"boxes{number}"], rtol=0, atol=1e-2)
    differing = (found.masks != expected[f"masks{number}"]).sum()
    assert differing <= 5e-3 * found.masks.sum()
assert not {"mxnet", "gluoncv"} & set(sys.modules)
print("served", number + 1)
"""
NEWEST_MINOR = 30  # of the Pythons that are looked for
LAST_MINOR_OF_MXNET = 12


def run(arguments: List[str], cwd: Path) -> str:
    """Run a program outside the repository, without the caller's Python path, and return its
    output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def newest_python() -> str:
    """The newest Python of this machine that can make an environment and that has no MXNet."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(NEWEST_MINOR, LAST_MINOR_OF_MXNET, -1):
        found = [
            *sorted(versions.glob(f"3.{minor}.*/bin/python")),
            shutil.which(f"python3.{minor}"),
        ]
        for python in filter(None, found):
            command = [str(python), "-c", "import ensurepip, venv"]
            if subprocess.run(command, capture_output=True).returncode == 0:
                return str(python)
    pytest.skip(f"no Python later than 3.{LAST_MINOR_OF_MXNET} with pip and venv on this machine")


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


@pytest.mark.slow
@pytest.mark.network
def test_the_onnx_extra_serves_without_mxnet(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run([newest_python(), "-m", "venv", "clean"], tmp_path)
    python = str(tmp_path / "clean" / "bin" / "python")
    pip_install = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    run([*pip_install, "--only-binary", ":all:", f"{wheel}[onnx]"], tmp_path)
    installed = run([python, "-m", "pip", "list", "--format=freeze"], tmp_path).lower()
    for package in ("mxnet", "gluoncv", "scipy", "matplotlib"):
        assert f"{package}==" not in installed

    def write_in_clean_environment(*graph_and_names: object, **names: object) -> bytes:
        arguments = (*graph_and_names, *names.values())
        (tmp_path / "graph.pickle").write_bytes(pickle.dumps(arguments))
        run([python, "-c", WRITE_ONNX, "graph.pickle", "written.onnx"], tmp_path)
        return (tmp_path / "written.onnx").read_bytes()

    draw_shapes(tmp_path / "shapes", train=1, val=2)
    net = tiny_detector("mask_fpn", short=96, max_size=128, score_thresh=0.0)
    exporting = sys.modules[export.__module__]
    monkeypatch.setattr(exporting, "load_writer", lambda: write_in_clean_environment)
    export(net, str(tmp_path / "net"), format="onnx")
    expected = {}
    photos = image_files(tmp_path / "shapes" / "val")
    for number, detections in enumerate(Predictor.from_network(net)(photos)):
        for name in ("ids", "scores", "boxes", "masks"):
            expected[f"{name}{number}"] = getattr(detections, name)
    np.savez(tmp_path / "expected.npz", **expected)
    assert run([python, "-c", SERVE_ONNX, str(tmp_path)], tmp_path).strip() == "served 2"

    demo = [python, str(REPOSITORY / "scripts" / "demo.py"), "shapes/val", "--exported", "net"]
    drawn = run([*demo, "--json", "detections.json", "--score-thresh", "0"], tmp_path)
    assert drawn.count(" -> detections/") == 2
    assert len(list((tmp_path / "detections").iterdir())) == 2
    images = json.loads((tmp_path / "detections.json").read_text())["images"]
    for number, image in enumerate(images):
        assert [row["id"] for row in image["detections"]] == expected[f"ids{number}"].tolist()
        assert all("counts" in row["mask"] for row in image["detections"])
    without = subprocess.run(
        [*demo[:3], "--params", "net.params"], cwd=tmp_path, capture_output=True, text=True
    )
    assert without.returncode == 2
    assert without.stderr.startswith("error: --params needs MXNet")
    assert "pip install 'gluonnorm[cpu]'" in without.stderr
    assert run([python, "-m", "gluonnorm"], tmp_path).startswith("gluonnorm ")
