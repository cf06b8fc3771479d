"""What a process needs before MXNet 1.9.1 is imported: threads, CUDA libraries, and names that newer NumPy dropped."""
import ctypes
import importlib.util
import os
from glob import glob
from typing import List, Set, Tuple

import numpy as np

# What MXNet's CUDA build is linked against, each after those it needs itself.
CUDA_LIBRARIES = ("libcudart.so.11.0", "libnvrtc.so.11.2", "libnvToolsExt.so.1", "libcublasLt.so.11", "libcublas.so.11",
                  "libcufft.so.10", "libcurand.so.10", "libcusparse.so.11", "libcusolver.so.11", "libcudnn.so.8",
                  "libnccl.so.2")


def physical_cores() -> int:
    """Number of physical cores this process may run on, at least 1.

    Counted from ``/proc/cpuinfo`` over the allowed CPUs; where that says nothing, the allowed CPUs are counted.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores: Set[Tuple[str, str]] = set()
    fields = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                fields[key.strip()] = value.strip()
                if not line.strip():
                    if int(fields.get("processor", -1)) in allowed and "core id" in fields:
                        cores.add((fields.get("physical id", "0"), fields["core id"]))
                    fields = {}
    except (OSError, ValueError):
        cores.clear()
    return len(cores) or len(allowed) or 1


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
    """Set the thread count MXNet reads at import, load CUDA's libraries where the ``cu112`` extra brought them, and
    give NumPy 1.24+ the aliases MXNet and GluonCV still use.

    MXNet takes half of the logical CPUs where ``OMP_NUM_THREADS`` is unset; a value already set is left alone.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(physical_cores()))
    preload_cuda()
    for name, kind in (("bool", np.bool_), ("float", np.float64), ("int", np.int_), ("object", np.object_)):
        if name not in np.__dict__:
            setattr(np, name, kind)
