"""``import gluonnorm`` prepares the process, and does nothing else."""

import _ctypes
import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gluonnorm
from gluonnorm import _runtime
from gluonnorm.__main__ import slow_here

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
    assert (
        run("import gluonnorm, os; print(os.environ['OMP_NUM_THREADS'])", OMP_NUM_THREADS=before)
        == after
    )


@pytest.mark.parametrize("variable, number", [("7", 7), ("3,1", 3), (" 2 ", 2), ("many", 0)])
def test_the_number_of_threads_is_that_of_the_outermost_region(
    monkeypatch, variable: str, number: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert _runtime.num_threads() == number


COPY = """
import os
import gluonnorm
import mxnet as mx
x = mx.nd.ones((1000, 1000))
(x + 1).wait_to_read()
before = len(os.listdir("/proc/self/task"))
x.asnumpy()
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="needs a system that lists a process's threads"
)
@pytest.mark.parametrize("size, started", [("", "0"), ("200000", "2")])
def test_copies_start_no_threads_unless_the_user_says_so(size: str, started: str) -> None:
    assert run(COPY, OMP_NUM_THREADS="3", MXNET_CPU_PARALLEL_SIZE=size) == started


def test_physical_cores_are_counted_within_what_is_allowed() -> None:
    assert 1 <= _runtime.physical_cores() <= len(os.sched_getaffinity(0))


CPU = """processor\t: {number}
model name\t: Some CPU: fast
physical id\t: {socket}
core id\t\t: {core}
"""
FOUR_CORES = [
    (0, 0, 0),
    (1, 0, 4),
    (2, 1, 0),
    (3, 1, 4),
    (4, 0, 0),
    (5, 0, 4),
    (6, 1, 0),
    (7, 1, 4),
]  # 2 threads each


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that makes the process see other files than its own: of processors, and of control
    groups."""

    def make(cpuinfo, allowed, cgroup="", limits=()):
        for name, text in (("cpuinfo", cpuinfo), ("cgroup", cgroup), *limits):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        for name, file in (("CPUINFO", "cpuinfo"), ("CGROUP", "cgroup"), ("CGROUP_ROOT", "groups")):
            monkeypatch.setattr(_runtime, name, str(tmp_path / file))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(allowed))

    return make


def cpuinfo(cpus) -> str:
    return "\n".join(
        CPU.format(number=number, socket=socket, core=core) for number, socket, core in cpus
    )


@pytest.mark.parametrize(
    "allowed, cores",
    [
        (range(8), 4),
        ((0, 4), 1),
        ((0, 1), 2),
        ((0, 2), 2),
        ((3,), 1),
        ((0, 1, 4, 5, 7), 3),
    ],
)
def test_hyperthreads_of_one_core_are_one(machine, allowed, cores) -> None:
    machine(cpuinfo(FOUR_CORES), allowed)
    assert _runtime.physical_cores() == cores


@pytest.mark.parametrize(
    "text", ["", "processor\t: 0\nBogoMIPS\t: 50.00\n\nprocessor\t: 1\n", "\x00 nonsense : ::\n"]
)
def test_where_no_cores_are_named_the_allowed_processors_count(machine, text) -> None:  # as on ARM
    machine(text, (0, 1, 2))
    assert _runtime.physical_cores() == 3


