"""Prepare a process for MXNet 1.9.1: threads, CUDA libraries, names that NumPy dropped."""

import ctypes
import importlib.util
import math
import os
import platform
import sys
import warnings
from glob import glob
from typing import Dict, List, Set, Tuple

import numpy as np

# The libraries that MXNet's CUDA build is linked against. Each comes after the libraries that it
# needs itself.
CUDA_LIBRARIES = (
    "libcudart.so.11.0",
    "libnvrtc.so.11.2",
    "libnvToolsExt.so.1",
    "libcublasLt.so.11",
    "libcublas.so.11",
    "libcufft.so.10",
    "libcurand.so.10",
    "libcusparse.so.11",
    "libcusolver.so.11",
    "libcudnn.so.8",
    "libnccl.so.2",
)
CPUINFO = "/proc/cpuinfo"
CGROUP = "/proc/self/cgroup"
CGROUP_ROOT = "/sys/fs/cgroup"
UNLIMITED_CPUS = float(1 << 20)  # more CPUs than any machine has
MAPS = "/proc/self/maps"  # names the libraries of this process
LARGEST_COPY = 2**31 - 1  # elements; no array is larger, so every copy is made by one thread
# How often a thread of libgomp looks for work before it sleeps, about 10 microseconds.
SPIN_COUNT = 1000
# What libgomp reads once, when it is loaded.
OPENMP_VARIABLES = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
# NumPy 1.24 dropped these aliases, which MXNet and GluonCV still use.
NUMPY_ALIASES = {"bool": np.bool_, "float": np.float64, "int": np.int_, "object": np.object_}


