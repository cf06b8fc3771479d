"""``import gluonnorm`` prepares the process, and does nothing else."""
import _ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

from gluonnorm import _runtime

import numpy as np
import pytest


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints; an environment value of "" unsets the variable."""
    merged = {key: value for key, value in {**os.environ, **environment}.items() if value}
    return subprocess.run(
        [sys.executable, "-c", code], env=merged, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("before, after", [("", str(_runtime.physical_cores())), ("7", "7")])
def test_threads_are_set_only_where_they_were_not(before: str, after: str) -> None:
    assert run("import gluonnorm, os; print(os.environ['OMP_NUM_THREADS'])", OMP_NUM_THREADS=before) == after


def test_physical_cores_are_counted_within_what_is_allowed() -> None:
    assert 1 <= _runtime.physical_cores() <= len(os.sched_getaffinity(0))


def test_import_is_light() -> None:
    heavy = "{'mxnet', 'gluoncv', 'matplotlib', 'cv2', 'pandas', 'scipy', 'pycocotools', 'tqdm', 'PIL', 'model_zoo'}"
    assert run(f"import gluonnorm, sys; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_mxnet_and_gluoncv_import_afterwards() -> None:
    # GluonCV swallows an ImportError of its own parts: ask it for one of them.
    assert run("import gluonnorm, mxnet, gluoncv; print(gluoncv.model_zoo.__name__)") == "gluoncv.model_zoo"


def test_numpy_names_are_there() -> None:
    for name, kind in (("bool", np.bool_), ("float", np.float64), ("int", np.int_), ("object", np.object_)):
        assert np.dtype(getattr(np, name)) == np.dtype(kind)


@pytest.mark.parametrize("library, loaded", [("libcudart.so.11.0", True), ("libcudart.so.12", False)])
def test_cuda_libraries_of_the_wheels_are_loaded(tmp_path: Path, library: str, loaded: bool) -> None:
    folder = tmp_path / "nvidia" / "cuda_runtime" / "lib"
    folder.mkdir(parents=True)
    shutil.copy(_ctypes.__file__, folder / library)  # any shared library will do
    shutil.copy(_ctypes.__file__, folder / "libnccl.so.2")
    maps = run("import gluonnorm; print(open('/proc/self/maps').read())", PYTHONPATH=str(tmp_path))
    assert (str(folder / library) in maps) == loaded
    assert (str(folder / "libnccl.so.2") in maps) == loaded