@pytest.mark.parametrize(
    "cgroup, limits, cores",
    [
        ("0::/\n", {"groups/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"groups/cpu.max": "150000 100000\n"}, 2),  # the half would be lost
        ("0::/\n", {"groups/cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"groups/cpu.max": "800000 100000\n"}, 4),  # more than there are cores
        ("0::/\n", {"groups/cpu.max": "max 100000\n"}, 4),
        ("0::/\n", {"groups/cpu.max": ""}, 4),
        ("0::/\n", {}, 4),
        (
            "0::/a/b\n",
            {"groups/a/cpu.max": "300000 100000", "groups/a/b/cpu.max": "max 100000"},
            3,
        ),  # the group above
        (
            "0::/a/b\n",
            {"groups/a/cpu.max": "300000 100000", "groups/a/b/cpu.max": "100000 100000"},
            1,
        ),
        ("0::/outside/of/here\n", {"groups/cpu.max": "100000 50000"}, 2),
        (
            "7:memory:/\n4:cpu,cpuacct:/docker/x\n0::/\n",
            {
                "groups/cpu/docker/x/cpu.cfs_quota_us": "250000\n",
                "groups/cpu/docker/x/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            "4:cpuacct,cpu:/docker/x\n",
            {"groups/cpu/cpu.cfs_quota_us": "100000\n", "groups/cpu/cpu.cfs_period_us": "100000\n"},
            1,
        ),
        (
            "4:cpu:/\n",
            {"groups/cpu/cpu.cfs_quota_us": "-1\n", "groups/cpu/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "4:cpuset:/\n",
            {"groups/cpu/cpu.cfs_quota_us": "100000", "groups/cpu/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        ("nonsense\n", {}, 4),
    ],
)
def test_a_container_gets_no_more_threads_than_its_quota(machine, cgroup, limits, cores) -> None:
    machine(cpuinfo(FOUR_CORES), range(8), cgroup, limits.items())
    assert _runtime.physical_cores() == cores


def test_import_is_light() -> None:
    heavy = {"mxnet", "gluoncv", "matplotlib", "cv2", "pandas", "scipy", "pycocotools", "tqdm"}
    heavy |= {"PIL", "model_zoo"}
    assert run(f"import gluonnorm, sys; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_mxnet_and_gluoncv_import_afterwards() -> None:
    # GluonCV swallows an ImportError of its own parts: ask it for one of them.
    assert (
        run("import gluonnorm, mxnet, gluoncv; print(gluoncv.model_zoo.__name__)")
        == "gluoncv.model_zoo"
    )


def test_numpy_names_are_there() -> None:
    for name, kind in (
        ("bool", np.bool_),
        ("float", np.float64),
        ("int", np.int_),
        ("object", np.object_),
    ):
        assert np.dtype(getattr(np, name)) == np.dtype(kind)


@pytest.mark.parametrize(
    "library, loaded", [("libcudart.so.11.0", True), ("libcudart.so.12", False)]
)
def test_cuda_libraries_of_the_wheels_are_loaded(
    tmp_path: Path, library: str, loaded: bool
) -> None:
    folder = tmp_path / "nvidia" / "cuda_runtime" / "lib"
    folder.mkdir(parents=True)
    shutil.copy(_ctypes.__file__, folder / library)  # any shared library will do
    shutil.copy(_ctypes.__file__, folder / "libnccl.so.2")
    maps = run("import gluonnorm; print(open('/proc/self/maps').read())", PYTHONPATH=str(tmp_path))
    assert (str(folder / library) in maps) == loaded
    assert (str(folder / "libnccl.so.2") in maps) == loaded


LATE = """
import warnings
import numpy as np
np.bool = np.bool_  # what MXNet needs to be imported on its own
import mxnet
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import gluonnorm
    from gluonnorm import _runtime
print([str(warning.message) for warning in caught if "gluonnorm" in str(warning.message)])
"""


UNSET = {"OMP_NUM_THREADS": "", "MXNET_CPU_PARALLEL_SIZE": "", "GOMP_SPINCOUNT": ""}


@pytest.mark.parametrize(
    "set_before, named",
    [
        ({}, "OMP_NUM_THREADS, MXNET_CPU_PARALLEL_SIZE, GOMP_SPINCOUNT"),
        ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}, "MXNET_CPU_PARALLEL_SIZE"),
        ({"OMP_NUM_THREADS": "2", "MXNET_CPU_PARALLEL_SIZE": "200000"}, "GOMP_SPINCOUNT"),
        (dict.fromkeys(UNSET, "2"), None),
    ],
)
def test_mxnet_imported_first_warns_once_of_settings_that_came_too_late(set_before, named) -> None:
    messages = ast.literal_eval(run(LATE, **{**UNSET, **set_before}))
    assert len(messages) == (named is not None)
    for message in messages:
        assert message.startswith(f"mxnet was imported before gluonnorm, so {named} cannot take")
        assert "import gluonnorm first" in message


LATE_LIBGOMP = """
import ctypes
import warnings
ctypes.CDLL("libgomp.so.1")
warnings.simplefilter("error", UserWarning)
try:
    import gluonnorm
except UserWarning as warning:
    print(warning)
"""


@pytest.mark.parametrize("spins, named", [("", "OMP_NUM_THREADS, GOMP_SPINCOUNT"), ("9", None)])
def test_libgomp_loaded_first_warns_of_what_it_has_read(spins: str, named) -> None:
    threads = "" if named else "2"
    message = run(LATE_LIBGOMP, **{**UNSET, "GOMP_SPINCOUNT": spins, "OMP_NUM_THREADS": threads})
    start = f"libgomp was loaded before gluonnorm, so {named} cannot take effect any more"
    assert message.startswith(start) if named else message == ""


# libgomp itself tells what it has read.
SHOW_OPENMP = "import gluonnorm, ctypes; ctypes.CDLL('libgomp.so.1')"


@pytest.mark.parametrize(
    "code, environment, spins",
    [
        ("import gluonnorm, mxnet", {}, "1000"),
        (SHOW_OPENMP, {"GOMP_SPINCOUNT": "70"}, "70"),
        (SHOW_OPENMP, {"OMP_WAIT_POLICY": "PASSIVE"}, "0"),
        (SHOW_OPENMP, {"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000"),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_how_long(code, environment, spins) -> None:
    variables = {"OMP_WAIT_POLICY": "", **UNSET, **environment, "OMP_DISPLAY_ENV": "VERBOSE"}
    merged = {key: value for key, value in {**os.environ, **variables}.items() if value}
    ended = subprocess.run([sys.executable, "-c", code], env=merged, capture_output=True, text=True)
    assert f"GOMP_SPINCOUNT = '{spins}'" in ended.stderr
    assert f"OMP_NUM_THREADS = '{_runtime.physical_cores()}'" in ended.stderr


def test_programs_that_the_process_starts_share_the_machine_too() -> None:
    shell = "import gluonnorm, subprocess; subprocess.run('echo $GOMP_SPINCOUNT', shell=True)"
    assert run(shell, **UNSET) == str(_runtime.SPIN_COUNT)


def report(**environment: str) -> str:
    """The output of ``python -m gluonnorm``."""
    merged = {**os.environ, **environment}
    ended = subprocess.run(
        [sys.executable, "-m", "gluonnorm"], env=merged, check=True, capture_output=True, text=True
    )
    return ended.stdout


def test_bug_report_names_versions_threads_and_formats() -> None:
    text = report(OMP_NUM_THREADS="1", GOMP_SPINCOUNT="1000")
    assert text.startswith(f"gluonnorm {gluonnorm.__version__}, Python 3.")
    assert f"numpy          {np.__version__}" in text and "mxnet          1.9.1" in text
    assert "OMP_NUM_THREADS = 1" in text and "GOMP_SPINCOUNT = 1000" in text
    assert "OMP_WAIT_POLICY = not set" in text
    for number_format in ("float32", "bfloat16", "int8"):
        assert f"  {number_format:8} " in text


@pytest.mark.parametrize(
    "threads, size, instructions, gpus, problems",
    [
        ("4", _runtime.LARGEST_COPY, {"avx2", "avx512_bf16", "avx_vnni"}, [], []),
        ("4", _runtime.LARGEST_COPY, set(), [], []),  # not known: nothing is claimed
        (
            "3",
            _runtime.LARGEST_COPY,
            {"avx2", "avx512_bf16", "avx_vnni"},
            [],
            ["may use 4 physical"],
        ),
        ("8", _runtime.LARGEST_COPY, {"avx2", "avx512_bf16", "avx_vnni"}, [], ["more than the 4"]),
        ("4", 200000, {"avx2", "avx512_bf16", "avx_vnni"}, [], ["box_nms takes up to ten times"]),
        ("4", _runtime.LARGEST_COPY, {"avx2"}, [], ["bfloat16 does not run", "int8 is emulated"]),
        (
            "4",
            _runtime.LARGEST_COPY,
            set(),
            ["NVIDIA A100, 8.0", "NVIDIA H100, 9.0"],
            ["H100, 9.0: MXNet's CUDA build has no code"],
        ),
    ],
)
def test_bug_report_explains_what_is_slow(
    machine, monkeypatch, threads, size, instructions, gpus, problems
) -> None:
    machine(cpuinfo(FOUR_CORES), range(8))
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setenv("MXNET_CPU_PARALLEL_SIZE", str(size))
    sentences = slow_here(instructions, gpus)
    assert len(sentences) == len(problems)
    for sentence, problem in zip(sentences, problems):
        assert problem in sentence


@pytest.mark.parametrize(
    "mxnet, numpy, is_problem",
    [("mxnet", "2.4.6", True), ("mxnet-cu112", "2.4.6", True), ("mxnet", "1.23.5", False)],
)
def test_bug_report_names_a_numpy_that_mxnet_cannot_use(
    machine, monkeypatch, mxnet, numpy, is_problem
) -> None:
    machine(cpuinfo(FOUR_CORES), range(8))
    versions = {mxnet: "1.9.1", "numpy": numpy}
    monkeypatch.setattr(
        "gluonnorm.__main__.installed_version", lambda name: versions.get(name, "not installed")
    )
    sentences = [text for text in slow_here(set(), []) if text.startswith("numpy")]
    assert (
        sentences
        == [
            f"numpy {numpy}: MXNet cannot be imported with it; pip install 'numpy<1.24' "
            "(on Python 3.12 'numpy<2')"
        ]
        * is_problem
    )