def prepare() -> None:
    """Set how MXNet uses threads, load the CUDA libraries, and restore NumPy's aliases.

    Environment variables that are set already are left alone. Programs that this process starts
    inherit the others, because they share the machine with it. If MXNet was imported before, or
    another library has loaded libgomp, settings come too late, and a warning says so. Where MXNet
    is not installed, only the environment variables are set: other run times take the number of
    their threads from them.
    """
    thread_settings = {
        # MXNet uses only half of the logical CPUs where OMP_NUM_THREADS is unset.
        "OMP_NUM_THREADS": str(physical_cores()),
        # By default MXNet copies arrays of 200000 elements and more from and to NumPy with OpenMP
        # threads of the copying thread, beside those of its engine. From the first such copy on
        # there are more threads than cores, so libgomp puts waiting threads to sleep at once, and
        # every parallel region of the engine has to wake them. box_nms has one region for every
        # box: it then takes up to ten times as long.
        "MXNET_CPU_PARALLEL_SIZE": str(LARGEST_COPY),
    }
    if "OMP_WAIT_POLICY" not in os.environ:
        # By default a thread that waits at a barrier of libgomp looks for work 300000 times, about
        # 3 ms, before it sleeps. A convolution has many barriers. If other processes are busy, the
        # waiting thread holds the very processor that its partner waits for, and a network takes
        # up to 25 times as long. See "Shared machines" in docs/deploy.md for the measurements.
        thread_settings["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    unset = [name for name in thread_settings if name not in os.environ]
    for name in unset:
        os.environ[name] = thread_settings[name]
    if importlib.util.find_spec("mxnet") is None:
        return
    _warn_of_late_settings(unset)
    preload_cuda()
    for alias, scalar_type in NUMPY_ALIASES.items():
        if alias not in np.__dict__:
            setattr(np, alias, scalar_type)


def _warn_of_late_settings(names: List[str]) -> None:
    """Warn of variables that the libraries of this process have read already."""
    late = list(names)
    event = "mxnet was imported"
    if "mxnet" not in sys.modules:
        # Other packages may use the library that MXNet uses. A copy of their own has another name.
        if not _is_loaded("libgomp.so"):
            return
        late = [name for name in names if name in OPENMP_VARIABLES]
        event = "libgomp was loaded"
    if late:
        warnings.warn(
            f"{event} before gluonnorm, so {', '.join(late)} cannot take effect any more and "
            "networks may run slowly; import gluonnorm first, or set the variables in the "
            "environment",
            stacklevel=4,
        )


def physical_cores() -> int:
    """Count the physical cores that this process may use.

    The hyperthreads of one core count once. The quota of a container, rounded up, limits the
    number. Where ``/proc/cpuinfo`` names no cores, as on ARM, the allowed CPUs are counted.

    Returns
    -------
    int
        At least 1.
    """
    allowed = _allowed_cpus()
    cores: Set[Tuple[str, str]] = set()
    for processor in read_processors():
        number = processor.get("processor", "")
        if number.isdecimal() and int(number) in allowed and "core id" in processor:
            cores.add((processor.get("physical id", "0"), processor["core id"]))
    available = len(cores) or len(allowed)
    return max(1, min(available, math.ceil(cpu_quota())))


def num_threads() -> int:
    """Return with how many threads a layer shall be computed.

    Returns
    -------
    int
        The number in ``OMP_NUM_THREADS``, which :func:`prepare` sets to ``physical_cores()``. Of
        "2,1" it is the 2: the 1 is for regions inside regions, which no run time here has. 0, a
        run time's own choice, where it is not a number.
    """
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isdecimal() else 0


def read_processors() -> List[Dict[str, str]]:
    """Read what the system knows of each logical processor.

    Returns
    -------
    list of dict of str to str
        The fields of ``/proc/cpuinfo``, such as "model name" and "flags"; empty where there is no
        such file.
    """
    processors = []
    for stanza in _read_text(CPUINFO).split("\n\n"):
        fields = {}
        for line in stanza.splitlines():
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
        if fields:
            processors.append(fields)
    return processors


def processor_name() -> str:
    """Name the processor's model.

    Returns
    -------
    str
        The name that ``/proc/cpuinfo`` has, such as "AMD EPYC"; elsewhere what Python knows, which
        may be the architecture alone.
    """
    for processor in read_processors():
        if "model name" in processor:
            return processor["model name"]
    return platform.processor() or platform.machine()


def cpu_quota() -> float:
    """Return how many CPUs' time control groups grant this process.

    ``docker run --cpus 2`` and Kubernetes limit a container in this way, and leave it all CPUs to
    run on. The smallest quota of the process's own group and of the groups above it counts, for
    both versions of control groups.

    Returns
    -------
    float
        CPUs; ``UNLIMITED_CPUS`` where there is no limit.
    """
    quota = UNLIMITED_CPUS
    for line in _read_text(CGROUP).splitlines():
        if line.count(":") < 2:
            controllers, path = "", ""
        else:
            _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in _group_folders(controllers, path):
            quota = min(quota, _folder_quota(folder, is_version_1=bool(controllers)))
    return quota


def preload_cuda() -> List[str]:
    """Load the CUDA libraries of the ``nvidia-*-cu11`` wheels, which are on no search path.

    Without these wheels nothing happens: MXNet's CPU build needs none of the libraries, and its
    CUDA build then looks for CUDA 11 in the system.

    Returns
    -------
    list of str
        The files that were loaded.
    """
    package = importlib.util.find_spec("nvidia")
    folders = list(package.submodule_search_locations or ()) if package else []
    files: List[str] = []
    for library in CUDA_LIBRARIES:
        for folder in folders:
            files += glob(os.path.join(folder, "*", "lib", library))
    if not files or not files[0].endswith(CUDA_LIBRARIES[0]):
        # There may be wheels of another version of CUDA, which serve another program.
        return []
    for path in files:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return files


def _is_loaded(library: str) -> bool:
    """Whether a library whose file name begins so is part of this process."""
    return any(path.startswith(library) for path in _read_text(MAPS).split("/"))


def _allowed_cpus() -> Set[int]:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _group_folders(controllers: str, path: str) -> List[str]:
    """The folders of a control group and of the groups above it, from the root down.

    Inside a container the path may be the one outside of it. Its folders then do not exist, and the
    root is the container's own group.
    """
    parts = [part for part in path.split("/") if part]
    root = os.path.join(CGROUP_ROOT, "cpu" if controllers else "")
    return [os.path.join(root, *parts[:depth]) for depth in range(len(parts) + 1)]


def _folder_quota(folder: str, is_version_1: bool) -> float:
    """The quota of one control group in CPUs."""
    if is_version_1:
        limit = _read_text(os.path.join(folder, "cpu.cfs_quota_us"))
        limit += _read_text(os.path.join(folder, "cpu.cfs_period_us"))
    else:
        limit = _read_text(os.path.join(folder, "cpu.max"))
    numbers = limit.split()
    # A group without a limit has the time "max" (version 2) or -1 (version 1).
    if len(numbers) < 2 or not numbers[0].isdecimal() or not numbers[1].isdecimal():
        return UNLIMITED_CPUS
    time, period = int(numbers[0]), int(numbers[1])
    return time / period if period else UNLIMITED_CPUS


def _read_text(path: str) -> str:
    """The text of a small file, or "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
