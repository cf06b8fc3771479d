"""What a process needs before MXNet 1.9.1 is imported: threads, CUDA libraries, and names that newer NumPy dropped."""
import ctypes
import importlib.util
import math
import os
from glob import glob
from typing import List, Set, Tuple

import numpy as np

# What MXNet's CUDA build is linked against, each after those it needs itself.
CUDA_LIBRARIES = ("libcudart.so.11.0", "libnvrtc.so.11.2", "libnvToolsExt.so.1", "libcublasLt.so.11", "libcublas.so.11",
                  "libcufft.so.10", "libcurand.so.10", "libcusparse.so.11", "libcusolver.so.11", "libcudnn.so.8",
                  "libnccl.so.2")
CPUINFO, CGROUP, CGROUP_ROOT = "/proc/cpuinfo", "/proc/self/cgroup", "/sys/fs/cgroup"
NO_QUOTA = 1 << 20
COPIES_ALONE = 2**31 - 1  # elements; smaller copies are made by one thread


def physical_cores() -> int:
    """Number of physical cores this process may use, at least 1.

    Those it may run on, the hyperthreads of one counted once; fewer where the quota of a container is, rounded up.
    Where ``/proc/cpuinfo`` names no cores, the allowed CPUs are counted.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores: Set[Tuple[str, str]] = set()
    for stanza in _text(CPUINFO).split("\n\n"):
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in stanza.splitlines())}
        number = fields.get("processor", "")
        if number.isdecimal() and int(number) in allowed and "core id" in fields:
            cores.add((fields.get("physical id", "0"), fields["core id"]))
    return max(1, int(min(len(cores) or len(allowed), math.ceil(cpu_quota()))))


def cpu_quota() -> float:
    """How many CPUs' time control groups grant this process; a number beyond all CPUs where they set no limit.

    The least of its own group and of those above it, of either version of control groups. ``docker run --cpus 2`` and
    Kubernetes limit containers so, and leave them all CPUs to run on.
    """
    least = float(NO_QUOTA)
    for line in _text(CGROUP).splitlines():
        _, controllers, path = line.split(":", 2) if line.count(":") > 1 else ("", "", "")
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):  # inside a container the path may be that outside: then the root is ours
            folder = os.path.join(CGROUP_ROOT, "cpu" if controllers else "", *parts[:depth])
            limit = (_text(os.path.join(folder, "cpu.max")) if not controllers else
                     _text(os.path.join(folder, "cpu.cfs_quota_us")) + _text(os.path.join(folder, "cpu.cfs_period_us")))
            time, period, *_ = [*limit.split(), "", ""]
            if time.isdecimal() and period.isdecimal() and int(period):  # not "max", nor -1
                least = min(least, int(time) / int(period))
    return least


def _text(path: str) -> str:
    """The text of a small file, "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def preload_cuda() -> List[str]:
    """Load the libraries of the ``nvidia-*-cu11`` wheels, which no search path covers; return their files.

    Without those wheels nothing happens: MXNet's CPU build needs none, and its CUDA build then looks for a CUDA 11
    of the system.
    """
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [path for name in CUDA_LIBRARIES for folder in folders
             for path in glob(os.path.join(folder, "*", "lib", name))]
    if not files or not files[0].endswith(CUDA_LIBRARIES[0]):  # wheels of another CUDA, for another program
        return []
    for path in files:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return files


def prepare() -> None:
    """Set the thread counts MXNet reads, load CUDA's libraries where the ``cu112`` extra brought them, and give
    NumPy 1.24+ the aliases MXNet and GluonCV still use.

    MXNet takes half of the logical CPUs where ``OMP_NUM_THREADS`` is unset. And with its default of
    ``MXNET_CPU_PARALLEL_SIZE`` the first large array copied from or to NumPy gives the copying thread OpenMP threads
    of its own, beside the engine's. From then on there are more than cores, libgomp puts waiting threads to sleep at
    once, and each parallel region of the engine first has to wake them: box_nms, which has one for every box, takes
    up to ten times as long. Values already set are left alone.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(physical_cores()))
    os.environ.setdefault("MXNET_CPU_PARALLEL_SIZE", str(COPIES_ALONE))
    preload_cuda()
    for name, kind in (("bool", np.bool_), ("float", np.float64), ("int", np.int_), ("object", np.object_)):
        if name not in np.__dict__:
            setattr(np, name, kind)
